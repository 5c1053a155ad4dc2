//! What stories share.

use tollgate_testkit::postgres;
use tollgate_testkit::world::{Setup, World};

/// Every sub-account's password.
pub(crate) const PASSWORD: &str = "secret-1";

/// A world on one database: `sqlite` or `postgres`. `None` where PostgreSQL is to be skipped.
pub(crate) fn world_on(database: &str) -> Option<World> {
    let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test"));
    match database {
        "sqlite" => Some(World::start(setup)),
        _ => Some(World::start(setup.on(Some(postgres::fresh_database()?.to_string())))),
    }
}

/// Tells one story on both databases, as two tests.
macro_rules! both_databases {
    ($name:ident, $story:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                if let Some(world) = crate::common::world_on("sqlite") {
                    ($story)(world).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(world) = crate::common::world_on("postgres") {
                    ($story)(world).await;
                }
            }
        }
    };
}

pub(crate) use both_databases;
