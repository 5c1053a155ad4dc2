//! What goes as a whole or not at all: datagrams.

use super::*;

/// Forwards wholes of one size until there are no more: how many, and why no more.
async fn forward_wholes(purse: &Purse, size: usize, most: usize) -> (usize, Option<LeaseDenied>) {
    let mut count = 0;
    while count < most {
        let taken = purse.take(size);
        if taken == size {
            purse.spent(taken);
            count += 1;
            continue;
        }
        purse.give_back(taken);
        if let Err(denied) = purse.refill_whole(size).await {
            return (count, Some(denied));
        }
    }
    (count, None)
}

#[tokio::test(start_paused = true)]
async fn a_whole_is_put_together_from_leases_that_are_smaller() {
    let control = FakeControl::new();
    let account = control.account(1, 10 * MB);
    control.set_largest(1000);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    let began = Instant::now();
    assert_eq!(forward_wholes(&connection.purse, 5500, 20).await, (20, None));
    assert!(began.elapsed() < secs(1), "{:?}", began.elapsed());
    drop(connection);
    run.rests_at(account, 20 * 5500).await;
}

#[tokio::test(start_paused = true)]
async fn wholes_end_soon_where_less_is_left_and_the_rest_can_still_be_used() {
    let control = FakeControl::new();
    let account = control.account(1, 10_500);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    let began = Instant::now();
    let ended = forward_wholes(&connection.purse, 1000, usize::MAX).await;
    assert_eq!(ended, (10, Some(LeaseDenied::HeldElsewhere)));
    assert!(began.elapsed() < secs(2), "{:?}", began.elapsed());
    let rest = forward(&connection.purse, 1000, 64).await;
    assert_eq!(rest, Err((500, LeaseDenied::BalanceEmpty)));
    drop(connection);
    run.rests_at(account, 10_500).await;
}

#[tokio::test(start_paused = true)]
async fn where_the_limit_leaves_too_little_it_is_the_limit_that_is_told() {
    let control = FakeControl::new();
    let account = control.account(1, MB);
    let alice = control.sub_account(account, 10, "alice", "secret", 10_500);
    let run = Run::start(&control).await;
    let connection = run.connect_as(&alice).await;
    let ended = forward_wholes(&connection.purse, 1000, usize::MAX).await;
    assert_eq!(ended, (10, Some(LeaseDenied::LimitHeldElsewhere)));
    assert_eq!(LeaseDenied::LimitHeldElsewhere.refusal(), tollgate_types::Refusal::TrafficLimit);
    drop(connection);
    run.rests_at(account, 10_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_slow_or_away_for_a_while_is_waited_for() {
    let control = FakeControl::new();
    let account = control.account(1, 10 * MB);
    control.set_largest(3000);
    control.set_latency(millis(300));
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    assert_eq!(forward_wholes(&connection.purse, 2000, 3).await, (3, None));
    control.set_away(true);
    let purse = connection.purse.clone();
    let waiting = tokio::spawn(async move { forward_wholes(&purse, 2000, 10).await });
    sleep(secs(20)).await;
    assert!(!waiting.is_finished());
    control.set_away(false);
    assert_eq!(waiting.await.unwrap(), (10, None));
    drop(connection);
    run.rests_at(account, 13 * 2000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wholes_and_parts_of_one_purse_together_get_what_there_is_and_no_more() {
    let control = FakeControl::new();
    let funds = 3_000_017;
    let account = control.account(1, funds);
    control.set_largest(200_000);
    let run = Run::start(&control).await;
    // All of them before the first one moves anything: who comes to an empty purse is refused.
    let mut connections = Vec::new();
    for _ in 0..16 {
        connections.push(run.connect(account).await);
    }
    let mut racers = tokio::task::JoinSet::new();
    for (racer, connection) in connections.into_iter().enumerate() {
        racers.spawn(async move {
            if racer % 2 == 0 {
                forward_wholes(&connection.purse, 60_000, usize::MAX).await.0 as u64 * 60_000
            } else {
                forward(&connection.purse, funds + 1, 777).await.unwrap_err().0
            }
        });
    }
    let all = timeout(secs(60), racers.join_all()).await.unwrap();
    assert_eq!(all.iter().sum::<u64>(), funds);
    run.rests_at(account, funds).await;
}
