//! Real clients: curl, libcurl, wget, Python's requests with PySocks, aiohttp and httpx, Node's undici, Chromium.
//! `docs/clients.md` has the lines by which each is tried by hand.
//!
//! Without curl, wget, python3 or PyPI these tests fail and say what is missing; with
//! `TOLLGATE_TEST_CLIENTS=skip` in the environment they pass without having tested anything. Where
//! there is no Node or no Chromium, their tests say so and pass.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod browser;
mod libraries;
mod node;
#[path = "../programs/mod.rs"]
mod programs;
mod tls_origin;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use programs::{are_skipped, python, run};

use serde_json::{Value, json};
use tls_origin::TlsOrigin;
use tollgate_testkit::Origin;
use tollgate_testkit::world::{Customer, Setup, World, eventually, int};

const USER: &str = "ann.one";
const PASSWORD: &str = "secret-1";

/// A customer with exits in three countries, and an origin that is also called `origin.test`.
struct Shop {
    world: World,
    ann: Customer,
    origin: Origin,
}

impl Shop {
    async fn open() -> Self {
        Self::open_by(|setup| setup).await
    }

    /// One whose gateway speaks TLS, too, by the origin's certificate.
    async fn open_with_certificate(tls: &TlsOrigin) -> Self {
        let identity = tls.identity().into_os_string().into_string().expect("UTF-8");
        Self::open_by(|setup| {
            let setup = setup.with("TOLLGATE_GATEWAY__CERTIFICATE", &identity);
            setup.with("TOLLGATE_GATEWAY__CERTIFICATE_KEY", &identity)
        })
        .await
    }

    async fn open_by(settings: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test"))
            .with("TOLLGATE_GATEWAY__HOSTS", "origin.test=127.0.0.1");
        let world = World::start(settings(setup));
        let ann = world.customer("ann", 10_000).await;
        world.sub_account(&ann, USER, PASSWORD, 0).await;
        world.exit("us-1", "residential", "us", "127.0.0.11").await;
        world.exit("de-1", "residential", "de", "127.0.0.12").await;
        world.exit("gb-1", "mobile", "gb", "127.0.0.13").await;
        Self { world, ann, origin: Origin::start().await }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.origin.address().port())
    }

    /// A proxy's URL, with routing parameters in the user name.
    fn proxy(&self, scheme: &str, parameters: &str) -> String {
        format!("{scheme}://{USER}{parameters}:{PASSWORD}@{}", self.world.gateway())
    }

    /// How many requests came by HTTP/2.
    async fn http2_streams(&self) -> u64 {
        self.count("tollgate_gateway_http2_streams_total ").await
    }

    /// How many connections clients have opened.
    async fn connections(&self) -> u64 {
        self.count("tollgate_gateway_accepted_total ").await
    }

    /// What a metric says.
    async fn count(&self, metric: &str) -> u64 {
        let said = curl(&[&format!("http://{}/metrics", self.world.metrics())]).await;
        let line = |line: &str| line.strip_prefix(metric)?.trim().parse().ok();
        said.body.lines().find_map(line).expect("a count")
    }

    /// Demands that what the origin counted is billed, to the byte.
    async fn is_billed_exactly(&self) {
        let counted = i64::try_from(self.origin.received() + self.origin.sent()).expect("a small count");
        assert!(counted > 0, "something got through");
        eventually(&format!("{counted} bytes are billed"), Duration::from_secs(10), async || {
            let path = "/api/users/traffic/trend?start_date=2000-01-01&end_date=2100-01-01";
            let answer = self.world.api(&self.ann.key).get(path).await;
            let pools = answer.data().as_object().expect("pools").clone();
            let days = pools.values().flat_map(|days| days.as_array().cloned().unwrap_or_default());
            (days.map(|day| int(&day["total_traffic"])).sum::<i64>() == counted).then_some(())
        })
        .await;
    }
}

/// What curl said: its exit status, the statuses of the answer and of CONNECT, the body.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    exit: i32,
    status: String,
    connect: String,
    body: String,
}

