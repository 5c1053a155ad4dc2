//! The spine: a customer's gigabyte, bought, spent through a real proxy, billed to the byte.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{PASSWORD, both_databases};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate_testkit::Origin;
use tollgate_testkit::client::{Refused, Way};
use tollgate_testkit::world::{Customer, World, eventually, int};

const GB: u64 = 1 << 30;

/// Today's traffic of an account in one pool: from packages, from the wallet, in all.
async fn today(world: &World, customer: &Customer, path: &str) -> (i64, i64, i64) {
    let answer = world.api(&customer.key).get(path).await;
    let days = answer.data()["residential"].as_array().expect("residential days").clone();
    let sum = |field: &str| days.iter().map(|day| int(&day[field])).sum();
    (sum("package_traffic"), sum("wallet_traffic"), sum("total_traffic"))
}

const TREND: &str = "/api/users/traffic/trend?start_date=2000-01-01&end_date=2100-01-01";

async fn used_residential(world: &World, customer: &Customer, sub_account: i64) -> i64 {
    let answer = world.api(&customer.key).get(&format!("/api/users/subuser/{sub_account}")).await;
    int(&answer.data()["used_res_traffic"])
}

async fn wallet(world: &World, customer: &Customer) -> Value {
    let answer = world.api(&customer.key).get("/api/users/wallet/info").await;
    let wallet = answer.data().clone();
    assert_eq!(int(&wallet["balance"]), int(&wallet["total_recharge"]) - int(&wallet["total_consume"]));
    wallet
}

/// Asks an origin for bytes through a tunnel and counts what comes.
async fn download(mut tunnel: TcpStream, bytes: u64) -> u64 {
    let _ = tunnel.write_all(format!("SEND {bytes}\n").as_bytes()).await;
    let (mut count, mut chunk) = (0, vec![0; 256 * 1024]);
    loop {
        match tunnel.read(&mut chunk).await {
            Ok(0) | Err(_) => return count,
            Ok(n) => count += n as u64,
        }
    }
}

both_databases!(a_gigabyte_is_bought_spent_and_billed_to_the_byte, |world: World| async move {
    let origin = Origin::start().await;
    let ann = world.customer("ann", 10_000).await;
    world.exit("us-1", "residential", "us", "127.0.0.11").await;
    let offer = world.offer("residential", 1, 300).await;
    let sub_account = world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    let buy =
        format!("/api/users/traffic/packages/purchase?traffic_package_id={offer}&payment_type=wallet_only");
    world.api(&ann.key).get(&buy).await.data();
    assert_eq!(int(&wallet(&world, &ann).await["balance"]), 9_700);

    let user = world.user(&format!("ann.one:{PASSWORD}"));
    let target = origin.address().to_string();
    for way in [Way::Connect, Way::Socks5] {
        let tunnel = user.tunnel(way, &target).await.expect("admitted");
        assert_eq!(download(tunnel, 1_000_000).await, 1_000_000);
    }
    let answer = user.get(&format!("http://{target}/bytes/12345")).await.expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&".".repeat(100)),
        "{}",
        &answer[..80]
    );

    let counted = i64::try_from(origin.received() + origin.sent()).expect("a small count");
    eventually(&format!("the traffic appears, to the byte: {counted}"), Duration::from_secs(5), async || {
        let (package, wallet, total) = today(&world, &ann, TREND).await;
        (package == counted && wallet == 0 && total == counted).then_some(())
    })
    .await;
    assert_eq!(used_residential(&world, &ann, sub_account).await, counted);
    let trend = format!("/api/users/traffic/{sub_account}/trend?start_date=2000-01-01&end_date=2100-01-01");
    assert_eq!(today(&world, &ann, &trend).await.2, counted);
    let current = world.api(&ann.key).get("/api/users/traffic/packages/current").await;
    assert_eq!(int(&current.data()["residential"]["cost_traffic"]), counted);
    assert_eq!(int(&current.data()["residential"]["total_traffic"]), 1 << 30);
});

