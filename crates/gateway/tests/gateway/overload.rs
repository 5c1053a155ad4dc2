//! What others do to a gateway does not become what its customers suffer.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;
use tollgate_types::{ExitKind, ProxyType};

use crate::world::{ALICE, BOB, Client, World, connect, direct, echo, exit};

/// The connect timeout.
const HANGS_FOR: Duration = Duration::from_secs(3);

/// An upstream proxy that accepts everybody and never says a word.
async fn mute() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut accepted = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            accepted.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn exits_that_hang_time_out_and_hold_nobody_else_up() {
    let upstream = mute().await;
    let hung = |id, proxy_type| {
        exit(id, proxy_type, ExitKind::Http { address: upstream.clone(), credentials: None })
    };
    let exits = vec![direct(1, ProxyType::Residential), hung(2, ProxyType::Mobile)];
    let world = World::with(exits, |config| config.connect_timeout = HANGS_FOR).await;
    let target = echo().await;
    let began = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut client = Client::to(world.mobile).await;
        client.say(&connect("example.com:443", BOB)).await;
        waiting.push(client);
    }
    for _ in 0..20 {
        let mut other = world.tunnel(target).await;
        other.say("ping").await;
        assert_eq!(other.exactly(4).await, b"ping");
    }
    assert!(began.elapsed() < HANGS_FOR, "while all of them still hang");
    for mut client in waiting {
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 504 ") && head.contains("TIMEOUT"), "{head}");
    }
    assert!(began.elapsed() < 2 * HANGS_FOR);
    let mut other = world.client().await;
    other.say(&connect(&target.to_string(), ALICE)).await;
    assert!(other.head().await.starts_with("HTTP/1.1 200 "));
}
