//! Claims: whoever holds the newest may commit, and nobody else.

use std::time::Duration;

use tollgate_core::jobs::run::Queue;
use tollgate_core::jobs::{self, CLAIM_TTL};
use tollgate_core::{Actor, Page};
use tollgate_testkit::on_both_databases;

use crate::world::{DAY, World};

on_both_databases! {
    async fn a_job_whose_worker_has_died_is_done_by_another(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        world.work().await;
        world.clock.advance(31 * DAY);
        let claimed = jobs::run::claim(&world.core, Queue::House, 10).await.unwrap();
        assert_eq!(claimed.len(), 1);
        // It dies here.
        assert_eq!(jobs::run::claim(&world.core, Queue::House, 10).await.unwrap().len(), 0);
        world.work().await;
        assert_eq!(world.events(ann).await.len(), 0, "it is still its");
        world.clock.advance(CLAIM_TTL);
        world.work().await;
        assert_eq!(world.events(ann).await.len(), 1);
        // And comes back to life: it has nothing to commit any more.
        jobs::run::attempt(world.core.clone(), claimed[0].clone()).await;
        assert_eq!(world.events(ann).await.len(), 1);
        assert_eq!(world.dead_jobs().await.len(), 0);
        world.audit().await;
    }

    async fn an_older_claim_cannot_do_the_job(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        world.work().await;
        world.clock.advance(31 * DAY);
        let first = jobs::run::claim(&world.core, Queue::House, 10).await.unwrap().remove(0);
        world.clock.advance(CLAIM_TTL);
        let second = jobs::run::claim(&world.core, Queue::House, 10).await.unwrap().remove(0);
        assert_eq!((first.id, first.claim + 1), (second.id, second.claim));
        jobs::run::attempt(world.core.clone(), first).await;
        assert_eq!(world.events(ann).await.len(), 0, "it was taken away");
        jobs::run::attempt(world.core.clone(), second).await;
        assert_eq!(world.events(ann).await.len(), 1);
        world.audit().await;
    }

    async fn a_job_that_fails_rests_longer_each_time_and_dies_in_the_end(database) {
        let world = World::new(database).await;
        // A job about something that cannot be understood is a defect of ours.
        world.core.db().write(|tx| {
            let now = tollgate_types::Time::from_micros(0);
            tollgate_store::jobs::set(tx, "package.expiry", "nonsense", now, now)
        }).await.unwrap();
        let mut rests = Vec::new();
        let page = || Page::new(None, None).unwrap();
        while world.dead_jobs().await.is_empty() {
            world.work().await;
            let waiting = jobs::admin::list(&world.core, Some("waiting".into()), page()).await.unwrap().0;
            let Some(at) = waiting.first().map(|job| job.run_at) else { continue };
            rests.push(at.since(world.now()));
            world.clock.set(at);
        }
        assert_eq!((rests[0], rests.len()), (Duration::from_secs(5), 9));
        assert!(rests.windows(2).all(|pair| pair[0] < pair[1]));
        let dead = world.dead_jobs().await.remove(0);
        assert!(dead.last_error.contains("nonsense"), "{dead:?}");
        world.pass(10 * DAY).await;
        assert_eq!(world.dead_jobs().await, std::slice::from_ref(&dead));
        jobs::admin::retry(&world.core, Actor::Operator, dead.id).await.unwrap();
        world.work().await;
        assert_eq!(world.dead_jobs().await.len(), 0, "it rests again");
        assert!(jobs::admin::discard(&world.core, Actor::Operator, dead.id).await.is_err(), "it is not dead");
    }

    async fn what_has_grown_old_is_forgotten_again_and_again(database) {
        let world = World::new(database).await;
        jobs::run::begin(&world.core).await.unwrap();
        jobs::run::begin(&world.core).await.unwrap();
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(1, 1).await;
        world.buy(ann, offer).await;
        world.clock.advance(2 * DAY);
        world.work().await;
        assert_eq!(world.events(ann).await.len(), 1);
        world.clock.advance(89 * DAY);
        world.work().await;
        assert_eq!(world.events(ann).await.len(), 1);
        world.clock.advance(2 * DAY);
        world.work().await;
        assert_eq!(world.events(ann).await.len(), 0);
        // The numbers go on where they were.
        world.buy(ann, offer).await;
        world.clock.advance(2 * DAY);
        world.work().await;
        assert_eq!(world.events(ann).await[0].seq, 2);
    }
}
