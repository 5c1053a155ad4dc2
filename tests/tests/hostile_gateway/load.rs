//! Loads and faults: what many at once, the slow and the silent do to others, and what is left of it.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;
use tollgate_testkit::world::{World, eventually};

use crate::lab::{Lab, PASSWORD, Raw, USER, connect, request, socks_connect, socks_login};
use crate::socks5::files_of;

/// A number that the system tells about the program, in KiB.
fn kibibytes(world: &World, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.pid())).expect("its own child's");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().expect("a number")
}

/// Demands that a tunnel works, and says how long it took.
async fn echoes(lab: &Lab, row: &str) -> Duration {
    let began = Instant::now();
    let (mut raw, told) = lab.ask(connect(lab.origin.address())).await;
    assert_eq!(told.status, 200, "{row}: {told:?}");
    raw.say("ECHO\nping").await;
    assert_eq!(raw.exactly(4).await, b"ping", "{row}");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_and_go_leave_nothing_behind() {
    let lab = Lab::open().await;
    let login = [socks_login(USER, PASSWORD), socks_connect(lab.origin.address())].concat();
    let stages: [Vec<u8>; 6] = [
        vec![],
        vec![5],
        login,
        b"GET http://a/ HTTP/1.1\r\nHost".to_vec(),
        connect(lab.origin.address()).into_bytes(),
        request("GET", &format!("http://{}/ip", lab.origin.address()), "").into_bytes(),
    ];
    let churn = async |times: usize| {
        for number in 0..times {
            let raw = lab.send(&stages[number % stages.len()]).await;
            // Half of them go without a word, half with a reset.
            if number % 2 == 0 { drop(raw) } else { raw.reset() }
        }
    };
    churn(300).await;
    let settled = || async {
        eventually("all connections have ended", Duration::from_secs(20), async || {
            let open = lab.world.admin().get("/api/admin/connections").await;
            open.data()["total"].as_i64().is_none_or(|total| total == 0).then_some(())
        })
        .await;
    };
    settled().await;
    let (files, memory) = (files_of(&lab.world), kibibytes(&lab.world, "VmRSS"));
    churn(3000).await;
    settled().await;
    eventually("LD-05: no file descriptor is left over", Duration::from_secs(20), async || {
        (files_of(&lab.world) <= files).then_some(())
    })
    .await;
    let grown = kibibytes(&lab.world, "VmRSS").saturating_sub(memory);
    assert!(grown < 16 << 10, "LD-05: {grown} KiB are left of 3,000 connections");
    echoes(&lab, "LD-05").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_accept_and_stay_silent_hold_nobody_up() {
    let lab = Lab::with(&[("TOLLGATE_GATEWAY__IDLE_TIMEOUT", "4s")]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("its address");
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let before = files_of(&lab.world);
    let mut waiting = Vec::new();
    for number in 0..300 {
        let sent = match number % 2 {
            0 => connect(address),
            _ => request("GET", &format!("http://{address}/"), ""),
        };
        waiting.push(lab.send(sent).await);
    }
    assert!(echoes(&lab, "LD-11").await < Duration::from_secs(2), "LD-11");
    for (number, mut raw) in waiting.into_iter().enumerate() {
        let said = String::from_utf8_lossy(&raw.rest().await).into_owned();
        let expected = if number % 2 == 0 { "HTTP/1.1 200 " } else { "HTTP/1.1 504 " };
        assert!(said.starts_with(expected), "LD-11: {said}");
    }
    eventually("LD-11: no file descriptor is left over", Duration::from_secs(10), async || {
        (files_of(&lab.world) <= before + 4).then_some(())
    })
    .await;
    accepting.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_stops_sales_and_not_traffic() {
    let lab = Lab::open().await;
    let offer = lab.world.offer("residential", 5, 500).await;
    let (mut tunnel, told) = lab.ask(connect(lab.origin.address())).await;
    assert_eq!(told.status, 200, "CF-07: {told:?}");
    tunnel.say("ECHO\n").await;
    let echo = async |tunnel: &mut Raw, bytes: usize| {
        tunnel.say(vec![b'x'; bytes]).await;
        tunnel.exactly(bytes).await;
    };
    echo(&mut tunnel, 100_000).await;

    let file = lab.world.data_dir().join("tollgate.db");
    let other = rusqlite::Connection::open(file).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let began = Instant::now();
    // Bytes that were granted flow on, and nobody waits for ever for an answer about money.
    for _ in 0..20 {
        echo(&mut tunnel, 2000).await;
    }
    let purchase = json!({ "traffic_package_id": offer, "payment_type": "wallet_only" });
    let buy = async || {
        let path = "/api/users/traffic/packages/purchase";
        lab.world.api(&lab.ann.key).post(path, purchase.clone()).await.code()
    };
    assert_eq!(buy().await, 50300, "CF-07: nothing is sold while nothing can be written down");
    assert!(began.elapsed() < Duration::from_secs(30), "CF-07: {:?}", began.elapsed());
    other.execute_batch("ROLLBACK").expect("the end of the lock");
    eventually("CF-07: sales go on", Duration::from_secs(20), async || (buy().await == 0).then_some(()))
        .await;
    echo(&mut tunnel, 1000).await;
    drop(tunnel);
    lab.costs(5 + 2 * (100_000 + 20 * 2000 + 1000)).await;
}
