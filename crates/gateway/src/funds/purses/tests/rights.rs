//! Rights and limits change while connections live.

use super::*;
use crate::funds::Direction;

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
async fn a_login_made_since_the_last_look_is_not_cut() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let run = Run::start(&control).await;
    for id in 1..50 {
        let entry = control.sub_account(account, id, &format!("user{id}"), "x", 0);
        let connection = run.connect_as(&entry).await;
        assert!(!connection.is_cut_within(millis(7)).await, "login {id}");
    }
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
    first.live.moved().add(Direction::Up, 3);
    first.live.moved().add(Direction::Down, 4);
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

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_a_change_does_not_count_after_it() {
    let control = FakeControl::new();
    let account = control.account(1, 1 << 40);
    let entry = control.sub_account(account, 1, "a", "b", 0);
    control.set_latency(secs(1));
    let run = Run::start(&control).await;
    let opening = {
        let (purses, payer) = (run.purses.clone(), payer_of(&entry));
        tokio::spawn(async move { purses.open(payer).await })
    };
    // The question is answered by then, but the answer is still on its way.
    sleep(millis(500)).await;
    assert!(control.held(account) > 1000);
    control.sub_account(account, 1, "a", "b", 1000);
    let purse = opening.await.unwrap().unwrap();
    assert_eq!(forward(&purse, u64::MAX, 100).await, Err((1000, LeaseDenied::TrafficLimit)));
    drop(purse);
    run.rests_at(account, 1000).await;
}
