//! Programs and libraries that customers put behind a proxy, besides curl and requests: each asks by
//! plain HTTP, through CONNECT to TLS and, where it can, by SOCKS5, and is told why not.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::node::undicis;
use super::programs::{are_skipped, python, run};
use super::tls_origin::TlsOrigin;
use super::{PASSWORD, Shop, USER};

/// What is asked, and what must come of it: the status (0: no answer at all) and a part of the body,
/// or of the error.
struct Case {
    asked: Value,
    status: i64,
    holds: &'static str,
}

/// How a library asks for `http://`. One that uses CONNECT there, too, tells nobody of a refusal.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Plain {
    Absolute,
    /// What it tells of a login that was refused is an error, and no answer.
    AbsoluteWithLogin,
    Connect,
}

/// What a library is asked that speaks these schemes to a proxy.
fn cases(shop: &Shop, tls: &TlsOrigin, plain: Plain, schemes: &[&str]) -> Vec<Case> {
    let (ip, named) = (shop.url("127.0.0.1", "/ip"), shop.url("origin.test", "/ip"));
    let secure = format!("https://origin.test:{}/secret", tls.address.port());
    let mut cases = Vec::new();
    for scheme in schemes {
        let mut case = |parameters: &str, url: &str, status, holds| {
            let asked = json!({ "proxy": shop.proxy(scheme, parameters), "url": url });
            cases.push(Case { asked, status, holds });
        };
        case("-country-us", &ip, 200, "127.0.0.11");
        case("-country-us", &ip, 200, "127.0.0.11");
        case("-country-de-session-s1", &named, 200, "127.0.0.12");
        case("-type-mobile", &named, 200, "127.0.0.13");
        case("", &shop.url("origin.test", "/bytes/2000000"), 200, "........");
        case("", &secure, 200, "GET /secret HTTP/1.1");
        let told = scheme.starts_with("http") && plain != Plain::Connect;
        if told {
            case("-country-fr", &ip, 503, "NO_EXIT");
            case("", "http://10.0.0.1/", 403, "HOST_BLOCKED");
            // Nobody listens there; port 1 is one that fetch does not ask.
            case("", "http://127.0.0.1:2/", 502, "CONNECTION_REFUSED");
        } else {
            case("-country-fr", &ip, 0, "");
            case("", "http://10.0.0.1/", 0, "");
        }
        let wrong = format!("{scheme}://{USER}:wrong-1@{}", shop.world.gateway());
        let status = if told && plain == Plain::Absolute { 407 } else { 0 };
        cases.push(Case { asked: json!({ "proxy": wrong, "url": ip }), status, holds: "" });
        cases.push(Case { asked: json!({ "proxy": wrong, "url": secure }), status: 0, holds: "" });
    }
    let scheme = if schemes == ["https"] { "https" } else { "http" };
    let posted = json!({ "proxy": shop.proxy(scheme, ""), "url": shop.url("127.0.0.1", "/echo"),
                         "method": "POST", "body": "a=b" });
    cases.push(Case { asked: posted, status: 200, holds: "a=b" });
    cases
}

