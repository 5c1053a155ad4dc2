//! The control plane, the disk or the process fails; the gateway stops.

use super::*;

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

/// While nobody settles: what was granted is forwarded to the last byte and no further, newcomers
/// are refused, and afterwards exactly that is charged, once.
async fn serves_on_what_it_holds(control: &Arc<FakeControl>, set_trouble: impl Fn(bool)) {
    let account = control.account(1, 1 << 40);
    let other = control.account(2, 1 << 40);
    control.set_ttl(secs(3600));
    let run = Run::start(control).await;
    let connection = run.connect(account).await;
    connection.forward(500_000).await.unwrap();
    set_trouble(true);
    let granted: u64 = control.of(account).map(|lease| lease.granted).sum();
    let ended = connection.forward(1 << 40).await;
    assert_eq!(ended, Err((granted - 500_000, LeaseDenied::Unavailable)));
    assert_eq!(run.purses.open(payer(other)).await.err(), Some(LeaseDenied::Unavailable));
    sleep(secs(600)).await;
    assert_eq!(connection.forward(1).await, Err((0, LeaseDenied::Unavailable)));
    set_trouble(false);
    drop(connection);
    // What was asked in vain is given up in the meantime.
    sleep(secs(30)).await;
    run.rests_at(account, granted).await;
    run.connect(other).await.forward(1000).await.unwrap();
    run.rests_at(other, 1000).await;
}

#[tokio::test(start_paused = true)]
async fn qm_22_while_nothing_can_be_settled_what_is_granted_is_used_up_and_no_more() {
    let control = FakeControl::new();
    serves_on_what_it_holds(&control, |is_away| control.set_away(is_away)).await;
}

#[tokio::test(start_paused = true)]
async fn qm_22_a_control_plane_that_never_answers_is_one_that_is_away() {
    let control = FakeControl::new();
    serves_on_what_it_holds(&control, |hangs| control.set_hangs(hangs)).await;
}

#[tokio::test(start_paused = true)]
async fn what_did_not_move_is_not_reported_again() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    let connection = run.connect(account).await;
    connection.forward(1000).await.unwrap();
    sleep(millis(700)).await;
    let settled = control.settled();
    sleep(millis(1000)).await;
    assert_ne!(control.held(account), 0);
    assert_eq!(control.settled(), settled);
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
    sleep(crate::funds::report::TICK * 2).await;
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
    let journal = crate::funds::journal::Journal::broken(folder.path()).unwrap();
    let run = Run::start_on(&control, (journal, Vec::new()), 1);
    let connection = run.connect(account).await;
    control.set_away(true);
    for _ in 0..5 {
        connection.forward(1000).await.unwrap();
        sleep(secs(1)).await;
    }
    assert!(run.stats.journal_failures.load(Ordering::Relaxed) >= 3);
    assert!(run.stats.journal_fails.load(Ordering::Relaxed), "and it is known that it fails still");
    control.set_away(false);
    drop(connection);
    run.rests_at(account, 5000).await;
}
