//! Calls that spend money, sent again because nobody heard the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tollgate_core::idempotency::{self, Listener, Once, Outcome, UnheardCall};
use tollgate_core::packages::{self, Bought};
use tollgate_core::{Actor, Core, Error, jobs, wallets};
use tollgate_store::Sql;
use tollgate_testkit::on_both_databases;
use tollgate_types::{AccountId, Cents, OfferId};

use crate::world::World;

/// Longer than a delivery can be under way.
const UNDECIDED_NO_MORE: Duration = Duration::from_secs(3);
/// How long an unheard answer is given again.
const REPEATED_FOR: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
struct Client {
    is_gone: AtomicBool,
}

impl Listener for Client {
    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::SeqCst)
    }
}

/// A call to buy an offer, from a client that waits for the answer.
fn call(core: &Core, offer: OfferId) -> UnheardCall {
    UnheardCall::new(core, "purchase", &[&offer.to_string()], Arc::new(Client::default()))
}

async fn buy(
    core: &Core,
    account: AccountId,
    offer: OfferId,
    call: &UnheardCall,
) -> Result<Outcome<Bought>, Error> {
    packages::buy(core, account, offer, Some(Once::Unheard(call.clone()))).await
}

/// Buys, and says that the answer was lost.
async fn buy_unheard(core: &Core, account: AccountId, offer: OfferId) -> Outcome<Bought> {
    let call = call(core, offer);
    let bought = buy(core, account, offer, &call).await.unwrap();
    idempotency::set_lost(core, account, &call).await.unwrap();
    bought
}

async fn kept(world: &World) -> i64 {
    const COUNT: Sql = Sql::new("count", "SELECT COUNT(*) FROM unheard_answers");
    world.core.db().read(|tx| tx.one(COUNT, &[], |row| row.i64(0))).await.unwrap()
}

