//! What is sent, when, and when it is given up.

use tollgate_testkit::on_both_databases;

use super::*;
use crate::notices::delivery::{MOST_IN_A_TURN, RESTS};
use crate::notices::{ChannelKind, delete_channel, set_email, set_webhook, settings};

on_both_databases! {
    async fn events_go_out_in_order_with_all_that_is_known_of_them(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.happen(ann, 3).await;
        house.work().await;
        let letters = house.courier.taken();
        assert_eq!(house.courier.numbers(), [1, 2, 3]);
        let (url, body, _) = parts(&letters[1]);
        assert_eq!(url, "https://ann.example/hook");
        assert_eq!(
            body,
            r#"{"id":"evt_1_2","type":"wallet.low","timestamp":"2026-03-01T12:00:00Z","account_id":1,"seq":2,"data":{"balance":12}}"#
        );
        serde_json::from_str::<Value>(body).unwrap();
        assert_eq!(letters[1].kind, "wallet.low");
        assert_eq!(house.rest().await, None, "no job is left");
    }

    async fn a_failing_receiver_is_tried_after_growing_rests_with_the_same_bytes(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.courier.then(std::iter::repeat_n(Fate::Fails, RESTS.len()));
        house.happen(ann, 1).await;
        for (failures, rest) in RESTS.iter().enumerate() {
            house.work().await;
            assert_eq!(house.rest().await, Some(*rest), "after {} failures", failures + 1);
            // Whatever else happens does not shorten the rest.
            house.happen(ann, 1).await;
            house.clock.advance(*rest - Duration::from_secs(1));
            house.work().await;
            let status = house.webhook(ann).await;
            assert_eq!(usize::try_from(status.attempts), Ok(failures + 1));
            assert_eq!(status.last_error, "the endpoint answered 500");
            assert_eq!(status.retry_at, Some(house.clock.now().plus(Duration::from_secs(1))));
            house.clock.advance(Duration::from_secs(1));
        }
        house.work().await;
        let letters = house.courier.taken();
        assert_eq!(letters.len(), RESTS.len() + 1 + RESTS.len(), "the tenth attempt, then all others");
        let firsts: Vec<_> = letters.iter().filter(|letter| number(letter) == 1).collect();
        assert_eq!(firsts.len(), RESTS.len() + 1);
        assert!(firsts.iter().all(|letter| parts(letter).1 == parts(firsts[0]).1), "byte for byte");
        assert!(firsts.iter().all(|letter| letter.happened_at == firsts[0].at));
        assert!(firsts.windows(2).all(|two| two[0].at < two[1].at), "each is signed for its own time");
        let status = house.webhook(ann).await;
        assert_eq!((status.given_up, status.attempts, status.pending), (0, 0, 0));
        assert_eq!((status.last_error.as_str(), status.retry_at), ("", None));
    }

    async fn what_fails_for_three_days_is_given_up_and_the_next_goes_on(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.courier.then(std::iter::repeat_n(Fate::Fails, RESTS.len() + 1));
        house.happen(ann, 2).await;
        for rest in RESTS {
            house.work().await;
            house.clock.advance(rest);
        }
        house.work().await;
        let status = house.webhook(ann).await;
        assert_eq!((status.given_up, status.sent_seq, status.pending), (1, 2, 0));
        let numbers = house.courier.numbers();
        assert_eq!(numbers.iter().filter(|number| **number == 1).count(), RESTS.len() + 1);
        assert_eq!(numbers.last(), Some(&2));
    }

    async fn a_receiver_that_is_gone_is_left_alone_until_its_customer_comes_back(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.courier.then([Fate::Gone]);
        house.happen(ann, 2).await;
        house.work().await;
        let status = house.webhook(ann).await;
        assert!(!status.active);
        assert_eq!((status.sent_seq, status.pending, status.given_up), (0, 2, 0));
        assert_eq!(status.last_error, "the endpoint is gone (410)");
        house.happen(ann, 1).await;
        assert_eq!(house.rest().await, None, "nothing is tried any more");
        set_webhook(&house.core, ann, switched(true)).await.unwrap();
        house.work().await;
        assert_eq!(house.courier.numbers(), [1, 1, 2, 3]);
    }

    async fn what_never_can_arrive_is_given_up_at_once(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.courier.then([Fate::Refused, Fate::Arrives, Fate::Refused]);
        house.happen(ann, 3).await;
        house.work().await;
        assert_eq!(house.courier.numbers(), [1, 2, 3]);
        let status = house.webhook(ann).await;
        assert_eq!((status.given_up, status.pending, status.active), (2, 0, true));
        assert_eq!(status.last_error, "no such mailbox");
    }

    async fn a_change_has_what_waits_tried_at_once(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.courier.then([Fate::Fails, Fate::Fails]);
        house.happen(ann, 1).await;
        house.work().await;
        house.clock.advance(RESTS[0]);
        house.work().await;
        assert_eq!(house.rest().await, Some(RESTS[1]));
        set_webhook(&house.core, ann, to("https://ann.example/repaired")).await.unwrap();
        house.work().await;
        let letters = house.courier.taken();
        assert_eq!(parts(&letters[2]).0, "https://ann.example/repaired");
        assert_eq!(house.webhook(ann).await.pending, 0);
    }

    async fn an_answer_for_an_old_url_says_nothing_of_the_new_one(database) {
        let house = House::on(&database).await;
        for (name, fate) in [("ann", Fate::Arrives), ("bob", Fate::Fails), ("carl", Fate::Gone)] {
            let account = house.subscriber(name).await;
            let gate = Arc::new(Notify::new());
            house.courier.then([Fate::Waits(gate.clone(), Box::new(fate))]);
            house.happen(account, 2).await;
            let so_far = house.courier.taken().len();
            let change = async {
                house.courier.until_taken(so_far + 1).await;
                set_webhook(&house.core, account, to("https://new.example/")).await.unwrap();
                gate.notify_one();
            };
            tokio::join!(house.work(), change);
            house.work().await;
            let letters = house.courier.taken().split_off(so_far);
            let arrived: Vec<_> = letters.iter().map(|letter| (parts(letter).0, number(letter))).collect();
            let new = "https://new.example/";
            assert_eq!(arrived, [("https://ann.example/hook", 1), (new, 1), (new, 2)], "{name}");
            let status = house.webhook(account).await;
            assert!(status.active && status.pending == 0 && status.attempts == 0, "{status:?}");
        }
    }

    async fn what_arrives_while_its_channel_is_switched_off_is_not_sent_again(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        let gate = Arc::new(Notify::new());
        house.courier.then([Fate::Waits(gate.clone(), Box::new(Fate::Arrives))]);
        house.happen(ann, 2).await;
        let off = async {
            house.courier.until_taken(1).await;
            set_webhook(&house.core, ann, switched(false)).await.unwrap();
            gate.notify_one();
        };
        tokio::join!(house.work(), off);
        assert_eq!(house.webhook(ann).await.pending, 1);
        set_webhook(&house.core, ann, switched(true)).await.unwrap();
        house.work().await;
        assert_eq!(house.courier.numbers(), [1, 2]);
    }

    async fn a_channel_deleted_while_something_is_under_way_stays_deleted(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        let gate = Arc::new(Notify::new());
        house.courier.then([Fate::Waits(gate.clone(), Box::new(Fate::Arrives))]);
        house.happen(ann, 2).await;
        let delete = async {
            house.courier.until_taken(1).await;
            delete_channel(&house.core, ann, ChannelKind::Webhook).await.unwrap();
            gate.notify_one();
        };
        tokio::join!(house.work(), delete);
        house.work().await;
        assert_eq!(house.courier.numbers(), [1]);
        assert_eq!(settings(&house.core, ann).await.unwrap().webhook, None);
        assert_eq!(house.rest().await, None, "no job is left");
    }

    async fn one_channel_waits_for_no_other(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        let bob = house.subscriber("bob").await;
        set_email(&house.core, ann, ChannelChange::default()).await.unwrap();
        house.courier.then([Fate::Fails, Fate::Fails]);
        house.happen(ann, 1).await;
        house.work().await;
        house.happen(bob, 1).await;
        house.happen(ann, 1).await;
        house.work().await;
        assert_eq!(house.courier.taken().len(), 3, "both of ann's channels rest, bob's does not");
        house.clock.advance(RESTS[0]);
        house.work().await;
        let settings = settings(&house.core, ann).await.unwrap();
        assert_eq!((settings.webhook.unwrap().pending, settings.email.unwrap().pending), (0, 0));
    }

    async fn a_backlog_goes_out_in_few_turns(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        let (now, many) = (house.core.now(), MOST_IN_A_TURN + MOST_IN_A_TURN / 2);
        let emitted = house.core.db().write(move |tx| {
            (0..many).try_for_each(|_| emit(tx, ann, EventKind::WalletLow, &json!({}), now))
        });
        emitted.await.unwrap();
        assert_eq!(house.work().await, 2, "two turns");
        assert_whole_and_in_order(&house.courier.taken(), 1, i64::try_from(many).unwrap());
        assert_eq!(house.courier.taken().len(), many);
    }

    async fn what_was_forgotten_meanwhile_is_passed_over(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.courier.then([Fate::Fails]);
        house.happen(ann, 2).await;
        house.work().await;
        house.clock.advance(Duration::from_secs(10));
        house.happen(ann, 1).await;
        let forget = house.clock.now();
        let pruned = house.core.db().write(move |tx| Ok::<_, Error>(store::events::prune(tx, forget)?)).await;
        assert_eq!(pruned, Ok(2));
        house.work().await;
        assert_eq!(house.courier.numbers(), [1, 3]);
        assert_eq!(house.rest().await, None, "no job is left");
    }

    async fn what_cannot_be_understood_is_the_operators_business(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        house.happen(ann, 1).await;
        let broken = house.core.db().write(move |tx| {
            let mut channel = store::notice_channels::lock(tx, ann, "webhook")?.expect("a channel");
            channel.secret_sealed = Some(vec![1, 2, 3]);
            Ok::<_, Error>(store::notice_channels::write(tx, &channel)?)
        });
        broken.await.unwrap();
        house.work().await;
        assert_eq!(house.courier.numbers(), [0i64; 0]);
        let (jobs, _) = jobs::admin::list(&house.core, None, crate::Page::new(None, None).unwrap()).await.unwrap();
        assert_eq!((jobs[0].attempts, jobs[0].subject.as_str()), (1, "1:webhook"));
        assert_eq!(house.webhook(ann).await.attempts, 0, "the receiver is not to blame");
    }
}
