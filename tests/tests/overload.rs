//! More than the program can take: it gives what it has, to whom it has it, and recovers.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tollgate_testkit::Origin;
use tollgate_testkit::client::{ProxyUser, Way};
use tollgate_testkit::world::{Setup, Sockets, World, eventually};

const PASSWORD: &str = "secret-1";
const PATIENCE: Duration = Duration::from_secs(30);
/// The handshake timeout here.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// What one clock tick of `/proc/PID/stat` is.
const TICK: Duration = Duration::from_millis(10);

fn setup() -> Setup {
    let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test"));
    setup.with("TOLLGATE_GATEWAY__HANDSHAKE_TIMEOUT", "3s").with("TOLLGATE_DRAIN_TIMEOUT", "1s")
}

/// A platform with one customer and an exit for him.
async fn stage(setup: Setup) -> (World, ProxyUser) {
    let world = World::start(setup);
    let ann = world.customer("ann", 1_000_000).await;
    world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    world.exit("us-1", "residential", "us", "127.0.0.1").await;
    let user = world.user(&format!("ann.one:{PASSWORD}"));
    (world, user)
}

/// This process needs as many descriptors as the program under test.
fn raise_own_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("its own limit");
}

fn pid(world: &World) -> Pid {
    Pid::from_raw(world.pid().cast_signed()).expect("a process id")
}

fn descriptors(world: &World) -> u64 {
    let folder = format!("/proc/{}/fd", world.pid());
    std::fs::read_dir(folder).expect("the program's descriptors").count() as u64
}

/// Gives the running program so many descriptors; `None` as many as it had.
fn limit(world: &World, current: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: current.or(maximum), maximum };
    prlimit(Some(pid(world)), Resource::Nofile, limit).expect("a child's limit");
}

/// The processor time that the program has used.
fn processor_time(world: &World) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", world.pid())).expect("its figures");
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    TICK * fields.map(|ticks| ticks.parse::<u32>().expect("ticks")).sum::<u32>()
}

/// The program's memory in KiB.
fn resident(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.pid())).expect("its figures");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpSocket::new_v4().expect("a socket").connect(address).await.expect("a connection")
}

async fn connect_many(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(connect(address).await);
    }
    clients
}

/// Whether the gateway has ended a connection on which nothing was said.
fn is_over(client: &TcpStream) -> bool {
    match client.try_read(&mut [0; 1]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Ok(1..) => panic!("the gateway spoke first"),
        Ok(0) | Err(_) => true,
    }
}

async fn echoes(tunnel: &mut TcpStream) {
    let echo = async {
        tunnel.write_all(b"ping").await?;
        let mut back = [0; 4];
        tunnel.read_exact(&mut back).await?;
        io::Result::Ok(back)
    };
    let back = tokio::time::timeout(PATIENCE, echo).await.expect("an echo in time");
    assert_eq!(back.expect("an echo"), *b"ping");
}

async fn echoing(user: &ProxyUser, origin: &Origin) -> TcpStream {
    let mut tunnel = user.tunnel(Way::Connect, &origin.address().to_string()).await.expect("admitted");
    tunnel.write_all(b"ECHO\n").await.expect("sent");
    echoes(&mut tunnel).await;
    tunnel
}

#[tokio::test]
async fn ld_03_without_descriptors_who_comes_is_closed_who_is_there_goes_on_and_it_recovers() {
    let (world, user) = stage(setup()).await;
    let origin = Origin::start().await;
    let mut tunnel = echoing(&user, &origin).await;
    limit(&world, Some(descriptors(&world) + 10));
    let before = (Instant::now(), processor_time(&world));
    let silent = connect_many(world.gateway(), 100).await;
    let over = || silent.iter().filter(|client| is_over(client)).count();
    eventually("those without room are closed", HANDSHAKE / 2, async || (over() >= 85).then_some(())).await;
    assert!(over() < 100, "some had room");
    echoes(&mut tunnel).await;
    eventually("the others are closed, too", HANDSHAKE * 2, async || (over() == 100).then_some(())).await;
    let (time, used) = (before.0.elapsed(), processor_time(&world) - before.1);
    assert!(used < time / 5, "{used:?} of {time:?} on the processor");
    limit(&world, None);
    echoing(&user, &origin).await;
    echoes(&mut tunnel).await;
}

