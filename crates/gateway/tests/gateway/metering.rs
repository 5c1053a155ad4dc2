//! To the byte: what is forwarded is what was granted, and what is settled is what was forwarded.

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tollgate_types::ProxyType;

use crate::world::{ALICE, ALICE_ID, BOB, BOB_ID, Client, World, connect, echo, http_origin, origin};

const MIB: usize = 1 << 20;

/// An origin that sends so many bytes and closes.
async fn source(bytes: usize) -> std::net::SocketAddr {
    origin(move |mut client| async move {
        let _ = client.stream.write_all(&vec![1; bytes]).await;
    })
    .await
}

#[tokio::test]
async fn qm_01_tunnels_are_counted_exactly_in_both_directions() {
    let world = World::lab().await;
    let mut sum = 0;
    for bytes in [0, 1, 1460, 65_536, 10 * MIB + 7] {
        let mut client = world.tunnel(source(bytes).await).await;
        assert_eq!(client.rest().await.len(), bytes);
        let target = echo().await;
        let mut client = world.tunnel(target).await;
        let upload = vec![9; bytes.min(MIB)];
        let (mut read, mut write) = client.stream.split();
        let sent = async {
            write.write_all(&upload).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut back = Vec::new();
        let (_, read) = tokio::join!(sent, tokio::io::AsyncReadExt::read_to_end(&mut read, &mut back));
        assert_eq!(read.unwrap(), upload.len());
        sum += bytes + 2 * upload.len();
    }
    assert_eq!(world.settled().await, sum as u64);
}

#[tokio::test]
async fn qm_01_forwarded_requests_are_counted_as_they_cross_both_far_ends() {
    let world = World::lab().await;
    let (target, heads) = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    let mut client = world.client().await;
    client
        .say(format!(
            "GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {ALICE}\r\n\r\n"
        ))
        .await;
    let answer = client.head().await.len() + client.exactly(5).await.len();
    drop(client);
    let request = heads.lock().unwrap().first().unwrap().len();
    assert_eq!(world.settled().await, (request + answer) as u64);
}

#[tokio::test]
async fn each_caller_and_type_pays_for_himself() {
    let world = World::lab().await;
    let target = echo().await;
    for (port, who, bytes) in [(world.any, ALICE, 10), (world.mobile, ALICE, 20), (world.mobile, BOB, 40)] {
        let mut client = Client::to(port).await;
        client.say(connect(&target.to_string(), who)).await;
        client.head().await;
        client.say(vec![0; bytes]).await;
        client.exactly(bytes).await;
    }
    assert_eq!(world.settled().await, 20);
    assert_eq!(world.control.used(Some(ALICE_ID), ProxyType::Mobile), 40);
    assert_eq!(world.control.used(Some(BOB_ID), ProxyType::Mobile), 80);
}

#[tokio::test]
async fn qm_11_a_download_is_cut_at_the_last_granted_byte() {
    let world = World::lab().await;
    let limit = 1_000_003;
    world.control.fund(ALICE_ID, limit);
    let mut client = world.tunnel(source(20 * MIB).await).await;
    assert_eq!(client.rest().await.len() as u64, limit);
    assert_eq!(world.settled().await, limit);
}

#[tokio::test]
async fn a_transfer_of_exactly_what_is_left_ends_in_order() {
    let world = World::lab().await;
    world.control.fund(ALICE_ID, 300_000);
    let mut client = world.tunnel(source(300_000).await).await;
    assert_eq!(client.rest().await.len(), 300_000);
    drop(client);
    assert_eq!(world.settled().await, 300_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qm_12_fifty_connections_together_get_no_byte_more_than_the_limit() {
    let world = World::lab().await;
    let limit = 5_000_011;
    world.control.fund(ALICE_ID, limit);
    let target = source(MIB).await;
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let mut client = world.client().await;
        clients.spawn(async move {
            client.say(connect(&target.to_string(), ALICE)).await;
            let granted = client.head().await.starts_with("HTTP/1.1 200 ");
            if granted { client.rest().await.len() } else { 0 }
        });
    }
    let received: usize = clients.join_all().await.into_iter().sum();
    assert_eq!(world.settled().await, limit);
    assert_eq!(received as u64, limit);
}

#[tokio::test]
async fn qm_05_an_exhausted_caller_is_refused_and_comes_back_with_funds() {
    let world = World::lab().await;
    world.control.fund(ALICE_ID, 0);
    let target = echo().await;
    let mut client = world.client().await;
    client.say(connect(&target.to_string(), ALICE)).await;
    assert!(client.head().await.starts_with("HTTP/1.1 402 "));
    world.control.fund(ALICE_ID, 1_000);
    let began = std::time::Instant::now();
    loop {
        let mut client = world.client().await;
        client.say(connect(&target.to_string(), ALICE)).await;
        if client.head().await.starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(began.elapsed().as_millis() < 1_000, "funds must be usable within a second");
    }
}

#[tokio::test]
async fn qm_05_a_forwarded_response_is_cut_visibly() {
    let world = World::lab().await;
    world.control.fund(ALICE_ID, 200_000);
    let target = origin(|mut client| async move {
        client.head().await;
        client.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
        let _ = client.stream.write_all(&vec![1; 1_000_000]).await;
    })
    .await;
    let mut client = world.client().await;
    client
        .say(format!(
            "GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {ALICE}\r\n\r\n"
        ))
        .await;
    let head = client.head().await;
    let body = client.rest().await;
    assert!(body.len() + head.len() < 200_000, "request, head and body are within the limit");
    assert!(body.len() > 199_000, "{}", body.len());
    assert_eq!(world.settled().await, 200_000);
}

#[tokio::test]
async fn qm_03_refusals_and_failures_cost_nothing() {
    let world = World::lab().await;
    let closed = crate::world::nobody().await.to_string();
    for (target, who) in
        [(closed.as_str(), ALICE), ("10.0.0.1:80", ALICE), ("127.0.0.1:25", ALICE), (&closed, BOB)]
    {
        let mut client = world.client().await;
        client.say(connect(target, who)).await;
        assert!(!client.head().await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(world.settled().await, 0);
}

#[tokio::test]
async fn qm_09_a_forwarded_upload_is_cut_at_the_last_granted_byte() {
    let world = World::lab().await;
    world.control.fund(ALICE_ID, 200_000);
    let (heard, hearing) = tokio::sync::oneshot::channel();
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Some(heard)));
    let target = origin(move |mut client| {
        let heard = heard.clone();
        async move {
            let count = client.rest().await.len();
            heard.lock().unwrap().take().unwrap().send(count).unwrap();
        }
    })
    .await;
    let mut client = world.client().await;
    let fields = format!("Host: {target}\r\nContent-Length: 1000000\r\nProxy-Authorization: {ALICE}\r\n");
    client.say(format!("POST http://{target}/ HTTP/1.1\r\n{fields}\r\n")).await;
    let _ = client.stream.write_all(&vec![1; 1_000_000]).await;
    let _ = client.rest().await;
    assert_eq!(hearing.await.unwrap(), 200_000, "head and body, to the last granted byte");
    assert_eq!(world.settled().await, 200_000);
}

#[tokio::test]
async fn qm_10_a_websocket_is_cut_at_the_last_granted_byte() {
    let world = World::lab().await;
    world.control.fund(ALICE_ID, 200_000);
    let target = origin(|mut client| async move {
        client.head().await;
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        client.say(switch).await;
        let _ = client.stream.write_all(&vec![1; 1_000_000]).await;
    })
    .await;
    let mut client = world.client().await;
    let fields = format!("Host: {target}\r\nProxy-Authorization: {ALICE}\r\n");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    client.say(format!("GET http://{target}/ HTTP/1.1\r\n{fields}{upgrade}\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    let received = client.rest().await.len();
    assert!((199_000..200_000).contains(&received), "{received}");
    assert_eq!(world.settled().await, 200_000);
}
