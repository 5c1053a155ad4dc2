//! Leases end.

use super::*;

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

#[tokio::test(start_paused = true)]
async fn the_next_lease_is_there_before_the_last_one_stops() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    control.set_ttl(secs(5));
    control.set_latency(millis(50));
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    for turn in 0..3000 {
        assert_eq!(connection.purse.take(100), 100, "turn {turn}");
        connection.purse.spent(100);
        sleep(millis(10)).await;
    }
    assert!(control.asked() < 20, "asked {} times", control.asked());
}