#[tokio::test]
async fn ld_03_without_descriptors_who_comes_to_an_inherited_socket_waits_until_there_are_some() {
    let sockets = Sockets::bind();
    let (world, user) = stage(setup().listening_on(&sockets)).await;
    let origin = Origin::start().await;
    let mut tunnel = echoing(&user, &origin).await;
    // All of the first eight are in use for as long as the program runs.
    limit(&world, Some(8));
    let before = (Instant::now(), processor_time(&world));
    let waiting = tokio::spawn(async move {
        let mut late = echoing(&user, &origin).await;
        echoes(&mut late).await;
        origin
    });
    let spent = || before.0.elapsed() > HANDSHAKE;
    eventually("it has been tried for a while", HANDSHAKE * 2, async || spent().then_some(())).await;
    echoes(&mut tunnel).await;
    assert!(!waiting.is_finished());
    let (time, used) = (before.0.elapsed(), processor_time(&world) - before.1);
    assert!(used < time / 5, "{used:?} of {time:?} on the processor");
    limit(&world, None);
    waiting.await.expect("it is served");
}

#[tokio::test]
async fn ld_02_five_thousand_who_say_nothing_are_closed_in_time_and_keep_nobody_out() {
    raise_own_limit();
    let room = getrlimit(Resource::Nofile).current.map_or(5000, |limit| limit.saturating_sub(1000) / 3);
    let count = usize::try_from(room.min(5000)).expect("a small count");
    let (world, user) = stage(setup()).await;
    let origin = Origin::start().await;
    let began = Instant::now();
    let silent = connect_many(world.gateway(), count).await;
    let all_came = Instant::now();
    for _ in 0..20 {
        echoing(&user, &origin).await;
    }
    let served = Instant::now();
    assert!(served < all_came + HANDSHAKE, "others are served as if nothing was");
    let over = || silent.iter().filter(|client| is_over(client)).count();
    assert!(over() == 0 || served > began + HANDSHAKE, "nobody is closed before his time");
    let within = HANDSHAKE + HANDSHAKE / 2;
    eventually("all are closed", within, async || (over() == count).then_some(())).await;
    assert!(all_came.elapsed() > HANDSHAKE / 2);
    echoing(&user, &origin).await;
}

/// An origin that takes connections and reads nothing from them.
async fn deaf() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

/// Waits until a counter stands still.
async fn stands_still(what: &str, count: impl Fn() -> u64) {
    let give_up = Instant::now() + PATIENCE;
    let (mut last, mut still) = (0, 0);
    while still < 25 {
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = count();
        still = if now == last && now > 0 { still + 1 } else { 0 };
        last = now;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hp_47_who_reads_slowly_holds_the_sender_back_and_costs_no_memory_either_way() {
    const TUNNELS: usize = 50;
    /// What all of them together may cost, in KiB: far less than what waits in the sockets.
    const ALLOWED: u64 = 16 << 10;
    let (world, user) = stage(setup()).await;
    let (origin, deaf) = (Arc::new(Origin::start().await), deaf().await);
    let mut downloads = Vec::new();
    let mut uploads = Vec::new();
    for _ in 0..TUNNELS {
        downloads.push(user.tunnel(Way::Socks5, &origin.address().to_string()).await.expect("admitted"));
        uploads.push(user.tunnel(Way::Connect, &deaf.to_string()).await.expect("admitted"));
    }
    let before = resident(&world);
    for tunnel in &mut downloads {
        tunnel.write_all(b"SEND-FOREVER\n").await.expect("sent");
    }
    stands_still("the origin is held back", || origin.sent()).await;
    let sent = Arc::new(AtomicU64::new(0));
    for mut tunnel in uploads {
        let sent = sent.clone();
        tokio::spawn(async move {
            while let Ok(count) = tunnel.write(&[1; 65_536]).await {
                sent.fetch_add(count as u64, Ordering::SeqCst);
            }
        });
    }
    stands_still("clients are held back", || sent.load(Ordering::SeqCst)).await;
    let after = resident(&world);
    assert!(after < before + ALLOWED, "{before} KiB and {after} KiB");
    echoing(&user, &Origin::start().await).await;
}
