//! Exits that are proxies of others: what they say stays here, and what we say to them is theirs.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpListener;

use crate::lab::{
    Lab, PASSWORD, Raw, Scripted, Then, USER, auth, socks_connect, socks_connect_name, socks_login,
};

/// What an upstream does with a connection.
#[derive(Clone, Copy)]
enum Upstream {
    /// HTTP: this answer to CONNECT.
    Http(&'static str),
    /// SOCKS5: this method, this answer to the credentials, this one to the request.
    Socks(u8, u8, u8),
    /// SOCKS5 that answers the greeting with this.
    Says(&'static [u8]),
    /// Nothing at all.
    Silent,
}

impl Upstream {
    const fn kind(self) -> &'static str {
        if matches!(self, Self::Http(_)) { "http" } else { "socks5" }
    }

    async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.serve(Raw::over(stream)));
            }
        });
        address
    }

    async fn serve(self, mut client: Raw) {
        match self {
            Self::Silent => {}
            Self::Says(bytes) => {
                client.exactly(3).await;
                client.say(bytes).await;
            }
            Self::Http(answer) => {
                let head = client.head().await;
                assert!(head.contains(&auth("supplier", "supplied-1")), "{head}");
                client.say(answer).await;
            }
            Self::Socks(method, login, reply) => {
                let offered = client.exactly(2).await[1];
                client.exactly(offered.into()).await;
                client.say([5, method]).await;
                if method == 2 {
                    let expected = &socks_login("supplier", "supplied-1")[3..];
                    assert_eq!(client.exactly(expected.len()).await, expected);
                    client.say([1, login]).await;
                }
                if login == 0 {
                    client.exactly(5).await;
                    client.say([5, reply, 0, 1, 9, 9, 9, 9, 9, 9]).await;
                }
            }
        }
        client.rest().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_upstreams_answer() {
    let challenge = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"supplier\"\r\n\
                     Content-Length: 10\r\n\r\nsupplied-1";
    // A country for each, what it does, and the reply of SOCKS5 and the status of HTTP.
    let cases = [
        ("us", Upstream::Http("HTTP/1.1 200 OK\r\n\r\nhello"), 0, 200),
        ("de", Upstream::Http(challenge), 1, 503),
        ("fr", Upstream::Http("HTTP/1.1 502 Bad Gateway\r\n\r\n"), 1, 502),
        ("gb", Upstream::Http("HTTP/1.1 504 Gateway Timeout\r\n\r\n"), 6, 504),
        ("it", Upstream::Http("garbage from the supplier\r\n\r\n"), 1, 503),
        ("es", Upstream::Socks(2, 0, 0), 0, 200),
        ("pt", Upstream::Socks(2, 1, 0), 1, 503),
        ("nl", Upstream::Socks(2, 0, 5), 5, 502),
        ("be", Upstream::Socks(2, 0, 4), 3, 502),
        ("at", Upstream::Says(&[5, 0xff]), 1, 503),
        ("ch", Upstream::Says(b"HTTP/1.1 400 supplier"), 1, 503),
        ("se", Upstream::Silent, 6, 504),
    ];
    let lab = Lab::without_exits(&[("TOLLGATE_GATEWAY__CONNECT_TIMEOUT", "2s")]).await;
    for (country, upstream, ..) in cases {
        let address = upstream.start().await.to_string();
        lab.exit(json!({ "kind": upstream.kind(), "country": country, "address": address,
                         "username": "supplier", "password": "supplied-1" }))
            .await;
    }
    let mut running = Vec::new();
    for (country, _, reply, status) in cases {
        // Ten at once of one user (S5-34), and one by HTTP.
        for n in 0..11 {
            let mut raw = lab.dial().await;
            running.push(tokio::spawn(async move {
                let user = format!("{USER}-country-{country}");
                if n == 0 {
                    raw.say(format!("CONNECT a.test:80 HTTP/1.1\r\n{}\r\n", auth(&user, PASSWORD))).await;
                    let told = raw.told().await;
                    assert_eq!(told.status, status, "S5-34 {country}: {}", told.head);
                    assert!(!told.head.contains("suppl"), "S5-34 {country}: {}", told.head);
                } else {
                    raw.say([socks_login(&user, PASSWORD), socks_connect_name("a.test", 80)].concat()).await;
                    let answer = raw.exactly(14).await;
                    assert_eq!(answer[..6], [5, 2, 1, 0, 5, reply], "S5-34 {country}");
                    assert_eq!(answer[6..], [0, 1, 0, 0, 0, 0, 0, 0], "S5-34 {country}: nobody's business");
                }
                if status == 200 {
                    drop(raw);
                } else if n > 0 {
                    assert_eq!(raw.rest().await, b"", "S5-34 {country}");
                }
            }));
        }
    }
    for one in running {
        one.await.expect("as expected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_credentials_end_here_and_closed_destinations_do_not_travel() {
    let lab = Lab::strict(&[]).await;
    let upstream = Scripted::start("HTTP/1.1 200 OK\r\n\r\n", Then::Stay).await;
    lab.exit(json!({ "kind": "http", "country": "jp", "address": upstream.address().to_string(),
                     "username": "supplier-{country}-{session}", "password": "supplied-1" }))
        .await;
    let user = format!("{USER}-country-jp-session-abc");
    let own = auth(&user, PASSWORD);
    let get = |host: &str| format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n{own}\r\n");
    // HP-65: what can be judged without resolving is refused here.
    for host in
        ["127.0.0.1", "10.0.0.1", "[::1]", "169.254.169.254", "localhost", "db", "metadata.google.internal"]
    {
        let (_, told) = lab.ask(get(host)).await;
        assert_eq!((told.status, told.name.as_str()), (403, "HOST_BLOCKED"), "HP-65: {host}");
        let number = host.trim_matches(['[', ']']).parse().map(|ip| socks_connect(SocketAddr::new(ip, 80)));
        let request = number.unwrap_or_else(|_| socks_connect_name(host, 80));
        let answer = lab.send([socks_login(&user, PASSWORD), request].concat()).await.exactly(6).await;
        assert_eq!(answer, [5, 2, 1, 0, 5, 2], "HP-65: {host}");
    }
    assert_eq!(upstream.heard().len(), 0, "HP-65");
    assert_eq!(lab.billed().await, 0);
    // HP-18: the upstream hears its own credentials, the origin behind it none.
    let (_, told) = lab.ask(get("public.example.com")).await;
    assert_eq!(told.status, 200, "HP-18: {}", told.head);
    let heard = upstream.heard().concat();
    let (to_upstream, to_origin) = heard.split_once("\r\n\r\n").expect("two heads");
    assert!(to_upstream.starts_with("CONNECT public.example.com:80 HTTP/1.1\r\n"), "HP-18: {heard}");
    assert!(heard.contains(auth("supplier-jp-abc", "supplied-1").trim_end()), "HP-18: {heard}");
    assert!(!heard.contains(own.trim_end()), "HP-18: {heard}");
    assert!(to_origin.starts_with("GET / HTTP/1.1\r\n"), "HP-18: {heard}");
    assert!(!to_origin.to_ascii_lowercase().contains("authorization"), "HP-18: {heard}");
}
