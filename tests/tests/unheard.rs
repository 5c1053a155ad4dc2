//! Real clients that send a purchase again by themselves, behind a relay that loses answers; and a program
//! that is killed while it answers. Whatever happens, what was asked for once is bought once.
//!
//! Needs curl, wget and Python as `tests/clients` does.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "no sub-account has a part in these stories")]
mod common;
mod programs;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use common::both_databases;
use programs::{are_skipped, python, run};
use tollgate_testkit::LossyRelay;
use tollgate_testkit::client::header;
use tollgate_testkit::relay::{End, Fate};
use tollgate_testkit::world::{Customer, World, int};

const PURCHASE: &str = "/api/users/traffic/packages/purchase";
const ME: &str = "/api/users/me/info";

/// What each offer of these stories costs, in cents.
const PRICE: i64 = 10;

fn purchase(offer: i64) -> String {
    format!("{PURCHASE}?traffic_package_id={offer}&payment_type=wallet_only")
}

/// How often the program is killed in one story.
const KILLS: u64 = 16;

/// Clients that send a GET again by themselves.
const CLIENTS: [&str; 5] = ["curl", "curl --retry", "wget", "urllib3", "aiohttp"];

/// A client that is to ask for these paths with a key, one after the other, over one connection if it keeps any.
async fn client(name: &str, server: SocketAddr, key: &str, paths: &[&str]) -> Command {
    let header = format!("X-API-Key: {key}");
    let curl = ["-q", "-sS", "--noproxy", "*", "--max-time", "60", "-H", &header];
    let mut command = match name {
        "curl" | "curl --retry" => Command::new("curl"),
        "wget" => Command::new("wget"),
        _ => Command::new(python().await),
    };
    match name {
        "curl" => command.args(curl),
        "curl --retry" => {
            command.args(curl).args(["--retry", "5", "--retry-all-errors", "--retry-delay", "1"])
        }
        "wget" => command.args(["-q", "--no-config", "-O", "-", "--waitretry=1", "--header", &header]),
        _ => command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/unheard_clients.py"), name, key]),
    };
    command.args(paths.iter().map(|path| format!("http://{server}{path}")));
    command
}

/// What a customer has bought, and how it was paid for.
async fn bought(world: &World, ann: &Customer) -> (i64, i64) {
    let api = world.api(&ann.key);
    let wallet = api.get("/api/users/wallet/info").await;
    let current = api.get("/api/users/traffic/packages/current").await;
    let packages = current.data()["residential"]["packages"].as_array().map_or(0, Vec::len);
    (i64::try_from(packages).expect("a small number"), int(&wallet.data()["total_consume"]))
}

/// Has a client buy something through a relay that loses answers; gives how often it asked.
async fn buy_through(world: &World, ann: &Customer, name: &str, lost: &[Fate]) -> usize {
    let before = bought(world, ann).await;
    let purchase = purchase(world.offer("residential", 1, PRICE).await);
    let fates = [Fate::Passed].into_iter().chain(lost.iter().copied());
    let relay = LossyRelay::start(world.api_address(), fates).await;
    let output = run(client(name, relay.address(), &ann.key, &[ME, &purchase]).await, String::new()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let asked = relay.requests().iter().filter(|line| line.contains(PURCHASE)).count();
    let what = format!("{name}, {lost:?}, asked {asked} times: {said} {}", output.status);
    assert!(said.contains("\"amount\":10"), "{what}");
    assert_eq!(relay.fates_left(), 0, "{what}");
    assert_eq!(bought(world, ann).await, (before.0 + 1, before.1 + PRICE), "{what}");
    asked
}

both_databases!(what_real_clients_send_again_is_bought_once, |world: World| async move {
    if are_skipped() {
        return;
    }
    let ann = world.customer("ann", 100_000).await;
    for end in [End::Fin, End::Reset] {
        for lost in [Fate::CutAfterRequest(end), Fate::CutWithinAnswer(0, end)] {
            for name in CLIENTS {
                assert_eq!(buy_through(&world, &ann, name, &[lost]).await, 2, "{name}, {lost:?}");
            }
        }
    }
    // These try more than once more, and after a part of an answer, too.
    let lost = [Fate::CutWithinAnswer(20, End::Reset), Fate::CutWithinAnswer(90, End::Reset)];
    for name in ["curl --retry", "wget", "urllib3"] {
        assert_eq!(buy_through(&world, &ann, name, &lost).await, 3, "{name}");
    }
    // Whoever buys on purpose has what was bought: curl keeps the connection, or comes again by another.
    let purchase = purchase(world.offer("residential", 1, PRICE).await);
    let before = bought(&world, &ann).await;
    for paths in [&[&*purchase, &*purchase][..], &[&purchase]] {
        let command = client("curl", world.api_address(), &ann.key, paths).await;
        assert!(run(command, String::new()).await.status.success());
    }
    assert_eq!(bought(&world, &ann).await, (before.0 + 3, before.1 + 3 * PRICE));
});

both_databases!(what_is_asked_again_after_a_kill_is_bought_once, |mut world: World| async move {
    let ann = world.customer("ann", 100_000).await;
    let (mut asked_again, mut replayed) = (0, 0);
    for round in 0..KILLS {
        let purchase = purchase(world.offer("residential", 1, PRICE).await);
        let api = world.api(&ann.key);
        let path = purchase.clone();
        let asking = tokio::spawn(async move { api.try_call("GET", &path, &[], None).await });
        // Moments from before the transaction to after the answer, each tried.
        tokio::time::sleep(Duration::from_micros(500 * round)).await;
        world.kill();
        let answer = asking.await.expect("it ends with the program").unwrap_or_default();
        world.boot();
        if !answer.contains("\"amount\":10") {
            let again = world.api(&ann.key).get(&purchase).await;
            assert_eq!(int(&again.data()["amount"]), PRICE);
            asked_again += 1;
            replayed += u64::from(header(&again.head, "idempotency-replayed") == "true");
        }
        let count = i64::try_from(round).expect("a small number") + 1;
        assert_eq!(bought(&world, &ann).await, (count, count * PRICE), "round {round}");
    }
    eprintln!(
        "{KILLS} kills: {asked_again} asked again, {replayed} of those had been bought before the kill"
    );
});
