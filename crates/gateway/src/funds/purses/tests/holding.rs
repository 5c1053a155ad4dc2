//! Asking for bytes, and handing back what is not used.

use super::*;

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

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_goes_back_while_the_connection_lives() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    connection.forward(1000).await.unwrap();
    assert!(control.held(account) > 0);
    eventually(secs(4), || control.held(account) == 0).await;
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
