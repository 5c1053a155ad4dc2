use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tollgate_types::{AccountEntry, AccountId, DirectoryChange, SubAccountEntry, Time};

use super::*;
use crate::live::{Admission, ConnectionInfo, Live, LiveConnection};
use crate::revoke;
use crate::testing::{FakeControl, payer, payer_of};

const MB: u64 = 1 << 20;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One run of a gateway's metering.
struct Run {
    control: Arc<FakeControl>,
    purses: Arc<Purses<FakeControl>>,
    live: Arc<Live>,
    stats: Arc<Stats>,
    tasks: Vec<JoinHandle<()>>,
    /// Removed with the first run in it.
    _folder: Option<tempfile::TempDir>,
}

impl Run {
    async fn start(control: &Arc<FakeControl>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = Self::start_in(control, folder.path(), 1);
        run.purses.recover().await.unwrap();
        Self { _folder: Some(folder), ..run }
    }

    fn start_in(control: &Arc<FakeControl>, folder: &Path, boot: i64) -> Self {
        Self::start_on(control, Journal::open(folder, GatewayId::new(3)).unwrap(), boot)
    }

    fn start_on(control: &Arc<FakeControl>, journal: (Journal, Vec<LeaseUsage>), boot: i64) -> Self {
        let stats = Arc::new(Stats::default());
        let purses = Purses::new(control.clone(), BootId::new(boot), journal, stats.clone());
        let live = Arc::new(Live::default());
        let reporting = {
            let purses = purses.clone();
            tokio::spawn(async move { purses.run().await })
        };
        let revoking = tokio::spawn(revoke::watch(control.directory(), live.clone(), purses.clone()));
        let tasks = vec![reporting, revoking];
        Self { control: control.clone(), purses, live, stats, tasks, _folder: None }
    }

    /// A connection admitted by address, with its purse.
    async fn connect(&self, account: AccountId) -> Connection {
        let address = Ipv4Addr::LOCALHOST.into();
        let entry = self.control.directory().borrow().whitelisted(address).map(|entry| entry.id);
        let entry = entry.unwrap_or_else(|| self.control.whitelist(account, 1, address));
        self.admit(payer(account), Admission::Whitelist(entry)).await
    }

    async fn connect_as(&self, entry: &SubAccountEntry) -> Connection {
        self.admit(payer_of(entry), Admission::Credentials(entry.id, entry.password)).await
    }

    async fn admit(&self, payer: Payer, admission: Admission) -> Connection {
        let purse = self.purses.open(payer).await.unwrap();
        let live = self.enter(&purse, admission);
        Connection { purse, live }
    }

    fn enter(&self, purse: &Arc<Purse>, admission: Admission) -> LiveConnection {
        let info = ConnectionInfo {
            payer: purse.payer(),
            username: String::new(),
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            target: "example.com:443".to_owned(),
            protocol: "connect",
            since: Time::from_micros(0),
        };
        self.live.enter(info, purse.clone(), admission, self.stats.clone())
    }

    /// Everything comes to rest without anybody's doing: nothing is held, nothing is remembered, and
    /// the account is charged exactly so much.
    async fn rests_at(&self, account: AccountId, used: u64) {
        eventually(secs(20), || self.purses.count() == 0).await;
        assert_eq!((self.control.used(account), self.control.held(account)), (used, 0));
        assert_eq!(self.control.faults(), Vec::<String>::new());
    }

    /// The process is gone, from one moment to the next.
    async fn crash(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        // A write that has begun ends, as the kernel would end it.
        drop(lock(&self.purses.journal));
    }
}

struct Connection {
    purse: Arc<Purse>,
    live: LiveConnection,
}

impl Connection {
    /// Forwards so many bytes, or as many as are granted.
    async fn forward(&self, bytes: u64) -> Result<(), (u64, LeaseDenied)> {
        forward(&self.purse, bytes, 64 << 10).await
    }

    async fn is_cut_within(&self, time: Duration) -> bool {
        timeout(time, self.live.cut()).await.is_ok()
    }
}

async fn forward(purse: &Purse, bytes: u64, slice: usize) -> Result<(), (u64, LeaseDenied)> {
    let mut left = bytes;
    while left > 0 {
        let taken = purse.take(slice.min(usize::try_from(left).unwrap()));
        if taken == 0 {
            purse.refill().await.map_err(|denied| (bytes - left, denied))?;
            continue;
        }
        purse.spent(taken);
        left -= taken as u64;
    }
    Ok(())
}

