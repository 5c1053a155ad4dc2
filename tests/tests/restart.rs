//! The program is restarted under load, again and again, while somebody else keeps its sockets open:
//! nobody is refused, nothing breaks off, and what is billed is what was moved, to the byte.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tollgate_testkit::client::{Api, ProxyUser, Way};
use tollgate_testkit::world::{Customer, Setup, Sockets, World, eventually, int};
use tollgate_testkit::{Origin, postgres};

const PASSWORD: &str = "secret-1";
const RESTARTS: usize = 3;
/// Clients of the gateway at once.
const CLIENTS: usize = 6;
/// What each of their transfers asks for, and gets as a whole.
const DOWNLOAD: usize = 300_000;

/// Clients that come one after the other, without end, and put down what went wrong.
struct Load {
    stop: Arc<AtomicBool>,
    transfers: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    fn start(user: &ProxyUser, api: &Api, origin: &Origin) -> Self {
        let mut load = Self { stop: Arc::default(), transfers: Arc::default(), tasks: Vec::new() };
        for n in 0..CLIENTS {
            let (user, target) = (user.clone(), origin.address().to_string());
            let (stop, transfers) = (load.stop.clone(), load.transfers.clone());
            load.tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    transfer(&user, n, &target).await.map_err(|why| format!("client {n}: {why}"))?;
                    transfers.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            }));
        }
        let (api, stop) = (api.clone(), load.stop.clone());
        load.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let answer = api.try_call("GET", "/api/users/wallet/info", &[], None).await;
                let answer = answer.map_err(|error| format!("the API: {error}"))?;
                if !answer.starts_with("HTTP/1.1 200 ") {
                    return Err(format!("the API: {answer:?}"));
                }
            }
            Ok(())
        }));
        load
    }

    /// Waits until so many more transfers have been made.
    async fn goes_on(&self, more: u64) {
        let before = self.transfers.load(Ordering::SeqCst);
        let broken = || self.tasks.iter().any(JoinHandle::is_finished);
        eventually("the load goes on", Duration::from_secs(30), async || {
            (broken() || self.transfers.load(Ordering::SeqCst) >= before + more).then_some(())
        })
        .await;
    }

    /// Demands that nothing went wrong.
    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            assert_eq!(task.await.expect("a client"), Ok(()));
        }
    }
}

/// One connection, one transfer, whichever way is this client's.
async fn transfer(user: &ProxyUser, client: usize, target: &str) -> Result<(), String> {
    let got = match client % 3 {
        0 => download(user, Way::Connect, target).await?,
        1 => download(user, Way::Socks5, target).await?,
        _ => {
            let answer = user.get(&format!("http://{target}/bytes/{DOWNLOAD}")).await;
            let answer = answer.map_err(|error| error.to_string())?;
            answer.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len())
        }
    };
    if got == DOWNLOAD { Ok(()) } else { Err(format!("{got} of {DOWNLOAD} bytes")) }
}

async fn download(user: &ProxyUser, way: Way, target: &str) -> Result<usize, String> {
    let tunnel = user.try_tunnel(way, target).await.map_err(|error| format!("{way:?}: {error}"))?;
    let mut tunnel = tunnel.map_err(|refused| format!("{way:?}: {refused:?}"))?;
    let mut got = Vec::new();
    let ask = format!("SEND {DOWNLOAD}\n");
    tunnel.write_all(ask.as_bytes()).await.map_err(|error| format!("{way:?}, asking: {error}"))?;
    tunnel.read_to_end(&mut got).await.map_err(|error| format!("{way:?}, reading: {error}"))?;
    Ok(got.len())
}

/// Ann, who has money and a sub-account, and exits for her traffic.
async fn stage(world: &World) -> (Customer, i64) {
    let ann = world.customer("ann", 1_000_000).await;
    let sub_account = world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    world.exit("us-1", "residential", "us", "127.0.0.1").await;
    (ann, sub_account)
}

/// Waits until what is billed is what the origin counted, exactly.
async fn is_billed_exactly(world: &World, ann: &Customer, sub_account: i64, origin: &Origin) {
    let counted = i64::try_from(origin.received() + origin.sent()).expect("a count that fits");
    eventually(&format!("{counted} bytes are billed"), Duration::from_secs(10), async || {
        let answer = world.api(&ann.key).get(&format!("/api/users/subuser/{sub_account}")).await;
        (int(&answer.data()["used_res_traffic"]) == counted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_15_one_process_restarts_and_who_comes_meanwhile_waits() {
    let sockets = Sockets::bind();
    let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test")).listening_on(&sockets);
    let mut world = World::start(setup);
    let origin = Origin::start().await;
    let (ann, sub_account) = stage(&world).await;
    let user = world.user(&format!("ann.one:{PASSWORD}"));
    let target = origin.address().to_string();
    let load = Load::start(&user, &world.api(&ann.key), &origin);
    for _ in 0..RESTARTS {
        load.goes_on(30).await;
        world.stop();
        // Nobody is there to serve it, and yet it is connected.
        let meanwhile = tokio::spawn({
            let (user, target) = (user.clone(), target.clone());
            async move { download(&user, Way::Connect, &target).await }
        });
        world.boot();
        assert_eq!(meanwhile.await.expect("a client"), Ok(DOWNLOAD));
    }
    load.goes_on(30).await;
    load.end().await;
    is_billed_exactly(&world, &ann, sub_account, &origin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_15_one_process_takes_over_from_another_without_a_pause() {
    let Some(database) = postgres::fresh_database() else { return };
    let sockets = Sockets::bind();
    let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test"))
        .on(Some(database.to_string()))
        .listening_on(&sockets);
    let mut world = World::start(setup.clone());
    let origin = Origin::start().await;
    let (ann, sub_account) = stage(&world).await;
    let load = Load::start(&world.user(&format!("ann.one:{PASSWORD}")), &world.api(&ann.key), &origin);
    for _ in 0..RESTARTS {
        load.goes_on(30).await;
        let mut next = World::asleep(setup.clone());
        world.give_key_to(&next);
        next.boot();
        load.goes_on(10).await;
        world.stop();
        world = next;
    }
    load.goes_on(30).await;
    load.end().await;
    is_billed_exactly(&world, &ann, sub_account, &origin).await;
}
