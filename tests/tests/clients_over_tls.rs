//! curl speaks TLS to the gateway. Where it is missing, as for the other clients: see `clients.rs`.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use tollgate_testkit::Origin;
use tollgate_testkit::world::{Setup, World};

const USER: &str = "ann.one";
const PASSWORD: &str = "secret-1";

#[expect(clippy::disallowed_methods, reason = "how whoever runs the tests says that there are no clients")]
fn are_skipped() -> bool {
    std::env::var("TOLLGATE_TEST_CLIENTS").is_ok_and(|word| word == "skip")
}

/// Puts a certificate for loopback, its key and so the root that it is believed by into a folder.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    (chain, key)
}

/// What curl said, if it got through.
async fn curl(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "--max-time", "20", "--noproxy", ""]).args(arguments);
    for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(variable).env_remove(variable.to_uppercase());
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a program's end");
    let output = output.expect("curl can be run; without it set TOLLGATE_TEST_CLIENTS=skip");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_through_by_tls_to_the_gateway() {
    if are_skipped() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, key) = certificate(folder.path());
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (chain, key) = (path(&chain), path(&key));
    let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test"))
        .with("TOLLGATE_GATEWAY__CERTIFICATE", &chain)
        .with("TOLLGATE_GATEWAY__CERTIFICATE_KEY", &key);
    let world = World::start(setup);
    let ann = world.customer("ann", 10_000).await;
    world.sub_account(&ann, USER, PASSWORD, 0).await;
    world.exit("us-1", "residential", "us", "127.0.0.11").await;
    let origin = Origin::start().await;
    let url = |path: &str| format!("http://{}{path}", origin.address());
    let proxy = format!("https://{USER}:{PASSWORD}@{}", world.gateway());
    let (ip, large) = (url("/ip"), url("/bytes/3000000"));
    for ways in [&["-x", &proxy][..], &["-p", "-x", &proxy]] {
        let through = [ways, &["--proxy-cacert", &chain]].concat();
        assert_eq!(curl(&[&through[..], &[&ip]].concat()).await.as_deref(), Ok("127.0.0.11"), "{ways:?}");
        let body = curl(&[&through[..], &[&large]].concat()).await.expect("it gets through");
        assert_eq!(body.len(), 3_000_000, "{ways:?}");
        // One that does not believe the certificate does not talk.
        let said = curl(&[ways, &[&ip]].concat()).await.expect_err("nobody vouches for it");
        assert!(said.contains("certificate"), "{said}");
    }
}
