use std::sync::atomic::AtomicBool;

use tokio::time::timeout;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MB: u64 = 1_000_000;

/// A caller's bucket, his account's and the gateway's.
fn buckets(rates: [u64; 3]) -> [Arc<Bucket>; 3] {
    rates.map(|rate| Arc::new(Bucket::new(rate)))
}

fn throttle(buckets: &[Arc<Bucket>; 3]) -> Throttle {
    Throttle::new(buckets.clone(), Arc::default())
}

/// Takes slices and forwards so much of each, until so many bytes are through.
async fn flow(throttle: &Throttle, bytes: u64, of_each: usize) {
    let mut through = 0;
    while through < bytes {
        match throttle.take(SLICE) {
            0 => throttle.turn().await,
            taken => {
                let forwarded = taken.min(of_each);
                throttle.give_back(taken - forwarded);
                through += forwarded as u64;
            }
        }
    }
}

/// How long that takes.
async fn time_of(throttle: &Throttle, bytes: u64, of_each: usize) -> Duration {
    let since = Instant::now();
    flow(throttle, bytes, of_each).await;
    since.elapsed()
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_waits() {
    let throttle = throttle(&buckets([0, 0, 0]));
    assert_eq!(throttle.take(SLICE), SLICE);
    assert_eq!(time_of(&throttle, 1000 * MB, SLICE).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn bytes_take_the_time_of_the_narrowest_limit_and_no_longer() {
    for rates in [[MB, 0, 0], [0, MB, 0], [0, 0, MB], [MB, 2 * MB, 3 * MB], [50 * MB, 50 * MB, MB]] {
        let throttle = throttle(&buckets(rates));
        let took = time_of(&throttle, 10 * MB, SLICE).await;
        assert!(took >= 10 * SECOND - BURST, "{rates:?}: {took:?}");
        assert!(took <= 10 * SECOND + TURN, "{rates:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_and_fast_rates_are_kept() {
    for (rate, bytes) in [(1, 300), (1_000, 20_000), (10_000, 200_000), (1_000 * MB, 20_000 * MB)] {
        let throttle = throttle(&buckets([rate, 0, 0]));
        // A full bucket first: a slow one holds more than a tenth of a second's worth.
        flow(&throttle, capacity(rate) as u64, SLICE).await;
        let took = time_of(&throttle, bytes, SLICE).await;
        let (exact, turn) = (SECOND * u32::try_from(bytes / rate).unwrap(), worth_of(turn(rate), rate));
        assert!(took + turn >= exact && took <= exact + turn + TURN, "{rate}: {took:?} {exact:?}");
    }
}

fn worth_of(bytes: usize, rate: u64) -> Duration {
    Duration::from_micros(bytes as u64 * MB / rate)
}

#[tokio::test(start_paused = true)]
async fn what_is_not_forwarded_goes_back() {
    let throttle = throttle(&buckets([MB, MB, MB]));
    // Each time a slice is taken, and a hundredth of it used.
    let took = time_of(&throttle, MB, 500).await;
    assert!(took <= SECOND + TURN, "{took:?}");
    assert!(took >= SECOND - BURST, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn two_connections_of_one_payer_share_evenly() {
    let buckets = buckets([MB, 0, 0]);
    let (one, other) = (throttle(&buckets), throttle(&buckets));
    let (first, second) = tokio::join!(time_of(&one, 5 * MB, SLICE), time_of(&other, 5 * MB, SLICE));
    assert!(first.abs_diff(second) <= 4 * TURN, "{first:?} {second:?}");
    let last = first.max(second);
    assert!(last >= 10 * SECOND - BURST && last <= 10 * SECOND + TURN, "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_bulky_connections_do_not_starve_a_small_one() {
    let buckets = buckets([0, 10 * MB, 0]);
    for _ in 0..100 {
        let bulky = throttle(&buckets);
        tokio::spawn(async move { flow(&bulky, u64::MAX, SLICE).await });
    }
    tokio::time::sleep(SECOND).await;
    // A small message waits for each of the others once, and they for it hardly at all.
    let small = throttle(&buckets);
    let took = time_of(&small, 1, 1).await;
    assert!(took <= worth_of(101 * SLICE, 10 * MB), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_that_move_little_do_not_cost_the_bulky_ones_their_rate() {
    let buckets = buckets([0, MB, 0]);
    for _ in 0..10 {
        let chatty = throttle(&buckets);
        tokio::spawn(async move {
            loop {
                flow(&chatty, 100, 100).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let took = time_of(&throttle(&buckets), 9 * MB, SLICE).await;
    assert!(took <= 10 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_leaves_nothing_behind() {
    let buckets = buckets([MB, MB, MB]);
    let leaver = throttle(&buckets);
    flow(&leaver, MB, SLICE).await;
    for _ in 0..100 {
        let _ = timeout(Duration::from_millis(1), leaver.turn()).await;
    }
    // One turn was waited for and never taken.
    while leaver.take(SLICE) == 0 {
        leaver.turn().await;
    }
    leaver.turn().await;
    drop(leaver);
    tokio::time::sleep(SECOND).await;
    let now = Instant::now();
    for bucket in &buckets {
        assert!(bucket.is_full(now));
        let fill = bucket.fill();
        assert_eq!((fill.waiting, fill.is_pumped, bucket.bytes.available_permits()), (0, false, 100_000));
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_can_be_set_changed_and_lifted_while_bytes_flow() {
    let buckets = buckets([0, 0, 0]);
    let throttle = Arc::new(throttle(&buckets));
    let through = Arc::new(AtomicU64::new(0));
    let ends = Arc::new(AtomicBool::new(false));
    let (flows, counts, end) = (throttle.clone(), through.clone(), ends.clone());
    let task = tokio::spawn(async move {
        while !end.load(Ordering::Relaxed) {
            flow(&flows, 1_000, 1_000).await;
            counts.fetch_add(1_000, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
    });
    let in_a_second = async |rate: u64| {
        buckets[1].set_rate(rate);
        tokio::time::sleep(SECOND).await;
        let before = through.load(Ordering::Relaxed);
        tokio::time::sleep(SECOND).await;
        through.load(Ordering::Relaxed) - before
    };
    let unlimited = in_a_second(0).await;
    let tenth = in_a_second(100_000).await;
    let more = in_a_second(200_000).await;
    let least = in_a_second(1_000).await;
    let again = in_a_second(0).await;
    assert!(tenth <= 110_000 && tenth > 1_000, "{tenth}");
    assert!(more <= 220_000 && more > tenth, "{more} after {tenth}");
    assert!(least <= 2_000, "{least}");
    assert!(unlimited > 900_000 && again > 900_000, "{unlimited} {again}");
    ends.store(true, Ordering::Relaxed);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_narrowed_does_not_keep_the_queue_waiting_for_what_was_to_be_had_before() {
    let buckets = buckets([0, 0, 20 * MB]);
    for _ in 0..20 {
        let bulky = throttle(&buckets);
        tokio::spawn(async move { flow(&bulky, u64::MAX, SLICE).await });
    }
    tokio::time::sleep(SECOND).await;
    let narrow = 100_000;
    buckets[2].set_rate(narrow);
    let took = time_of(&throttle(&buckets), 1, 1).await;
    assert!(took <= worth_of(22 * turn(narrow), narrow), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn waits_are_counted() {
    let stats = Arc::new(Stats::default());
    let throttle = Throttle::new(buckets([MB, 0, 0]), stats.clone());
    flow(&throttle, 2 * MB, SLICE).await;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert!(read(&stats.throttle_waits) >= 30, "{}", read(&stats.throttle_waits));
    assert!(read(&stats.throttled_micros) >= MB, "{}", read(&stats.throttled_micros));
}

#[tokio::test(start_paused = true)]
async fn wholes_that_are_larger_than_a_turn_pass_at_the_rate_and_never_in_part() {
    let throttle = throttle(&buckets([10_000, 0, 0]));
    let since = Instant::now();
    for _ in 0..20 {
        while !throttle.take_whole(5_000) {
            throttle.turns(5_000).await;
        }
    }
    let took = since.elapsed();
    assert!(took >= 10 * SECOND - BURST && took <= 10 * SECOND + 2 * TURN, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_together_get_what_one_would() {
    let rate = 20 * MB;
    let buckets = buckets([0, rate, 2 * rate]);
    let since = Instant::now();
    let moves = |of_each| {
        let throttle = throttle(&buckets);
        tokio::spawn(async move {
            let mut through = 0;
            while since.elapsed() < SECOND / 2 {
                flow(&throttle, 10_000, of_each).await;
                through += 10_000;
            }
            through
        })
    };
    let tasks: Vec<_> = (0..16).map(|n| moves(if n % 2 == 0 { 10_000 } else { 100 })).collect();
    let mut through: u64 = 0;
    for task in tasks {
        through += task.await.unwrap();
    }
    let most = worth(rate, since.elapsed()) + capacity(rate);
    assert!(through <= most as u64, "{through} of {most}");
    assert!(through > capacity(rate) as u64, "{through}: it is filled while they wait");
}