both_databases!(
    a_limit_is_reached_to_the_byte_over_many_connections_and_can_be_raised,
    |world: World| async move {
        let origin = Origin::start().await;
        let ann = world.customer("ann", 100_000).await;
        world.exit("us-1", "residential", "us", "127.0.0.11").await;
        let sub_account = world.sub_account(&ann, "ann.one", PASSWORD, 1).await;
        let user = world.user(&format!("ann.one:{PASSWORD}"));
        let target = origin.address().to_string();

        let mut tunnels = Vec::new();
        for n in 0..16 {
            let way = if n % 2 == 0 { Way::Connect } else { Way::Socks5 };
            tunnels.push(user.tunnel(way, &target).await.expect("admitted"));
        }
        let running: Vec<_> = tunnels.into_iter().map(|tunnel| tokio::spawn(download(tunnel, GB))).collect();
        let mut received = 0;
        for download in running {
            received += download.await.expect("a download");
        }
        // What the clients sent counts as far as it was forwarded: the last one to ask may get nothing.
        assert_eq!(received + origin.received(), GB, "exactly the limit, both ways together");
        eventually("the limit is reached", Duration::from_secs(5), async || {
            (used_residential(&world, &ann, sub_account).await == 1 << 30).then_some(())
        })
        .await;
        let refused = user.tunnel(Way::Connect, &target).await.expect_err("refused");
        assert_eq!(refused, Refused { status: 402, name: "TRAFFIC_LIMIT".into() });
        assert_eq!(user.tunnel(Way::Socks5, &target).await.expect_err("refused").status, 2);

        let body = json!({ "id": sub_account, "res_traffic_limit": 2 });
        world.api(&ann.key).post("/api/users/subuser/update", body).await.data();
        let tunnel = eventually("a raised limit can be used", Duration::from_secs(1), async || {
            user.tunnel(Way::Connect, &target).await.ok()
        })
        .await;
        assert_eq!(download(tunnel, 1000).await, 1000);
    }
);

both_databases!(money_runs_out_to_the_byte_and_a_recharge_lets_it_go_on, |world: World| async move {
    let origin = Origin::start().await;
    // 200 cents a GB: three cents pay for 16,106,127 bytes and a fraction.
    let ann = world.customer("ann", 3).await;
    world.exit("us-1", "residential", "us", "127.0.0.11").await;
    world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    let user = world.user(&format!("ann.one:{PASSWORD}"));
    let target = origin.address().to_string();
    let tunnel = user.tunnel(Way::Connect, &target).await.expect("admitted");
    let received = download(tunnel, GB).await;
    assert_eq!(received + "SEND 1073741824\n".len() as u64, 3 * GB / 200);
    let refused = eventually("the wallet is found empty", Duration::from_secs(5), async || {
        user.tunnel(Way::Connect, &target).await.err()
    })
    .await;
    assert_eq!(refused, Refused { status: 402, name: "BALANCE_EMPTY".into() });

    let body = json!({ "amount": 100, "reference": "second" });
    world.admin().post(&format!("/api/admin/accounts/{}/recharge", ann.id), body).await.data();
    let tunnel = eventually("added money can be used", Duration::from_secs(1), async || {
        user.tunnel(Way::Socks5, &target).await.ok()
    })
    .await;
    assert_eq!(download(tunnel, 1000).await, 1000);
});

both_databases!(a_package_runs_over_into_the_wallet_on_live_connections, |world: World| async move {
    let origin = Origin::start().await;
    // A package for 300 cents leaves ten; at 200 cents a GB they pay for 53,687,091 bytes.
    let ann = world.customer("ann", 310).await;
    world.exit("us-1", "residential", "us", "127.0.0.11").await;
    let offer = world.offer("residential", 1, 300).await;
    world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    let body = json!({ "traffic_package_id": offer, "payment_type": "wallet_only" });
    world.api(&ann.key).post("/api/users/traffic/packages/purchase", body).await.data();

    let user = world.user(&format!("ann.one:{PASSWORD}"));
    let target = origin.address().to_string();
    let mut running = Vec::new();
    for way in [Way::Connect, Way::Socks5, Way::Connect, Way::Socks5] {
        let tunnel = user.tunnel(way, &target).await.expect("admitted");
        running.push(tokio::spawn(download(tunnel, GB)));
    }
    let (mut moved, from_wallet) = (4 * "SEND 1073741824\n".len() as u64, 10 * GB / 200);
    for download in running {
        moved += download.await.expect("a download");
    }
    assert_eq!(moved, GB + from_wallet, "the package and then the wallet, to the byte");
    let expected = (1 << 30, 53_687_091, (1 << 30) + 53_687_091);
    eventually("the trend shows both sources", Duration::from_secs(5), async || {
        (today(&world, &ann, TREND).await == expected).then_some(())
    })
    .await;
    let wallet = wallet(&world, &ann).await;
    assert_eq!(int(&wallet["balance"]), 1, "ten cents less 40 units: the tenth is not yet whole");
});