/// Waits for a condition, but not forever.
async fn eventually(within: Duration, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < give_up, "not within {within:?}");
        sleep(millis(10)).await;
    }
}

// Exactness ----------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn everything_granted_is_forwarded_and_then_the_connection_ends() {
    let control = FakeControl::new();
    let account = control.account(1, 5 * MB + 7);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    assert_eq!(connection.forward(u64::MAX).await, Err((5 * MB + 7, LeaseDenied::BalanceEmpty)));
    assert_eq!(run.purses.open(payer(account)).await.err(), Some(LeaseDenied::BalanceEmpty));
    drop(connection);
    run.rests_at(account, 5 * MB + 7).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_ends_a_connection_to_the_byte_and_says_so() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let limited = control.sub_account(account, 1, "a", "b", 1_000_003);
    let run = Run::start(&control).await;
    let connection = run.connect_as(&limited).await;
    let started = Instant::now();
    assert_eq!(connection.forward(u64::MAX).await, Err((1_000_003, LeaseDenied::TrafficLimit)));
    assert!(started.elapsed() < secs(1));
    drop(connection);
    run.rests_at(account, 1_000_003).await;
}

#[tokio::test(start_paused = true)]
async fn who_finds_nothing_waits_for_what_others_have_taken_and_may_give_back() {
    let control = FakeControl::new();
    let account = control.account(1, 1000);
    let run = Run::start(&control).await;
    let (first, second) = (run.connect(account).await, run.connect(account).await);
    assert_eq!(first.purse.take(1000), 1000);
    let waiting = tokio::spawn(async move { second.forward(u64::MAX).await });
    sleep(millis(700)).await;
    first.purse.spent(400);
    assert!(!waiting.is_finished());
    first.purse.give_back(600);
    assert_eq!(waiting.await.unwrap(), Err((600, LeaseDenied::BalanceEmpty)));
    drop(first);
    run.rests_at(account, 1000).await;
}