/// Gives the cases to a script as JSON, and demands of its answers what they say.
async fn ask(library: &str, mut command: Command, cases: &[Case], tls: &TlsOrigin) {
    command.arg(library).arg(tls.authority());
    let asked: Value = cases.iter().map(|case| case.asked.clone()).collect();
    let output = run(command, asked.to_string()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answers: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{library}: {said}"));
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), cases.len(), "{library}: {said}");
    for (case, answer) in cases.iter().zip(answers) {
        let body = answer["body"].as_str().unwrap_or_default();
        let start = &body[..body.len().min(200)];
        let told = format!("{library} {}: {} {start}", case.asked, answer["status"]);
        assert_eq!(answer["status"].as_i64(), Some(case.status), "{told}");
        assert!(body.contains(case.holds), "{told}");
        let large = case.asked["url"].as_str().is_some_and(|url| url.ends_with("/bytes/2000000"));
        assert!(!large || body.len() == 2_000_000, "{told}");
        let shown = case.status == 200 && body.to_ascii_lowercase().contains("proxy-authorization");
        assert!(!shown, "{told}");
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aiohttp_and_httpx_get_through_and_are_told_why_not() {
    if are_skipped() {
        return;
    }
    let (shop, tls) = (Shop::open().await, TlsOrigin::start().await);
    let libraries: [(&str, &[&str]); 3] =
        [("aiohttp", &["http"]), ("httpx", &["http", "socks5"]), ("httpx-async", &["http", "socks5h"])];
    for (library, schemes) in libraries {
        let mut command = Command::new(python().await);
        command.arg(script("libraries.py"));
        ask(library, command, &cases(&shop, &tls, Plain::Absolute, schemes), &tls).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_and_libcurl_speak_tls_to_the_gateway_and_are_told_why_not() {
    if are_skipped() {
        return;
    }
    let tls = TlsOrigin::start().await;
    let shop = Shop::open_with_certificate(&tls).await;
    for library in ["aiohttp", "httpx", "httpx-async", "requests", "libcurl"] {
        let before = shop.http2_streams().await;
        let mut command = Command::new(python().await);
        command.arg(script("libraries.py"));
        ask(library, command, &cases(&shop, &tls, Plain::Absolute, &["https"]), &tls).await;
        let by_http2 = shop.http2_streams().await > before;
        assert_eq!(by_http2, library == "libcurl", "{library} speaks HTTP/2 to the gateway, or does not");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undici_speaks_tls_to_the_gateway_and_is_told_why_not() {
    if are_skipped() {
        return;
    }
    let tls = TlsOrigin::start().await;
    let shop = Shop::open_with_certificate(&tls).await;
    for undici in undicis().await {
        // The newest one takes no address for the name of a proxy that speaks TLS.
        let mut cases = cases(&shop, &tls, undici.plain, &["https"]);
        for case in &mut cases {
            let by_name = case.asked["proxy"].as_str().expect("a URL").replace("@127.0.0.1:", "@localhost:");
            case.asked["proxy"] = by_name.into();
        }
        ask("undici", undici.command(&script("undici.mjs")), &cases, &tls).await;
    }
    let accepted = shop.connections().await;
    assert!(accepted < 100, "{accepted} connections: some of these try again and again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undici_gets_through_and_is_told_why_not() {
    if are_skipped() {
        return;
    }
    let (shop, tls) = (Shop::open().await, TlsOrigin::start().await);
    for undici in undicis().await {
        let cases = cases(&shop, &tls, undici.plain, &["http"]);
        ask("undici", undici.command(&script("undici.mjs")), &cases, &tls).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wget_gets_through_and_is_told_why_not() {
    if are_skipped() {
        return;
    }
    let (shop, tls) = (Shop::open().await, TlsOrigin::start().await);
    let secure = format!("https://origin.test:{}/secret", tls.address.port());
    let rows = [
        (shop.url("127.0.0.1", "/ip"), PASSWORD, Some(0), "127.0.0.11"),
        (shop.url("origin.test", "/ip"), PASSWORD, Some(0), "127.0.0.11"),
        (secure.clone(), PASSWORD, Some(0), "GET /secret HTTP/1.1"),
        (shop.url("127.0.0.1", "/ip"), "wrong-1", Some(8), ""),
        // Of a refused CONNECT it says no more than that there is no way.
        (secure, "wrong-1", Some(4), ""),
    ];
    for (url, password, exit, holds) in rows {
        let mut command = Command::new("wget");
        command.args(["--no-config", "-q", "-O", "-", "--tries=1", "--timeout=20"]);
        let gateway = shop.world.gateway();
        command.arg("-e").arg("use_proxy=on").arg("-e").arg(format!("http_proxy=http://{gateway}/"));
        command.arg("-e").arg(format!("https_proxy=http://{gateway}/"));
        command.arg(format!("--proxy-user={USER}-country-us")).arg(format!("--proxy-password={password}"));
        command.arg("--ca-certificate").arg(tls.authority()).arg(&url);
        let output = run(command, String::new()).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == exit && said.contains(holds), "{url}: {output:?} {trouble}");
    }
}
