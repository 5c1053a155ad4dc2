//! The chain of entries shows what was changed behind everybody's back.

use tollgate_core::{audit, chain};
use tollgate_store::Sql;
use tollgate_testkit::on_both_databases;

use crate::world::World;

async fn chained(world: &World) -> chain::Mark {
    while chain::extend(&world.core).await.unwrap() {}
    chain::head(&world.core).await.unwrap()
}

async fn meddle(world: &World, statement: &'static str) {
    world.core.db().write(move |tx| tx.execute(Sql::new("meddle", statement), &[]).map(drop)).await.unwrap();
}

/// What the audit finds that speaks of the chain.
async fn found(world: &World) -> Vec<String> {
    let report = audit::run(&world.core).await.unwrap();
    let differences = report.differences.into_iter().map(|difference| difference.what);
    differences.filter(|what| what.contains("chain")).collect()
}

on_both_databases! {
    async fn whatever_is_changed_in_the_chain_is_found(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 100).await;
        for n in 0..4 {
            world.recharge(ann, 10, &format!("r{n}")).await;
        }
        assert!(found(&world).await.is_empty(), "entries that are not chained yet are no fault");
        assert_eq!(chained(&world).await.entries, 5);
        assert!(found(&world).await.is_empty());

        let altered = |place: i64| format!("entries that are not as they were chained, the first at place {place}");
        // Each is balanced still, and nobody's sum is another.
        meddle(&world, "UPDATE entries SET memo = 'x' WHERE place = 2").await;
        assert_eq!(found(&world).await, [altered(2)]);
        meddle(&world, "UPDATE entries SET memo = '' WHERE place = 2").await;
        meddle(&world, "UPDATE postings SET amount = amount * 2 WHERE entry_id =
                        (SELECT id FROM entries WHERE place = 5)").await;
        assert_eq!(found(&world).await, [altered(5)]);
        meddle(&world, "UPDATE postings SET amount = amount / 2 WHERE entry_id =
                        (SELECT id FROM entries WHERE place = 5)").await;
        assert!(found(&world).await.is_empty());

        meddle(&world, "DELETE FROM postings WHERE entry_id IN (SELECT id FROM entries WHERE place IN (2, 3))").await;
        meddle(&world, "DELETE FROM entries WHERE place IN (2, 3)").await;
        assert_eq!(found(&world).await, ["entries missing from the chain, the first at place 2"]);
        meddle(&world, "DELETE FROM postings WHERE entry_id = (SELECT id FROM entries WHERE place = 5)").await;
        meddle(&world, "DELETE FROM entries WHERE place = 5").await;
        let found = found(&world).await;
        assert!(found.contains(&"entries in the chain".to_owned()), "{found:?}");
    }

    async fn a_mark_misses_what_came_after_a_copy_was_made(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 100).await;
        let early = chained(&world).await;
        world.recharge(ann, 10, "r").await;
        let late = chained(&world).await;
        let ahead = chain::Mark { entries: late.entries + 2, ..late };
        let altered = chain::Mark { hash: early.hash, ..late };
        for (mark, says) in [
            (early, None),
            (late, None),
            (ahead, Some("the last 2 are missing")),
            (altered, Some("another database")),
        ] {
            let mut report = audit::Report::default();
            let what = world.core.db().read(move |tx| {
                audit::mark_in(tx, &mark, &mut report)?;
                Ok::<_, tollgate_core::Error>(std::mem::take(&mut report).differences)
            }).await.unwrap();
            let what: Vec<_> = what.into_iter().map(|difference| difference.what).collect();
            assert_eq!(what.len(), usize::from(says.is_some()), "{what:?}");
            assert!(says.is_none_or(|says| what[0].contains(says)), "{what:?}");
        }
    }
}
