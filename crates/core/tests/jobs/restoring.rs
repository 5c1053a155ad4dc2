//! A platform that was restored as it was some time ago.

use tollgate_core::{events, notices, packages};
use tollgate_testkit::on_both_databases;
use tollgate_types::Cents;

use crate::world::World;

on_both_databases! {
    /// Receivers and those who poll pass over every number up to the highest that they have had.
    async fn a_restored_platform_gives_no_number_out_again(database) {
        let world = World::new(database).await;
        let (ann, ben) = (world.account("ann", 1000).await, world.account("ben", 1000).await);
        let offer = world.offer(2, 30).await;
        for account in [ann, ben] {
            notices::set_low_balance(&world.core, account, Cents::new(900)).await.unwrap();
        }
        world.buy(ann, offer).await;
        // Restored as it was now; what came after it is lost here, but not to those who were told.
        world.core.db().write(events::restored_in).await.unwrap();
        world.recharge(ann, 1000, "second").await;
        for account in [ann, ben] {
            for _ in 0..5 {
                packages::buy(&world.core, account, offer, None).await.ok();
            }
        }
        let seen = events::since(&world.core, ann, 1, None).await.unwrap().0;
        assert!(!seen.is_empty() && seen.iter().all(|event| event.seq > 1 << 20), "{seen:?}");
        let first = events::since(&world.core, ben, 0, None).await.unwrap().0.remove(0);
        assert!(first.seq > 1 << 20, "an account that had heard of nothing yet by the backup");
        world.audit().await;
    }
}
