//! What ends a live connection through a static proxy, within a second, and what does not.

use super::*;

#[tokio::test]
async fn live_connections_end_with_the_time_that_was_bought_though_nothing_is_published() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let later = Time::from_micros(EVENING.micros() + 60_000_000);
    let two = StaticEntry { expires_at: later, ..proxy(2, statics.at("127.0.1.2")) };
    statics.lease(two.clone()).await;
    let target = echo().await;
    let mut first = tunnel(listen, ONE, target).await;
    let mut second = tunnel(two.listen, TWO, target).await;
    statics.set_clock(Time::from_micros(EVENING.micros() - 1));
    assert!(!is_cut(&mut first).await);
    statics.set_clock(EVENING);
    assert!(is_cut(&mut first).await);
    assert!(is_alive(&mut second).await);
    // And the next one at its own time, also when it has been renewed once.
    let renewed = Time::from_micros(later.micros() + 60_000_000);
    statics.publish(DirectoryChange::Static(StaticEntry { expires_at: renewed, ..two }));
    statics.set_clock(later);
    assert!(!is_cut(&mut second).await);
    assert!(is_alive(&mut second).await);
    statics.set_clock(renewed);
    assert!(is_cut(&mut second).await);
}

#[tokio::test]
async fn forwarded_requests_end_with_the_time_that_was_bought_too() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let endless = origin(|mut client| async move {
        client.head().await;
        client.say("HTTP/1.1 200 OK\r\n\r\n").await;
        client.rest().await;
    })
    .await;
    let get =
        format!("GET http://{endless}/ HTTP/1.1\r\nHost: {endless}\r\nProxy-Authorization: {ONE}\r\n\r\n");
    let mut client = Client::to(listen).await;
    assert_eq!(answer(&mut client, &get).await.0, 200);
    statics.set_clock(EVENING);
    assert!(is_cut(&mut client).await);
}

#[tokio::test]
async fn a_right_that_is_lost_ends_live_connections_within_a_second_and_nobody_elses() {
    let gone = DirectoryChange::StaticGone(StaticProxyId::new(1));
    let changed = |change: &dyn Fn(&mut StaticEntry), listen| {
        let mut entry = proxy(1, listen);
        change(&mut entry);
        DirectoryChange::Static(entry)
    };
    let statics = Statics::new().await;
    let (listen, target) = (statics.at("127.0.1.1"), echo().await);
    statics.lease(proxy(2, statics.at("127.0.1.2"))).await;
    let mut bystander = tunnel(statics.at("127.0.1.2"), TWO, target).await;
    let moved = statics.at("127.0.1.3");
    for (change, by_password, by_address) in [
        (gone, true, true),
        (changed(&|entry| entry.listen = moved, listen), true, true),
        (changed(&|entry| entry.exit_ip = ip("127.0.1.9"), listen), true, true),
        (changed(&|entry| entry.password = PasswordKey::new([7; 32]).tag(b"new"), listen), true, false),
        (changed(&|entry| entry.expires_at = NOON, listen), true, true),
        (changed(&|entry| entry.expires_at = Time::from_micros(i64::MAX), listen), false, false),
        (DirectoryChange::WhitelistGone(WhitelistId::new(20)), false, true),
    ] {
        statics.lease(proxy(1, listen)).await;
        statics.whitelist(20, OWNER, "127.0.0.2");
        let mut named = tunnel(listen, ONE, target).await;
        let mut listed = Client::from(ip("127.0.0.2"), listen).await;
        assert_eq!(answer(&mut listed, connect_bare(target)).await.0, 200);
        statics.publish(change.clone());
        let (named, listed) = tokio::join!(is_cut(&mut named), is_cut(&mut listed));
        assert_eq!((named, listed), (by_password, by_address), "{change:?}");
        assert!(is_alive(&mut bystander).await, "{change:?}");
    }
    assert!(is_alive(&mut bystander).await);
    statics.publish(DirectoryChange::Account(AccountEntry { id: OWNER, active: false, funds_epoch: 0 }));
    assert!(is_cut(&mut bystander).await);
}

#[tokio::test]
async fn live_connections_say_whose_static_proxy_they_go_through_and_can_be_closed() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let target = echo().await;
    let mut client = tunnel(listen, ONE, target).await;
    let [view] = &statics.world.gateway.connections()[..] else { panic!("one connection") };
    assert_eq!(view.info.traffic, Traffic::Static(StaticProxyId::new(1), StaticType::Res));
    assert_eq!((view.info.account, view.info.sub_account, view.exit), (OWNER, None, None));
    assert_eq!((view.info.username.as_str(), view.info.protocol), ("s1", "connect"));
    assert_eq!(view.info.client, client.stream.local_addr().unwrap());
    assert!(statics.world.gateway.close(view.id));
    assert!(is_cut(&mut client).await);
}