both_databases!(who_loses_a_right_is_cut_within_a_second, |world: World| async move {
    let origin = Origin::start().await;
    let ann = world.customer("ann", 10_000).await;
    world.exit("us-1", "residential", "us", "127.0.0.11").await;
    let sub_account = world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    let target = origin.address().to_string();
    let losing: [(&str, Value, Value); 2] = [
        (
            "status",
            json!({ "id": sub_account, "status": "inactive" }),
            json!({ "id": sub_account, "status": "active" }),
        ),
        (
            "password",
            json!({ "id": sub_account, "password": "another-1" }),
            json!({ "id": sub_account, "password": PASSWORD }),
        ),
    ];
    for (what, lose, regain) in losing {
        let user = world.user(&format!("ann.one:{PASSWORD}"));
        let tunnel = eventually("admitted", Duration::from_secs(2), async || {
            user.tunnel(Way::Connect, &target).await.ok()
        })
        .await;
        world.api(&ann.key).post("/api/users/subuser/update", lose).await.data();
        is_cut(tunnel, what).await;
        user.tunnel(Way::Connect, &target).await.expect_err("refused afterwards");
        world.api(&ann.key).post("/api/users/subuser/update", regain).await.data();
    }

    let api = world.api(&ann.key);
    let listed = api.post("/api/users/proxy/add-whitelist", json!({ "ip": "127.0.0.1" })).await;
    let listed = int(&listed.data()["id"]);
    let nobody = world.user("");
    let tunnel = eventually("admitted by address", Duration::from_secs(2), async || {
        nobody.tunnel(Way::Socks5, &target).await.ok()
    })
    .await;
    api.get(&format!("/api/users/proxy/delete-whitelist?id={listed}")).await.data();
    is_cut(tunnel, "whitelist").await;

    let user = world.user(&format!("ann.one:{PASSWORD}"));
    let tunnel = eventually("admitted", Duration::from_secs(2), async || {
        user.tunnel(Way::Connect, &target).await.ok()
    })
    .await;
    let account = format!("/api/admin/accounts/{}/update", ann.id);
    world.admin().post(&account, json!({ "status": "suspended" })).await.data();
    is_cut(tunnel, "suspension").await;
    let refused = user.tunnel(Way::Connect, &target).await.expect_err("refused afterwards");
    assert_eq!(refused, Refused { status: 403, name: "USER_BLOCKED".into() });
});

/// A tunnel that nothing is sent through ends within a second, and a little for the test itself.
async fn is_cut(mut tunnel: TcpStream, what: &str) {
    let ended = tokio::time::timeout(Duration::from_secs(2), tunnel.read_u8()).await;
    assert!(matches!(ended, Ok(Err(_))), "{what}: the tunnel goes on");
}

both_databases!(a_hundred_purchases_race_for_money_that_suffices_for_seven, |world: World| async move {
    let ann = world.customer("ann", 7 * 300 + 299).await;
    let offer = world.offer("residential", 1, 300).await;
    let body = json!({ "traffic_package_id": offer, "payment_type": "wallet_only" });
    let racing: Vec<_> = (0..100)
        .map(|_| {
            let (api, body) = (world.api(&ann.key), body.clone());
            tokio::spawn(async move { api.post("/api/users/traffic/packages/purchase", body).await.code() })
        })
        .collect();
    let mut codes = Vec::new();
    for purchase in racing {
        codes.push(purchase.await.expect("an answer"));
    }
    codes.sort_unstable();
    assert_eq!(codes, [vec![0; 7], vec![40200; 93]].concat());
    assert_eq!(int(&wallet(&world, &ann).await["balance"]), 299);
    let current = world.api(&ann.key).get("/api/users/traffic/packages/current").await;
    assert_eq!(int(&current.data()["residential"]["total_traffic"]), 7 << 30);
});

both_databases!(another_tenants_things_are_not_there, |world: World| async move {
    let ann = world.customer("ann", 0).await;
    let ben = world.customer("ben", 0).await;
    let sub_account = world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    let listed =
        world.api(&ann.key).post("/api/users/proxy/add-whitelist", json!({ "ip": "192.0.2.7" })).await;
    let listed = int(&listed.data()["id"]);
    let api = world.api(&ben.key);
    let dates = "start_date=2026-01-01&end_date=2026-01-02";
    let answers = [
        api.get(&format!("/api/users/subuser/{sub_account}")).await,
        api.post("/api/users/subuser/update", json!({ "id": sub_account, "status": "inactive" })).await,
        api.post("/api/users/subuser/delete", json!({ "id": sub_account })).await,
        api.get(&format!("/api/users/traffic/{sub_account}/trend?{dates}")).await,
        api.get(&format!("/api/users/proxy/delete-whitelist?id={listed}")).await,
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.code()), (404, 40400), "{}", answer.body);
    }
    let still = world.api(&ann.key).get(&format!("/api/users/subuser/{sub_account}")).await;
    assert_eq!(still.data()["status"], "active");
});
