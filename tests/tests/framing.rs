//! What an origin receives of plain HTTP requests, read by others than ourselves.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod programs;

use std::path::Path;
use std::process::Command;

use programs::{are_skipped, python, run};
use serde_json::json;
use tollgate_testkit::world::{Setup, World};

const USER: &str = "ann.one";
const PASSWORD: &str = "secret-1";

/// HP-30, HP-31, HP-33: h11 and httptools must find the same requests in what an origin receives, and
/// those that `framing/vectors.py` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_strict_parsers_agree_about_every_request_that_gets_through() {
    if are_skipped() {
        return;
    }
    let world = World::start(Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test")));
    let ann = world.customer("ann", 10_000).await;
    world.sub_account(&ann, USER, PASSWORD, 0).await;
    let exit = json!({ "name": "us", "proxy_type": "residential", "kind": "direct", "country": "us" });
    world.admin().post("/api/admin/exits", exit).await.data();

    let mut command = Command::new(python().await);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/framing/framing.py"));
    command.arg(world.gateway().to_string()).arg(format!("{USER}:{PASSWORD}"));
    let output = run(command, String::new()).await;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(" requests, ") && said.ends_with(" 0 wrong\n"), "{said}");
}
