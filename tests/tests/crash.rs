//! The program is killed at random moments under load, again and again: nothing acknowledged is
//! lost or doubled, and what is billed is never more than what the origin counted.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::{PASSWORD, both_databases};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollgate_testkit::Origin;
use tollgate_testkit::client::{Api, ProxyUser, Way};
use tollgate_testkit::world::{Setup, World, int};

/// How often the program is killed in one story.
const KILLS: u64 = 20;

/// How often the files are copied under load.
const COPIES: u64 = 6;

/// What the client and the origin saw of purchases, over all kills.
#[derive(Default)]
struct Purchases {
    acknowledged: AtomicI64,
    /// No answer came: bought or not, but never twice.
    unknown: AtomicI64,
}

both_databases!(killed_twenty_times_under_load, |mut world: World| async move {
    let origin = Arc::new(Origin::start().await);
    let ann = world.customer("ann", 1_000_000_000).await;
    let sub_account = world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    for n in 1..=3 {
        world.exit(&format!("us-{n}"), "residential", "us", &format!("127.0.0.{n}")).await;
    }
    let offer = world.offer("residential", 1, 1).await;
    let purchases = Arc::new(Purchases::default());
    let mut may_be_lost = 0;
    for round in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let load = [
            tokio::spawn(downloads(
                world.user(&format!("ann.one:{PASSWORD}")),
                origin.clone(),
                Way::Connect,
                stop.clone(),
            )),
            tokio::spawn(downloads(
                world.user(&format!("ann.one:{PASSWORD}")),
                origin.clone(),
                Way::Socks5,
                stop.clone(),
            )),
            tokio::spawn(buy(world.api(&ann.key), offer, round, purchases.clone(), stop.clone())),
        ];
        // Moments spread evenly, without a generator: a different one in each round.
        let moment = Duration::from_millis(1100 + (round * 379) % 900);
        let last_second = flow_of_the_last_second(&origin, moment).await;
        world.kill();
        stop.store(true, Ordering::SeqCst);
        for task in load {
            task.await.expect("the load ends with the program");
        }
        world.audit();
        world.boot();
        may_be_lost += last_second;
        let (billed, counted) = (billed(&world, &ann.key, sub_account).await, moved(&origin));
        assert!(billed <= counted, "round {round}: {billed} bytes billed, the origin counted {counted}");
        assert!(
            counted - billed <= may_be_lost,
            "round {round}: {billed} of {counted} billed, {may_be_lost} moved in the last seconds before kills"
        );
    }
    let (billed, counted) = (billed(&world, &ann.key, sub_account).await, moved(&origin));
    eprintln!(
        "{KILLS} kills: {billed} of {counted} bytes billed; {may_be_lost} moved in the last seconds before kills"
    );
    let current = world.api(&ann.key).get("/api/users/traffic/packages/current").await;
    let bought = int(&current.data()["residential"]["total_traffic"]) >> 30;
    let (acknowledged, unknown) =
        (purchases.acknowledged.load(Ordering::SeqCst), purchases.unknown.load(Ordering::SeqCst));
    assert!(acknowledged > 0, "a story without purchases");
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&bought),
        "{acknowledged} acknowledged, {unknown} unknown, {bought} bought"
    );
});

