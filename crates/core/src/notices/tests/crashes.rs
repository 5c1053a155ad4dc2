//! Workers that end half-way.

use std::pin::pin;
use std::task::Poll;

use tollgate_store::jobs::Claimed;
use tollgate_testkit::on_both_databases;

use super::*;

/// How long a dead worker's claim holds, and a bit.
const CLAIM_OVER: Duration = Duration::from_secs(61);

async fn claim(core: &Core) -> Claimed {
    jobs::run::claim(core, jobs::run::Queue::Post, 1).await.unwrap().pop().expect("a job")
}

/// Has a future go on until it has been waited for so many times, and drops it there; true where
/// it ended before.
async fn until_wait(most: usize, future: impl Future<Output = Result<(), Error>>) -> bool {
    let (mut future, mut waits) = (pin!(future), 0);
    std::future::poll_fn(|cx| {
        if waits == most {
            return Poll::Ready(false);
        }
        match future.as_mut().poll(cx) {
            Poll::Ready(done) => {
                done.unwrap();
                Poll::Ready(true)
            }
            Poll::Pending => {
                waits += 1;
                Poll::Pending
            }
        }
    })
    .await
}

on_both_databases! {
    async fn nothing_is_lost_wherever_a_worker_ends(database) {
        let house = House::on(&database).await;
        let mut accounts = 0;
        for waits in 1.. {
            let account = house.subscriber(&format!("ann{waits}")).await;
            accounts += 1;
            house.happen(account, 3).await;
            let job = claim(&house.core).await;
            let ended = until_wait(waits, crate::notices::deliver(&house.core, &job)).await;
            // What was asked of the store before is done there, whoever waited for it.
            let next = House { core: house.another().await, clock: house.clock.clone(), courier: house.courier.clone() };
            next.clock.advance(CLAIM_OVER);
            while next.webhook(account).await.pending > 0 {
                jobs::run::run_due(&next.core, 8).await.unwrap();
            }
            assert_eq!(next.rest().await, None, "no job is left");
            if ended {
                assert!(waits > 3, "it waits for the courier three times, and for the store");
                break;
            }
        }
        assert_whole_and_in_order(&house.courier.taken(), accounts, 3);
    }

    async fn a_worker_that_dies_over_a_hanging_receiver_is_followed_by_another(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.courier.then([Fate::Arrives, Fate::Hangs, Fate::ArrivesUnanswered]);
        house.happen(ann, 3).await;
        tokio::select! {
            _ = jobs::run::run_due(&house.core, 8) => panic!("the receiver hangs"),
            () = house.courier.until_taken(2) => {}
        }
        assert_eq!(house.webhook(ann).await.sent_seq, 1, "the first is written down");
        let core = house.another().await;
        assert_eq!(jobs::run::run_due(&core, 8).await, Ok(0), "its claim still holds");
        house.clock.advance(CLAIM_OVER);
        assert_eq!(jobs::run::run_due(&core, 8).await, Ok(1));
        house.clock.advance(Duration::from_secs(5));
        assert_eq!(jobs::run::run_due(&core, 8).await, Ok(1));
        assert_eq!(house.courier.numbers(), [1, 2, 2, 2, 3]);
        assert_eq!(house.rest().await, None, "no job is left");
    }

    async fn a_worker_whose_job_was_taken_away_writes_nothing_down(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        let gate = Arc::new(Notify::new());
        house.courier.then([Fate::Waits(gate.clone(), Box::new(Fate::Arrives))]);
        house.happen(ann, 2).await;
        let job = claim(&house.core).await;
        let slow = crate::notices::deliver(&house.core, &job);
        let fast = async {
            house.courier.until_taken(1).await;
            house.clock.advance(CLAIM_OVER);
            jobs::run::run_due(&house.core, 8).await.unwrap();
            assert_eq!(house.webhook(ann).await.sent_seq, 2);
            house.happen(ann, 1).await;
            gate.notify_one();
        };
        let (slow, ()) = tokio::join!(slow, fast);
        assert!(matches!(slow, Err(Error::Unavailable(_))), "{slow:?}");
        house.work().await;
        assert_eq!(house.courier.numbers(), [1, 1, 2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_courier_that_never_answers_is_given_up_waiting_for() {
    let courier = Arc::new(FakeCourier::default());
    courier.then([Fate::Hangs]);
    let started = tokio::time::Instant::now();
    let letter = Letter {
        id: "evt_1_1".into(),
        at: Time::default(),
        happened_at: Time::default(),
        kind: "wallet.low".into(),
        data: "{}".into(),
        way: Way::Mail { to: "ann@example.com".into(), language: Default::default() },
    };
    let outcome = crate::notices::delivery::carry(&*courier, letter).await;
    assert_eq!(outcome, Err(Undelivered { why: "no answer in time".into(), prospect: Prospect::TryAgain }));
    assert!(started.elapsed() < jobs::CLAIM_TTL, "before the claim runs out");
}
