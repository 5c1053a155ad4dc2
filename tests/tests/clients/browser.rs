//! Chromium, where there is one: pages, fetches, posts and WebSockets over plain HTTP and TLS, by way of
//! the gateway in plain text and, by HTTP/2, under TLS.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::node::say;
use super::programs::{are_skipped, run};
use super::tls_origin::TlsOrigin;
use super::{PASSWORD, Shop, USER};

/// Where distributions put it.
const PROGRAMS: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_browses() {
    if are_skipped() {
        return;
    }
    let Some(program) = PROGRAMS.into_iter().find(|program| Path::new(program).exists()) else {
        say("Chromium is not tested: it is at none of its usual places");
        return;
    };
    let tls = TlsOrigin::start().await;
    let shop = Shop::open_with_certificate(&tls).await;
    for (scheme, picture) in [("http", "chromium.png"), ("https", "chromium-over-tls.png")] {
        browse(program, &format!("{scheme}://{}", shop.world.gateway()), &tls, picture).await;
        assert_eq!(shop.http2_streams().await > 0, scheme == "https", "HTTP/2 under TLS");
    }
}

/// Every step of the page, by way of this proxy, over HTTP and over TLS.
async fn browse(program: &str, proxy: &str, tls: &TlsOrigin, picture: &str) {
    let screenshot = Path::new(env!("CARGO_TARGET_TMPDIR")).join(picture);
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/browser.py"));
    command.arg(program).arg(proxy).arg(format!("{USER}:{PASSWORD}"));
    command.arg(tls.identity()).arg(&screenshot);
    let output = run(command, String::new()).await;
    let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?} {trouble}"));
    let page = json!({ "get": "hello", "post": "100000", "large": "3000000", "at_once": "10",
                       "websocket": "over and out" });
    assert_eq!(said["http"], page, "{proxy}: {said}");
    assert_eq!(said["https"], page, "{proxy}: {said}");
    assert!(said["asked"].as_i64().is_some_and(|times| times > 0), "it entered by its credentials: {said}");
    let picture = std::fs::read(&screenshot).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG"), "a picture of the page");
}
