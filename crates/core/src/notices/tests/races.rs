//! Events, channels and deliveries at the same moment.

use std::sync::mpsc;

use tollgate_testkit::on_both_databases;

use super::*;
use crate::notices::set_webhook;

/// Has an event written by a transaction that stays open until it is told to commit. Returns once
/// the event has its number.
async fn half_way(core: &Core, account: AccountId) -> (mpsc::SyncSender<()>, tokio::task::JoinHandle<()>) {
    let (go, going) = mpsc::sync_channel::<()>(1);
    let (core, now, written) = (core.clone(), core.now(), Arc::new(Notify::new()));
    let (going, is_written) = (Arc::new(Mutex::new(going)), written.clone());
    let writing = tokio::spawn(async move {
        let emitted = core.db().write(move |tx| {
            emit(tx, account, EventKind::WalletLow, &json!({}), now)?;
            is_written.notify_one();
            going.lock().unwrap().recv_timeout(Duration::from_secs(30)).expect("the word to commit");
            Ok::<_, Error>(())
        });
        emitted.await.unwrap();
    });
    written.notified().await;
    (go, writing)
}

/// Returns once somebody waits for a lock in the database (PostgreSQL), or for the writer's thread
/// (SQLite): what was started beside a half-written event has come to stand behind it.
async fn until_somebody_waits(core: &Core) {
    // Reads do not wait for writers on either engine; a moment is enough for the other to arrive,
    // and where it has not yet, the race is merely not run this time.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        core.db().read(|tx| Ok::<_, Error>(store::jobs::next_due(tx)?)).await.unwrap();
    }
}

on_both_databases! {
    async fn an_event_that_is_half_written_while_a_delivery_ends_is_delivered(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.happen(ann, 1).await;
        let gate = Arc::new(Notify::new());
        house.courier.then([Fate::Waits(gate.clone(), Box::new(Fate::Arrives))]);
        let core = house.core.clone();
        let working = tokio::spawn(async move { jobs::run::run_due(&core, 8).await });
        house.courier.until_taken(1).await;
        // The job is claimed, and has seen one event; the second is written, and not committed.
        let (go, writing) = half_way(&house.core, ann).await;
        gate.notify_one();
        until_somebody_waits(&house.core).await;
        go.send(()).unwrap();
        writing.await.unwrap();
        working.await.unwrap().unwrap();
        house.work().await;
        assert_eq!(house.courier.numbers(), [1, 2]);
        assert_eq!(house.rest().await, None, "no job is left");
    }

    async fn an_event_that_is_half_written_while_a_channel_is_switched_on_is_delivered(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        set_webhook(&house.core, ann, switched(false)).await.unwrap();
        house.work().await;
        let (go, writing) = half_way(&house.core, ann).await;
        let core = house.core.clone();
        let switching = tokio::spawn(async move { set_webhook(&core, ann, switched(true)).await });
        until_somebody_waits(&house.core).await;
        assert_eq!(house.work().await, 0, "it is not switched on before the event is written");
        go.send(()).unwrap();
        writing.await.unwrap();
        switching.await.unwrap().unwrap();
        house.work().await;
        assert_eq!(house.courier.numbers(), [1]);
    }

    async fn an_event_that_is_half_written_while_a_channel_is_made_lies_before_it(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        let (go, writing) = half_way(&house.core, ann).await;
        let core = house.core.clone();
        let making =
            tokio::spawn(async move { set_webhook(&core, ann, to("https://a.example/")).await });
        until_somebody_waits(&house.core).await;
        go.send(()).unwrap();
        writing.await.unwrap();
        let (status, _) = making.await.unwrap().unwrap();
        assert_eq!(status.sent_seq, 1);
        house.happen(ann, 1).await;
        house.work().await;
        assert_eq!(house.courier.numbers(), [2]);
    }

    async fn of_two_who_make_a_webhook_at_once_one_gets_the_secret(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        let make = || set_webhook(&house.core, ann, to("https://a.example/"));
        let (one, other) = tokio::join!(make(), make());
        let secrets: Vec<_> = [one, other].into_iter().filter_map(|made| made.unwrap().1).collect();
        assert_eq!(secrets.len(), 1);
        house.happen(ann, 1).await;
        house.work().await;
        assert_eq!(parts(&house.courier.taken()[0]).2, [secrets[0].expose_secret()]);
    }

    async fn two_workers_deliver_what_many_emit_at_once_and_nothing_is_left(database) {
        const EMITTERS: i64 = 6;
        const EACH: i64 = 30;
        let house = House::on(&database).await;
        let (ann, bob) = (house.subscriber("ann").await, house.subscriber("bob").await);
        let fates = [Fate::Arrives, Fate::ArrivesUnanswered, Fate::Fails, Fate::Arrives];
        house.courier.then(fates.into_iter().cycle().take(40));
        let mut emitters = tokio::task::JoinSet::new();
        for _ in 0..EMITTERS {
            let core = house.core.clone();
            emitters.spawn(async move {
                for _ in 0..EACH {
                    happen(&core, ann).await;
                    happen(&core, bob).await;
                }
            });
        }
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut workers = tokio::task::JoinSet::new();
        for core in [house.core.clone(), house.another().await] {
            let (over, clock) = (over.clone(), house.clock.clone());
            workers.spawn(async move {
                loop {
                    let last_round = over.load(std::sync::atomic::Ordering::SeqCst);
                    let done = jobs::run::run_due(&core, 1).await.unwrap();
                    match (done, last_round) {
                        // Whatever rests after a failure is due some seconds later.
                        (0, false) => {
                            clock.advance(Duration::from_secs(1));
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        (0, true) => return,
                        _ => {}
                    }
                }
            });
        }
        while let Some(emitted) = emitters.join_next().await {
            emitted.unwrap();
        }
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        while let Some(worked) = workers.join_next().await {
            worked.unwrap();
        }
        // Only what rests after a failure may be left: every other event has been sent, or has a
        // job that was due.
        while house.webhook(ann).await.pending + house.webhook(bob).await.pending > 0 {
            let rest = house.rest().await.expect("what waits has a job");
            house.clock.advance(rest);
            house.work().await;
        }
        assert_eq!(house.rest().await, None, "no job is left");
        assert_whole_and_in_order(&house.courier.taken(), 2, EMITTERS * EACH);
    }
}