/// CF-10: what lies on the disk at any moment is a whole state. The program is stopped for the time of
/// the copy, so that all files are of one moment, and never told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_files_at_any_moment_is_a_platform() {
    let world = World::start(Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test")));
    let origin = Arc::new(Origin::start().await);
    let ann = world.customer("ann", 1_000_000_000).await;
    let sub_account = world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    world.exit("us-1", "residential", "us", "127.0.0.1").await;
    let offer = world.offer("residential", 1, 1).await;
    let (stop, purchases) = (Arc::new(AtomicBool::new(false)), Arc::new(Purchases::default()));
    let user = world.user(&format!("ann.one:{PASSWORD}"));
    let load = [
        tokio::spawn(downloads(user, origin.clone(), Way::Connect, stop.clone())),
        tokio::spawn(buy(world.api(&ann.key), offer, 0, purchases.clone(), stop.clone())),
    ];
    let pid = Pid::from_raw(i32::try_from(world.pid()).expect("a process id")).expect("not 0");
    let signal = |signal| kill_process(pid, signal).expect("its own child can be signalled");
    for round in 0..COPIES {
        tokio::time::sleep(Duration::from_millis(150 + (round * 79) % 200)).await;
        let acknowledged = purchases.acknowledged.load(Ordering::SeqCst);
        let mut copy = World::asleep(Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test")));
        signal(Signal::STOP);
        copy_files(world.data_dir(), copy.data_dir());
        signal(Signal::CONT);
        copy.audit();
        copy.boot();
        let current = copy.api(&ann.key).get("/api/users/traffic/packages/current").await;
        let bought = int(&current.data()["residential"]["total_traffic"]) >> 30;
        assert!(bought >= acknowledged, "round {round}: {bought} of {acknowledged} acknowledged purchases");
        let (billed, counted) = (billed(&copy, &ann.key, sub_account).await, moved(&origin));
        assert!(billed <= counted, "round {round}: {billed} bytes billed, the origin counted {counted}");
    }
    stop.store(true, Ordering::SeqCst);
    for task in load {
        task.await.expect("the load ends");
    }
}

/// Copies a folder of files.
fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let beside = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            std::fs::create_dir_all(&beside).expect("a folder");
            copy_files(&path, &beside);
        } else {
            std::fs::copy(&path, beside).expect("a copy");
        }
    }
}

fn moved(origin: &Origin) -> i64 {
    i64::try_from(origin.received() + origin.sent()).expect("a count that fits")
}

async fn billed(world: &World, key: &str, sub_account: i64) -> i64 {
    let answer = world.api(key).get(&format!("/api/users/subuser/{sub_account}")).await;
    int(&answer.data()["used_res_traffic"])
}

/// Lets the load run for a while; says what the origin moved in the last second of it.
async fn flow_of_the_last_second(origin: &Origin, moment: Duration) -> i64 {
    let end = Instant::now() + moment;
    let mut samples = vec![(Instant::now(), moved(origin))];
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
        samples.push((Instant::now(), moved(origin)));
    }
    let second_ago = Instant::now() - Duration::from_secs(1);
    let before = samples.iter().rev().find(|(at, _)| *at <= second_ago).map_or(0, |(_, moved)| *moved);
    // What is on its way into the sockets when the program dies moves a little later.
    moved(origin) - before + SOCKET_BUFFERS
}

/// How much one download asks for.
const DOWNLOAD: i64 = 3_000_000;

/// The origin counts what it hands to the system. What waits in the sockets' buffers between it and
/// the gateway, at most one download of each of the two tunnels, was never the gateway's to bill.
const SOCKET_BUFFERS: i64 = 2 * DOWNLOAD;

/// Downloads of a few megabytes, one after the other, until the story says to stop.
async fn downloads(user: ProxyUser, origin: Arc<Origin>, way: Way, stop: Arc<AtomicBool>) {
    let target = origin.address().to_string();
    while !stop.load(Ordering::SeqCst) {
        let once = async {
            let mut tunnel = user.try_tunnel(way, &target).await.ok()?.ok()?;
            tunnel.write_all(format!("SEND {DOWNLOAD}\n").as_bytes()).await.ok()?;
            let mut chunk = vec![0; 256 * 1024];
            while tunnel.read(&mut chunk).await.ok()? > 0 {}
            // Not as fast as the machine can: twenty rounds are about moments, not about gigabytes.
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some(())
        };
        if once.await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn buy(api: Api, offer: i64, round: u64, purchases: Arc<Purchases>, stop: Arc<AtomicBool>) {
    let body = json!({ "traffic_package_id": offer, "payment_type": "wallet_only" });
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let key = format!("{round}-{n}");
        let path = "/api/users/traffic/packages/purchase";
        let answer = api.try_call("POST", path, &[("Idempotency-Key", &key)], Some(&body)).await;
        let code = answer.ok().and_then(|text| {
            let body: Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
            body["code"].as_i64()
        });
        match code {
            Some(0) => purchases.acknowledged.fetch_add(1, Ordering::SeqCst),
            _ => purchases.unknown.fetch_add(1, Ordering::SeqCst),
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