on_both_databases! {
    async fn an_unheard_answer_is_given_again_by_any_process_and_charged_once(database) {
        let world = World::new(database).await;
        let (ann, offer) = (world.account("ann", 1000).await, world.offer(1, 30).await);
        let first = buy(&world.core, ann, offer, &call(&world.core, offer)).await.unwrap();
        assert!(!first.is_replayed);
        // As after a crash: nobody says how the delivery went.
        world.clock.advance(UNDECIDED_NO_MORE);
        let other = if world.is_postgres() { world.another().await } else { world.core.clone() };
        for _ in 0..3 {
            let again = buy_unheard(&other, ann, offer).await;
            assert_eq!(again, Outcome { value: first.value, is_replayed: true });
            world.clock.advance(REPEATED_FOR - Duration::from_secs(1));
        }
        assert_eq!(world.balance(ann).await, 900);
        world.clock.advance(Duration::from_secs(1));
        let next = buy_unheard(&world.core, ann, offer).await;
        assert!(!next.is_replayed && next.value != first.value, "{next:?}");
        assert_eq!((world.balance(ann).await, kept(&world).await), (800, 1));
        world.audit().await;
    }

    async fn answers_that_were_heard_are_of_purchases_of_their_own(database) {
        let world = World::new(database).await;
        let (ann, offer) = (world.account("ann", 1000).await, world.offer(1, 30).await);
        for _ in 0..3 {
            let call = call(&world.core, offer);
            assert!(!buy(&world.core, ann, offer, &call).await.unwrap().is_replayed);
            idempotency::set_heard(&world.core, ann, &call).await.unwrap();
        }
        assert_eq!((world.balance(ann).await, kept(&world).await), (700, 0));
    }

    async fn only_the_last_delivery_of_an_answer_can_be_heard_or_lost(database) {
        let world = World::new(database).await;
        let (ann, offer) = (world.account("ann", 1000).await, world.offer(1, 30).await);
        let (first, second) = (call(&world.core, offer), call(&world.core, offer));
        buy(&world.core, ann, offer, &first).await.unwrap();
        world.clock.advance(UNDECIDED_NO_MORE);
        assert!(buy(&world.core, ann, offer, &second).await.unwrap().is_replayed);
        idempotency::set_heard(&world.core, ann, &first).await.unwrap();
        assert_eq!(kept(&world).await, 1, "the second delivery is under way");
        idempotency::set_heard(&world.core, ann, &second).await.unwrap();
        assert_eq!(kept(&world).await, 0);
    }

    async fn another_account_call_or_parameter_is_another_purchase(database) {
        let world = World::new(database).await;
        let (ann, ben) = (world.account("ann", 1000).await, world.account("ben", 1000).await);
        let (offer, dearer) = (world.offer(1, 30).await, world.offer(2, 30).await);
        let calls = [(ann, offer), (ann, dearer), (ben, offer), (ben, dearer)];
        for (account, offer) in calls {
            assert!(!buy_unheard(&world.core, account, offer).await.is_replayed);
        }
        for (account, offer) in calls {
            assert!(buy_unheard(&world.core, account, offer).await.is_replayed);
        }
        assert_eq!((world.balance(ann).await, world.balance(ben).await), (700, 700));
        world.audit().await;
    }

    /// Two clients that buy the same at the same time: which of them a repetition is, shows how the first fares.
    async fn while_an_answer_is_under_way_the_same_call_waits_for_how_it_fares(database) {
        let world = World::new(database).await;
        let (ann, offer) = (world.account("ann", 1000).await, world.offer(1, 30).await);
        for (is_heard, balance) in [(true, 800), (false, 700)] {
            let first = call(&world.core, offer);
            let bought = buy(&world.core, ann, offer, &first).await.unwrap();
            let (core, writes) = (world.core.clone(), world.core.db().stats().writes);
            let second = tokio::spawn(async move {
                let call = call(&core, offer);
                let bought = buy(&core, ann, offer, &call).await.unwrap();
                idempotency::set_heard(&core, ann, &call).await.unwrap();
                bought
            });
            while world.core.db().stats().writes < writes + 2 {
                tokio::task::yield_now().await;
            }
            match is_heard {
                true => idempotency::set_heard(&world.core, ann, &first).await.unwrap(),
                false => idempotency::set_lost(&world.core, ann, &first).await.unwrap(),
            }
            let second = second.await.unwrap();
            assert_eq!((second.is_replayed, second.value == bought.value), (!is_heard, !is_heard));
            assert_eq!(world.balance(ann).await, balance);
        }
        world.audit().await;
    }

    /// The clocks of two processes may differ: no wait depends on them.
    async fn a_delivery_that_never_ends_is_not_waited_for_for_ever(database) {
        let world = World::new(database).await;
        let (ann, offer) = (world.account("ann", 1000).await, world.offer(1, 30).await);
        let first = buy(&world.core, ann, offer, &call(&world.core, offer)).await.unwrap();
        let again = buy(&world.core, ann, offer, &call(&world.core, offer)).await.unwrap();
        assert_eq!(again, Outcome { value: first.value, is_replayed: true });
    }

    async fn nothing_is_bought_for_who_has_gone_before(database) {
        let world = World::new(database).await;
        let (ann, offer) = (world.account("ann", 1000).await, world.offer(1, 30).await);
        let gone = Arc::new(Client { is_gone: true.into() });
        let call = UnheardCall::new(&world.core, "purchase", &[&offer.to_string()], gone);
        let refused = buy(&world.core, ann, offer, &call).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        assert_eq!((world.balance(ann).await, kept(&world).await), (1000, 0));
    }

    async fn a_correction_whose_answer_nobody_heard_is_made_once(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let correct = async || {
            let call = UnheardCall::new(&world.core, "adjust", &["-100"], Arc::new(Client::default()));
            let once = Some(Once::Unheard(call.clone()));
            let reason = "goodwill".to_owned();
            let done = wallets::adjust(&world.core, Actor::Operator, ann, Cents::new(-100), reason, once).await;
            idempotency::set_lost(&world.core, ann, &call).await.unwrap();
            done.unwrap()
        };
        let (first, second) = (correct().await, correct().await);
        assert_eq!((first.is_replayed, second.is_replayed, first.value), (false, true, second.value));
        assert_eq!(world.balance(ann).await, 900);
        world.audit().await;
    }

    async fn what_is_not_given_again_is_forgotten(database) {
        let world = World::new(database).await;
        let (ann, offer) = (world.account("ann", 1000).await, world.offer(1, 30).await);
        buy_unheard(&world.core, ann, offer).await;
        jobs::run::begin(&world.core).await.unwrap();
        world.work().await;
        assert_eq!(kept(&world).await, 1);
        world.clock.advance(Duration::from_secs(700));
        world.work().await;
        assert_eq!(kept(&world).await, 0);
    }
}