#[tokio::test(start_paused = true)]
async fn connections_at_rest_are_cut_once_all_is_used_up() {
    let control = FakeControl::new();
    let account = control.account(1, 1000);
    let run = Run::start(&control).await;
    let (busy, resting) = (run.connect(account).await, run.connect(account).await);
    assert!(!resting.is_cut_within(secs(60)).await);
    assert_eq!(busy.forward(u64::MAX).await, Err((1000, LeaseDenied::BalanceEmpty)));
    assert!(resting.is_cut_within(secs(1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_connections_forward_exactly_what_there_is() {
    for round in 0..4_u64 {
        let control = FakeControl::new();
        let funds = 3 * MB + round;
        let account = control.account(1, funds);
        control.set_largest(200_000);
        let run = Run::start(&control).await;
        let mut racers = tokio::task::JoinSet::new();
        let mut connections = Vec::new();
        for _ in 0..32 {
            connections.push(run.connect(account).await);
        }
        for (racer, connection) in (0..).zip(connections) {
            racers.spawn(async move { race(&connection, racer).await });
        }
        let all: Vec<(u64, LeaseDenied)> = timeout(secs(60), racers.join_all()).await.unwrap();
        assert_eq!(all.iter().map(|(forwarded, _)| forwarded).sum::<u64>(), funds);
        assert!(all.iter().all(|(_, denied)| *denied == LeaseDenied::BalanceEmpty));
        run.rests_at(account, funds).await;
    }
}

/// Takes slices of all sizes, forwards some of each, and gives back the rest.
async fn race(connection: &Connection, seed: u64) -> (u64, LeaseDenied) {
    let (mut forwarded, mut random) = (0, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    loop {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let taken = connection.purse.take(1 + usize::try_from(random % 5000).unwrap());
        if taken == 0 {
            match connection.purse.refill().await {
                Ok(()) => continue,
                Err(denied) => return (forwarded, denied),
            }
        }
        if random.is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
        let spent = taken.min(1 + usize::try_from(random >> 40).unwrap() % 5000);
        connection.purse.spent(spent);
        connection.purse.give_back(taken - spent);
        forwarded += spent as u64;
    }
}

// Asking -------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn asks_ahead_of_need() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    control.set_latency(millis(20));
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    let mut waited = 0;
    // 12.5 MB a second for ten seconds.
    for turn in 0..2000 {
        while connection.purse.take(62_500) < 62_500 {
            waited += 1;
            assert!(turn < 200, "waited after {turn} turns");
            connection.purse.refill().await.unwrap();
        }
        connection.purse.spent(62_500);
        sleep(millis(5)).await;
    }
    assert!(waited < 20, "waited {waited} times");
    // Two seconds' worth each, and the warming up.
    assert!(control.asked() < 30, "asked {} times", control.asked());
    assert!(control.held(account) < 120 * MB);
}

#[tokio::test(start_paused = true)]
async fn a_flood_that_is_refused_does_not_reach_the_control_plane() {
    let control = FakeControl::new();
    let account = control.account(1, 0);
    let run = Run::start(&control).await;
    for _ in 0..1000 {
        assert_eq!(run.purses.open(payer(account)).await.err(), Some(LeaseDenied::BalanceEmpty));
        sleep(millis(1)).await;
    }
    assert!(control.asked() <= 5, "asked {} times", control.asked());
    assert_eq!(run.stats.leases_denied.load(Ordering::Relaxed), control.asked() as u64);
}

#[tokio::test(start_paused = true)]
async fn funds_held_elsewhere_are_waited_for() {
    let control = FakeControl::new();
    let account = control.account(1, 1000);
    let other = control.sub_account(account, 1, "a", "b", 0);
    let run = Run::start(&control).await;
    let holder = run.connect_as(&other).await;
    assert_eq!(holder.purse.take(1000), 1000);
    let started = Instant::now();
    assert_eq!(run.purses.open(payer(account)).await.err(), Some(LeaseDenied::HeldElsewhere));
    assert!(started.elapsed() >= secs(5) && started.elapsed() < millis(5200));
    let waiting = {
        let purses = run.purses.clone();
        tokio::spawn(async move { purses.open(payer(account)).await })
    };
    sleep(secs(1)).await;
    holder.purse.give_back(900);
    holder.purse.spent(100);
    drop(holder);
    let purse = waiting.await.unwrap().unwrap();
    assert_eq!(forward(&purse, u64::MAX, 100).await, Err((900, LeaseDenied::BalanceEmpty)));
}

#[tokio::test(start_paused = true)]
async fn money_added_is_usable_within_a_second() {
    let control = FakeControl::new();
    let account = control.account(1, 100);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    assert!(connection.forward(101).await.is_err());
    assert!(run.purses.open(payer(account)).await.is_err());
    control.add_funds(account, 50);
    let started = Instant::now();
    loop {
        if let Ok(purse) = run.purses.open(payer(account)).await {
            assert_eq!(forward(&purse, 50, 50).await, Ok(()));
            break;
        }
        sleep(millis(10)).await;
    }
    assert!(started.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn live_connections_outlast_a_control_plane_that_is_away_for_a_while() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    connection.forward(10 * MB).await.unwrap();
    control.set_away(true);
    let going_on = tokio::spawn(async move { connection.forward(100 * MB).await });
    sleep(secs(20)).await;
    let started = Instant::now();
    assert_eq!(run.purses.open(payer(account)).await.err(), Some(LeaseDenied::Unavailable));
    assert!(started.elapsed() <= millis(5200));
    control.set_away(false);
    assert_eq!(going_on.await.unwrap(), Ok(()));
    run.rests_at(account, 110 * MB).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_is_handed_back() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    control.set_ttl(secs(4));
    control.set_latency(secs(4));
    let run = Run::start(&control).await;
    assert_eq!(run.purses.open(payer(account)).await.err(), Some(LeaseDenied::Unavailable));
    control.set_latency(Duration::ZERO);
    run.rests_at(account, 0).await;
}

// Handing back -------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_goes_back_while_the_connection_lives() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    connection.forward(1000).await.unwrap();
    assert!(control.held(account) > 0);
    eventually(secs(3), || control.held(account) == 0).await;
    assert_eq!(control.used(account), 1000);
    let asked = control.asked();
    sleep(secs(600)).await;
    assert_eq!(control.asked(), asked, "a connection at rest costs the control plane nothing");
    connection.forward(1000).await.unwrap();
    drop(connection);
    run.rests_at(account, 2000).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_goes_back_soon_after_the_last_connection() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    connection.forward(1000).await.unwrap();
    drop(connection);
    eventually(millis(1200), || control.held(account) == 0).await;
    run.rests_at(account, 1000).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_burst_left_behind_goes_back_while_little_flows() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    for _ in 0..50 {
        connection.forward(10 * MB).await.unwrap();
        sleep(millis(50)).await;
    }
    assert!(control.held(account) > 100 * MB);
    for _ in 0..100 {
        connection.forward(1000).await.unwrap();
        sleep(millis(200)).await;
    }
    assert!(control.held(account) <= 4 * MB, "holds {}", control.held(account));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_were_lost_with_their_connection_go_back() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    connection.forward(1000).await.unwrap();
    assert_eq!(connection.purse.take(5000), 5000);
    drop(connection);
    run.rests_at(account, 1000).await;
}

#[tokio::test(start_paused = true)]
async fn a_purse_nobody_uses_is_forgotten() {
    let control = FakeControl::new();
    let run = Run::start(&control).await;
    for id in 1..=1000 {
        let account = control.account(id, 1 << 40);
        drop(run.purses.open(payer(account)).await.unwrap());
    }
    assert_eq!(run.purses.count(), 1000);
    eventually(secs(15), || run.purses.count() == 0).await;
}

// Time ---------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_lease_is_not_used_beyond_its_end() {
    let control = FakeControl::new();
    let account = control.account(1, MB);
    control.set_ttl(secs(10));
    let run = Run::start(&control).await;
    let granted_at = Instant::now();
    let connection = run.connect(account).await;
    // The lease holds all there is, and the control plane is away: there will be no other.
    control.set_away(true);
    while connection.purse.take(1) == 1 {
        connection.purse.spent(1);
        assert!(granted_at.elapsed() < secs(9), "used at {:?}", granted_at.elapsed());
        sleep(millis(20)).await;
    }
    assert!(granted_at.elapsed() > millis(7900), "stopped at {:?}", granted_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn traffic_goes_on_over_short_leases_without_waiting() {
    for ttl in [millis(200), secs(1), secs(5)] {
        let control = FakeControl::new();
        let account = control.account(1, 1 << 40);
        control.set_ttl(ttl);
        let run = Run::start(&control).await;
        let connection = run.connect(account).await;
        let started = Instant::now();
        for _ in 0..1000 {
            connection.forward(1000).await.unwrap();
            sleep(millis(10)).await;
        }
        assert!(started.elapsed() < secs(12), "{ttl:?}: {:?}", started.elapsed());
        drop(connection);
        run.rests_at(account, 1_000_000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_on_their_way_at_a_leases_end_move_to_the_next() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    control.set_ttl(secs(8));
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    assert_eq!(connection.purse.take(5000), 5000);
    // The client takes nothing for a minute.
    for _ in 0..60 {
        sleep(secs(1)).await;
        let open = control.of(account).filter(|lease| lease.granted > lease.used).count();
        assert!(open <= 2, "{open} leases are open");
    }
    assert!(!connection.is_cut_within(millis(1)).await);
    connection.purse.spent(5000);
    eventually(secs(3), || control.held(account) == 0).await;
    let leases: Vec<_> = control.of(account).filter(|lease| lease.used > 0).collect();
    assert_eq!(leases.len(), 1, "{leases:?}");
    drop(connection);
    run.rests_at(account, 5000).await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_cut_whose_bytes_outlive_their_lease_for_good() {
    let control = FakeControl::new();
    let account = control.account(1, 5000);
    control.set_ttl(secs(8));
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    assert_eq!(connection.purse.take(5000), 5000);
    assert!(!connection.is_cut_within(secs(16)).await);
    assert!(connection.is_cut_within(secs(4)).await);
    drop(connection);
    run.rests_at(account, 0).await;
}

// Rights -------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_lowered_below_use_cuts_connections_and_hands_back() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let entry = control.sub_account(account, 1, "a", "b", 0);
    let run = Run::start(&control).await;
    let connection = run.connect_as(&entry).await;
    connection.forward(5000).await.unwrap();
    control.sub_account(account, 1, "a", "b", 4000);
    assert!(connection.is_cut_within(secs(1)).await);
    assert_eq!(connection.purse.take(1), 0);
    eventually(secs(1), || control.held(account) == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_lowered_above_use_holds_to_the_byte() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let entry = control.sub_account(account, 1, "a", "b", 0);
    let run = Run::start(&control).await;
    let connection = run.connect_as(&entry).await;
    connection.forward(5000).await.unwrap();
    control.sub_account(account, 1, "a", "b", 9000);
    sleep(millis(500)).await;
    assert_eq!(connection.forward(u64::MAX).await, Err((4000, LeaseDenied::TrafficLimit)));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_raised_is_usable_within_a_second() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let entry = control.sub_account(account, 1, "a", "b", 1000);
    let run = Run::start(&control).await;
    let connection = run.connect_as(&entry).await;
    assert!(connection.forward(1001).await.is_err());
    assert!(run.purses.open(payer_of(&entry)).await.is_err());
    control.sub_account(account, 1, "a", "b", 3000);
    sleep(millis(900)).await;
    let connection = run.connect_as(&entry).await;
    assert_eq!(connection.forward(u64::MAX).await, Err((2000, LeaseDenied::TrafficLimit)));
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_is_found_by_who_waits() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let entry = control.sub_account(account, 1, "a", "b", 1000);
    let run = Run::start(&control).await;
    let (holder, waiter) = (run.connect_as(&entry).await, run.connect_as(&entry).await);
    assert_eq!(holder.purse.take(1000), 1000);
    let waiting = tokio::spawn(async move { waiter.forward(2000).await });
    sleep(secs(2)).await;
    assert!(!waiting.is_finished());
    control.sub_account(account, 1, "a", "b", 3000);
    assert_eq!(timeout(secs(1), waiting).await.unwrap().unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn lost_funds_cut_connections_at_rest_too() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    connection.forward(5000).await.unwrap();
    sleep(secs(60)).await;
    control.take_funds(account);
    assert!(connection.is_cut_within(secs(1)).await);
}

#[tokio::test(start_paused = true)]
async fn funds_that_are_still_there_leave_connections_alone() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    for epoch in 1..10 {
        connection.forward(5000).await.unwrap();
        control.change(DirectoryChange::Account(AccountEntry {
            id: account,
            active: true,
            funds_epoch: epoch,
        }));
        assert!(!connection.is_cut_within(millis(300)).await);
    }
    drop(connection);
    run.rests_at(account, 45_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_right_cuts_its_connections_and_no_others() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let (one, two) =
        (control.sub_account(account, 1, "a", "x", 0), control.sub_account(account, 2, "b", "x", 0));
    let run = Run::start(&control).await;
    let (first, second) = (run.connect_as(&one).await, run.connect_as(&two).await);
    control.change(DirectoryChange::SubAccount(SubAccountEntry { active: false, ..one.clone() }));
    assert!(first.is_cut_within(secs(1)).await);
    assert!(!second.is_cut_within(secs(1)).await);
    assert_eq!(run.purses.open(payer_of(&one)).await.err(), Some(LeaseDenied::Blocked));
    control.change(DirectoryChange::Account(AccountEntry { id: account, active: false, funds_epoch: 0 }));
    assert!(second.is_cut_within(secs(1)).await);
    assert_eq!(run.stats.cuts.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_right_lost_between_login_and_admission_is_noticed() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let entry = control.sub_account(account, 1, "a", "x", 0);
    let run = Run::start(&control).await;
    let purse = run.purses.open(payer_of(&entry)).await.unwrap();
    control.sub_account(account, 1, "a", "changed", 0);
    sleep(secs(1)).await;
    let live = run.enter(&purse, Admission::Credentials(entry.id, entry.password));
    assert!(timeout(millis(1), live.cut()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_operator_lists_and_closes_connections() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let (first, second) = (run.connect(account).await, run.connect(account).await);
    first.live.moved_up(3);
    first.live.moved_down(4);
    let listed: Vec<_> =
        run.live.list().iter().map(|view| (view.id, view.bytes_up, view.bytes_down)).collect();
    assert_eq!(listed, [(first.live.id(), 3, 4), (second.live.id(), 0, 0)]);
    assert!(run.live.close(first.live.id()));
    assert!(first.is_cut_within(millis(1)).await && first.is_cut_within(millis(1)).await);
    assert!(!second.is_cut_within(secs(1)).await);
    let id = second.live.id();
    drop(second);
    assert!(!run.live.close(id));
    assert_eq!(run.live.list().len(), 1);
}

// Trouble ------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn usage_is_told_once_and_exactly_however_long_it_cannot_be_told() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    control.set_ttl(secs(3600));
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    connection.forward(500_000).await.unwrap();
    control.set_away(true);
    connection.forward(100_000).await.unwrap();
    sleep(secs(600)).await;
    assert_eq!(connection.forward(1).await, Err((0, LeaseDenied::Unavailable)));
    assert!(run.stats.settle_failures.load(Ordering::Relaxed) > 100);
    drop(connection);
    control.set_away(false);
    run.rests_at(account, 600_000).await;
}

#[tokio::test(start_paused = true)]
async fn reports_whose_answer_is_lost_are_sent_again_and_change_nothing() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    control.set_loses_answers(true);
    for _ in 0..20 {
        connection.forward(12_345).await.unwrap();
        sleep(millis(300)).await;
    }
    assert!(control.settled() > 5);
    assert_eq!(control.used(account) / 12_345, 19);
    control.set_loses_answers(false);
    drop(connection);
    run.rests_at(account, 20 * 12_345).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_hands_back_and_settles_everything() {
    let control = FakeControl::new();
    let accounts: Vec<_> = (1..=20).map(|id| control.account(id, 1 << 40)).collect();
    let run = Run::start(&control).await;
    let mut connections = Vec::new();
    for account in &accounts {
        let purse = run.purses.open(payer(*account)).await.unwrap();
        forward(&purse, 777, 100).await.unwrap();
        connections.push(purse);
    }
    run.tasks.iter().for_each(JoinHandle::abort);
    run.purses.drain().await.unwrap();
    for account in &accounts {
        assert_eq!((control.used(*account), control.held(*account)), (777, 0));
    }
    assert_eq!(connections[0].take(1), 0);
    assert_eq!(connections[0].refill().await, Err(LeaseDenied::Unavailable));
    assert_eq!(run.purses.open(payer(AccountId::new(1))).await.err(), Some(LeaseDenied::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_question_that_is_on_its_way() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    control.set_latency(secs(2));
    let run = Run::start(&control).await;
    let opening = {
        let purses = run.purses.clone();
        tokio::spawn(async move { purses.open(payer(account)).await })
    };
    sleep(millis(100)).await;
    run.purses.drain().await.unwrap();
    assert_eq!((control.asked(), control.held(account)), (1, 0));
    assert_eq!(opening.await.unwrap().err(), Some(LeaseDenied::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_settled_at_a_drain_is_settled_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start_in(&control, folder.path(), 1);
    let connection = run.connect(account).await;
    connection.forward(4321).await.unwrap();
    control.set_away(true);
    drop(connection);
    assert!(run.purses.drain().await.is_err());
    run.crash().await;
    control.set_away(false);
    assert_ne!(control.held(account), 0);
    let run = Run::start_in(&control, folder.path(), 2);
    run.purses.recover().await.unwrap();
    run.rests_at(account, 4321).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_at_most_what_was_forwarded_since_the_last_tick() {
    let folder = tempfile::tempdir().unwrap();
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start_in(&control, folder.path(), 1);
    let connection = run.connect(account).await;
    // The control plane takes nothing: the journal alone knows.
    connection.forward(600_000).await.unwrap();
    control.set_away(true);
    connection.forward(100_000).await.unwrap();
    sleep(crate::report::TICK * 2).await;
    let since = 999;
    connection.forward(since).await.unwrap();
    run.crash().await;
    drop(connection);

    let run = Run::start_in(&control, folder.path(), 2);
    assert!(run.purses.recover().await.is_err());
    // As long as it is not settled, it stays in the journal, crash upon crash.
    sleep(secs(5)).await;
    run.crash().await;
    control.set_away(false);
    let run = Run::start_in(&control, folder.path(), 3);
    run.purses.recover().await.unwrap();
    let used = control.used(account);
    assert!((700_000..=700_000 + since).contains(&used), "{used}");
    run.rests_at(account, used).await;
    run.purses.recover().await.unwrap();
    run.rests_at(account, used).await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    // Every write to this file fails as on a full disk.
    for slot in ["usage-a", "usage-b"] {
        std::os::unix::fs::symlink("/dev/full", folder.path().join(slot)).unwrap();
    }
    let journal = crate::journal::Journal::broken(folder.path()).unwrap();
    let run = Run::start_on(&control, (journal, Vec::new()), 1);
    let connection = run.connect(account).await;
    control.set_away(true);
    for _ in 0..5 {
        connection.forward(1000).await.unwrap();
        sleep(secs(1)).await;
    }
    assert!(run.stats.journal_failures.load(Ordering::Relaxed) >= 3);
    control.set_away(false);
    drop(connection);
    run.rests_at(account, 5000).await;
}