async fn curl(arguments: &[&str]) -> Said {
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "--max-time", "20", "--noproxy", ""]);
    command.args(["-w", "\n%{http_code} %{http_connect}"]).args(arguments);
    let output = run(command, String::new()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, statuses) = text.rsplit_once('\n').expect("the line that was asked for");
    let (status, connect) = statuses.split_once(' ').expect("two statuses");
    let (body, status, connect) = (body.to_owned(), status.to_owned(), connect.to_owned());
    Said { exit: output.status.code().unwrap_or(-1), status, connect, body }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_through() {
    if are_skipped() {
        return;
    }
    let shop = Shop::open().await;
    let (ip, named, local) =
        (shop.url("127.0.0.1", "/ip"), shop.url("origin.test", "/ip"), shop.url("localhost", "/ip"));
    let gateway = shop.world.gateway().to_string();
    let (us, de) = (format!("{USER}-country-us:{PASSWORD}"), format!("{USER}-cc-DE:{PASSWORD}"));
    let mobile = format!("{USER}-type-mobile-country-gb:{PASSWORD}");
    let in_url = shop.proxy("http", "-country-us");
    let socks_url = shop.proxy("socks5h", "-country-de-session-a1");
    let (four, four_a) = (
        format!("socks4://{USER}-country-us%3A{PASSWORD}@{gateway}"),
        format!("socks4a://{USER}-country-de%3A{PASSWORD}@{gateway}"),
    );
    let ways: [(&str, Vec<&str>, &str); 12] = [
        ("a plain request", vec!["-x", &gateway, "-U", &us, &ip], "127.0.0.11"),
        ("credentials in the URL", vec!["-x", &in_url, &ip], "127.0.0.11"),
        ("a plain request by name", vec!["-x", &gateway, "-U", &de, &named], "127.0.0.12"),
        ("CONNECT", vec!["-p", "-x", &gateway, "-U", &us, &ip], "127.0.0.11"),
        ("CONNECT in HTTP/1.0", vec!["-p", "--proxy1.0", &gateway, "-U", &us, &ip], "127.0.0.11"),
        ("CONNECT by name", vec!["-p", "-x", &gateway, "-U", &mobile, &named], "127.0.0.13"),
        ("SOCKS5", vec!["--socks5", &gateway, "-U", &de, &ip], "127.0.0.12"),
        ("SOCKS5, names here", vec!["-4", "--socks5", &gateway, "-U", &de, &local], "127.0.0.12"),
        ("SOCKS5, names there", vec!["--socks5-hostname", &gateway, "-U", &us, &named], "127.0.0.11"),
        ("SOCKS5 in the URL", vec!["-x", &socks_url, &named], "127.0.0.12"),
        ("SOCKS4", vec!["-x", &four, &ip], "127.0.0.11"),
        ("SOCKS4a", vec!["-x", &four_a, &named], "127.0.0.12"),
    ];
    for (what, arguments, from) in &ways {
        let said = curl(arguments).await;
        assert_eq!((said.exit, said.status.as_str(), said.body.as_str()), (0, "200", *from), "{what}");
        let connect = if arguments.contains(&"-p") { "200" } else { "000" };
        assert_eq!(said.connect, connect, "{what}");
    }

    let large = shop.url("127.0.0.1", "/bytes/3000000");
    for arguments in [&["-x", &in_url][..], &["-p", "-x", &in_url], &["-x", &socks_url]] {
        let said = curl(&[arguments, &[&large]].concat()).await;
        assert_eq!((said.exit, said.body.len()), (0, 3_000_000), "{arguments:?}");
    }
    // What curl says to its proxy does not reach the origin; what it sends does.
    let echo = shop.url("127.0.0.1", "/echo");
    let said = curl(&["-x", &in_url, "-H", "X-Mine: yes", "-d", "a=b&c=d", &echo]).await;
    assert!(said.body.contains("X-Mine: yes\r\n") && said.body.ends_with("a=b&c=d"), "{said:?}");
    assert!(!said.body.to_ascii_lowercase().contains("proxy"), "{said:?}");
    // Two requests over one connection: the second opens none.
    let said = curl(&["-x", &in_url, "-w", "\n%{http_code} %{num_connects}", &ip, &ip]).await;
    assert_eq!((said.body.as_str(), said.connect.as_str()), ("127.0.0.11\n200 1127.0.0.11", "0"), "{said:?}");
    shop.is_billed_exactly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_sticks_to_an_exit_with_a_session_and_to_none_without() {
    if are_skipped() {
        return;
    }
    let shop = Shop::open().await;
    let ip = shop.url("127.0.0.1", "/ip");
    for session in ["-session-shop1", "-sid-shop2-lifetime-5"] {
        let mut seen = BTreeSet::new();
        for scheme in ["http", "socks5", "socks5h", "http", "socks5h"] {
            seen.insert(curl(&["-x", &shop.proxy(scheme, session), &ip]).await.body);
        }
        assert_eq!(seen.len(), 1, "{session}: {seen:?}");
    }
    let mut seen = BTreeSet::new();
    for _ in 0..30 {
        seen.insert(curl(&["-x", &shop.proxy("http", ""), &ip]).await.body);
    }
    assert_eq!(seen, ["127.0.0.11", "127.0.0.12"].map(str::to_owned).into(), "one in a billion is unlucky");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_is_told_why_not() {
    if are_skipped() {
        return;
    }
    let shop = Shop::open().await;
    let (ip, gateway) = (shop.url("127.0.0.1", "/ip"), shop.world.gateway().to_string());
    let good = format!("{USER}:{PASSWORD}");
    // The login, the target, the status of HTTP.
    let cases = [
        (format!("{USER}:wrong-1"), ip.as_str(), "407"),
        (format!("nobody:{PASSWORD}"), &ip, "407"),
        (format!("{USER}-country-fr:{PASSWORD}"), &ip, "503"),
        (format!("{USER}-nonsense-1:{PASSWORD}"), &ip, "400"),
        (format!("{USER}-country-us-country-de:{PASSWORD}"), &ip, "400"),
        (good.clone(), "http://10.0.0.1/", "403"),
        (good.clone(), "http://127.0.0.1:25/", "403"),
        (good.clone(), "http://127.0.0.1:1/", "502"),
    ];
    for (login, target, status) in &cases {
        let said = curl(&["-x", &gateway, "-U", login, target]).await;
        assert_eq!((said.exit, &*said.status), (0, *status), "{login} {target}: {said:?}");
        assert_eq!(said.body.trim_end().lines().count(), 1, "{login} {target}: {said:?}");
        let said = curl(&["-p", "-x", &gateway, "-U", login, target]).await;
        assert_eq!((said.exit, &*said.connect), (56, *status), "{login} {target}: {said:?}");
        let said = curl(&["--socks5-hostname", &gateway, "-U", login, target]).await;
        assert_eq!((said.exit, &*said.status), (97, "000"), "{login} {target}: {said:?}");
    }
    let said = curl(&["-x", &gateway, &ip]).await;
    assert_eq!((said.exit, &*said.status), (0, "407"), "{said:?}");
    assert_eq!(curl(&["--socks5", &gateway, &ip]).await.exit, 97);
    assert_eq!(shop.origin.connections(), 0);

    // From a listed address nobody has to say who it is.
    let listed = json!({ "ip": "127.0.0.1" });
    shop.world.api(&shop.ann.key).post("/api/users/proxy/add-whitelist", listed).await.data();
    for way in [&["-x", &gateway][..], &["-p", "-x", &gateway], &["--socks5", &gateway]] {
        eventually("the listed address is served", Duration::from_secs(5), async || {
            (curl(&[way, &[&ip]].concat()).await.status == "200").then_some(())
        })
        .await;
    }
    shop.is_billed_exactly().await;
}

/// What came of each request.
async fn ask_in_python(cases: &[Value]) -> Vec<(i64, String, String)> {
    let mut command = Command::new(python().await);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/with_requests.py"));
    let output = run(command, Value::from(cases).to_string()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    let answers = answers.as_array().expect("a list").clone();
    assert_eq!(answers.len(), cases.len(), "{said}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    answers.iter().map(|said| (int(&said["status"]), text(&said["refusal"]), text(&said["body"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_gets_through_and_is_told_why_not() {
    if are_skipped() {
        return;
    }
    let shop = Shop::open().await;
    let (ip, named) = (shop.url("127.0.0.1", "/ip"), shop.url("origin.test", "/ip"));
    let (gateway, target) = (shop.world.gateway().to_string(), shop.origin.address().to_string());
    let by = |scheme: &str, parameters: &str, url: &str| json!({ "proxy": shop.proxy(scheme, parameters), "url": url });
    let tunnel = |login: String, target: &str| json!({ "gateway": gateway, "login": login, "target": target, "path": "/ip" });
    let wrong = |scheme: &str| json!({ "proxy": format!("{scheme}://{USER}:wrong-1@{gateway}"), "url": ip });
    // The user id is all that SOCKS4 has: the password stands in it, after a colon.
    let four = |scheme: &str, parameters: &str, url: &str| json!({ "proxy": format!("{scheme}://{USER}{parameters}%3A{PASSWORD}:@{gateway}"), "url": url });
    let (us, de) = ("127.0.0.11", "127.0.0.12");
    let (large, echo) = (shop.url("origin.test", "/bytes/2000000"), shop.url("127.0.0.1", "/echo"));
    let posted = json!({ "method": "POST", "body": "a=b", "url": echo, "proxy": shop.proxy("http", "") });
    // What is asked, the status (0: no answer), what the refusal and the body hold.
    let cases = [
        (by("http", "-country-us", &ip), 200, "", us),
        (by("http", "-country-us", &ip), 200, "", us),
        (by("http", "-country-de-session-s1", &named), 200, "", de),
        (by("socks5", "-country-us", &ip), 200, "", us),
        (by("socks5h", "-country-de", &named), 200, "", de),
        (by("socks5h", "-type-mobile", &named), 200, "", "127.0.0.13"),
        (four("socks4", "-country-us", &ip), 200, "", us),
        (four("socks4a", "-country-de", &named), 200, "", de),
        (four("socks4a", "-nonsense-1", &named), 0, "0x5b: Request rejected or failed", ""),
        (by("http", "", &large), 200, "", "........"),
        (by("socks5h", "", &large), 200, "", "........"),
        (posted, 200, "", "a=b"),
        (tunnel(format!("{USER}-country-us:{PASSWORD}"), &target), 200, "", us),
        (wrong("http"), 407, "AUTH_REQUIRED", ""),
        (wrong("socks5"), 0, "SOCKS5 authentication failed", ""),
        (by("http", "-country-fr", &ip), 503, "NO_EXIT", ""),
        (by("http", "-nonsense-1", &ip), 400, "BAD_PARAM", ""),
        (by("http", "", "http://10.0.0.1/"), 403, "HOST_BLOCKED", ""),
        (by("http", "", "http://127.0.0.1:25/"), 403, "PORT_BLOCKED", ""),
        (by("http", "", "http://127.0.0.1:1/"), 502, "CONNECTION_REFUSED", ""),
        (by("socks5h", "", "http://10.0.0.1/"), 0, "0x02: Connection not allowed by ruleset", ""),
        (by("socks5h", "", "http://127.0.0.1:1/"), 0, "0x05: Connection refused", ""),
        (tunnel(format!("{USER}:wrong-1"), &target), 0, "Tunnel connection failed: 407", ""),
        (tunnel(format!("{USER}:{PASSWORD}"), "127.0.0.1:25"), 0, "Tunnel connection failed: 403", ""),
    ];
    let asked: Vec<Value> = cases.iter().map(|(case, ..)| case.clone()).collect();
    for ((case, status, refusal, body), said) in cases.iter().zip(ask_in_python(&asked).await) {
        assert_eq!(said.0, *status, "{case}: {said:?}");
        assert!(said.1.contains(refusal) && said.2.contains(body), "{case}: {said:?}");
        let large = case["url"].as_str().is_some_and(|url| url.ends_with("/bytes/2000000"));
        assert!(!large || said.2.len() == 2_000_000, "{case}");
        assert!(!said.2.to_ascii_lowercase().contains("proxy-"), "{case}: {said:?}");
    }
    shop.is_billed_exactly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pysocks_sends_datagrams_and_is_answered_by_who_they_were_for() {
    if are_skipped() {
        return;
    }
    let shop = Shop::open().await;
    let echo = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let port = echo.local_addr().expect("its address").port();
    tokio::spawn(async move {
        let mut room = vec![0; 1 << 16];
        while let Ok((length, from)) = echo.recv_from(&mut room).await {
            let exit = from.ip().to_string();
            assert_eq!(exit, "127.0.0.12", "it leaves by the exit that was asked for");
            echo.send_to(&room[..length], from).await.expect("an answer");
        }
    });
    let sizes = [0, 1, 512, 1400, 20_000];
    let case = json!({
        "gateway": shop.world.gateway().to_string(), "user": format!("{USER}-country-de"),
        "password": PASSWORD, "hosts": ["127.0.0.1", "origin.test"], "port": port, "sizes": sizes,
    });
    let mut command = Command::new(python().await);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/datagrams.py"));
    let output = run(command, case.to_string()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    let expected: Vec<Value> =
        sizes.iter().map(|size| json!({ "size": size, "peer": ["127.0.0.1", port] })).collect();
    assert_eq!(answers, json!([&expected[..], &expected[..]].concat()), "{said}");
}
