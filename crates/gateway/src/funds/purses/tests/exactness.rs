//! Every byte granted is forwarded, and none that is not.

use super::*;

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
    // What the purse has used up is said before it is asked about: no tick is waited for.
    assert!(started.elapsed() < millis(50));
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
