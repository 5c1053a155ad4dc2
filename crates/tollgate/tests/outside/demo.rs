//! The demo's lines, pasted as they are into a shell.

use std::process::{Command, Stdio};

use crate::common::{Running, eventually, said, tollgate};
use serde_json::Value;

/// A demo that runs, and what it printed.
struct Demo {
    running: Running,
    lines: String,
}

fn start(arguments: &[&str]) -> Demo {
    let arguments = [&["demo"], arguments].concat();
    let mut child = tollgate(&arguments, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let out = child.stdout.take().expect("what it prints");
    let mut running = Running::watch(child, out);
    running.line(|line| line.starts_with("Paste any of these"));
    let mut lines = String::new();
    while !lines.trim_end().ends_with("/events?cursor=0\"; echo") {
        lines = lines + &running.line(|_| true) + "\n";
    }
    Demo { running, lines }
}

/// Pastes the paragraph under a heading; gives what came of it, line by line.
fn paste(demo: &Demo, heading: &str) -> Vec<String> {
    let paragraph = demo.lines.split("\n\n").find(|paragraph| paragraph.trim_start().starts_with(heading));
    let paragraph = paragraph.unwrap_or_else(|| panic!("{heading}:\n{}", demo.lines));
    let unset = "unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY\n";
    let shell =
        Command::new("bash").arg("-c").arg(format!("{unset}{paragraph}")).output().expect("bash and curl");
    let (code, out, error) = said(shell);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{paragraph}");
    out.lines().map(str::to_owned).collect()
}

fn answers(demo: &Demo, heading: &str) -> Vec<Value> {
    let lines = paste(demo, heading);
    let answers: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    for answer in &answers {
        assert_eq!(answer["code"], 0, "{answer}");
    }
    answers
}

/// Waits until the proxies of an answer can be reached: the gateway opens the first port of static
/// proxies within a second of the first order.
fn reachable(listed: &Value) {
    for record in listed["data"]["records"].as_array().expect("records") {
        let text = |field: &str| record[field].as_str().expect("a text").to_owned();
        let url = format!("http://{}:{}/", text("proxy_address"), text("proxy_port"));
        eventually("the gateway listens there", || {
            let tried = Command::new("curl").args(["-s", "-o", "/dev/null", "--noproxy", "*", &url]).status();
            tried.expect("curl").success()
        });
    }
}

#[test]
fn every_line_works_as_it_is_and_every_byte_is_accounted_for() {
    let demo = start(&[]);
    let account = answers(&demo, "# The account and its wallet");
    assert_eq!(account[1]["data"]["balance"], 10_000);
    answers(&demo, "# A sub-account");
    let bought = answers(&demo, "# What is on sale");
    assert_eq!(bought[1]["data"]["amount"], 250);

    let transfers = paste(&demo, "# A megabyte through the gateway");
    assert_eq!(transfers, ["200, 1000000 bytes"; 4]);
    let exits = paste(&demo, "# Where it leaves");
    assert!(exits[4].starts_with("127.0.14."), "in Japan: {exits:?}");
    assert!(exits[5].starts_with("127.0.19."), "in Manchester: {exits:?}");
    let session = paste(&demo, "# A sticky session");
    assert_eq!(session, vec![session[0].clone(); 4]);

    eventually("the bill is what the origin counted", || {
        let lines = paste(&demo, "# What that has used").join("\n");
        let told: Vec<Value> = serde_json::Deserializer::from_str(&lines)
            .into_iter()
            .map(|value| value.expect("JSON"))
            .collect();
        let [current, sub_account, trend, sub_trend, stats] = &told[..] else { panic!("{told:?}") };
        let day = |trend: &Value, proxy_type: &str| {
            trend["data"][proxy_type][0]["total_traffic"].as_i64().unwrap_or(0)
        };
        let residential = current["data"]["residential"]["cost_traffic"].as_i64().expect("bytes");
        let sub_account = &sub_account["data"];
        assert_eq!(trend["data"]["residential"][0]["wallet_traffic"], 0);
        residential == sub_account["used_res_traffic"].as_i64().expect("bytes")
            && residential == day(trend, "residential")
            && residential == day(sub_trend, "residential")
            && residential + day(trend, "mobile") == stats["total"].as_i64().expect("bytes")
    });
    let [ordered, listed] = &answers(&demo, "# Three static addresses")[..] else { panic!("two answers") };
    assert_eq!(ordered["data"]["amount"], 900);
    let addresses: Vec<&str> = listed["data"]["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|record| record["proxy_address"].as_str().expect("an address"))
        .collect();
    assert_eq!(addresses.len(), 3, "{listed}");
    reachable(listed);
    let seen = paste(&demo, "# Through each of them");
    assert_eq!(seen.len(), 6, "{seen:?}");
    for address in addresses {
        let times = seen.iter().filter(|seen| *seen == address).count();
        assert_eq!(times, 2, "by HTTP and by SOCKS5 from {address}: {seen:?}");
    }
    let told = answers(&demo, "# What has happened");
    assert_eq!(told[0]["data"]["records"][0]["type"], "static.order_completed", "{told:?}");
    assert_eq!(demo.running.stop(), "", "nothing to complain about");
}

#[test]
fn a_static_proxy_for_ipv6_reaches_the_origin_by_it() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let mut demo = start(&[]);
    let behind = demo.lines.split("origin.test:").nth(1).expect("the origin's name");
    let port: String = behind.chars().take_while(char::is_ascii_digit).collect();
    demo.lines = demo
        .lines
        .replace(r#""proxy_type":"res""#, r#""proxy_type":"ipv6""#)
        .replace(r#""price_package_id":2"#, r#""price_package_id":5"#)
        .replace("static/res/list", "static/dc/list")
        .replace(&format!("127.0.0.1:{port}/ip"), &format!("origin.test:{port}/ip"));
    let ordered = answers(&demo, "# Three static addresses");
    assert_eq!(ordered[1]["data"]["records"][0]["exit_ip"], "::1", "{ordered:?}");
    reachable(&ordered[1]);
    assert_eq!(paste(&demo, "# Through each of them"), ["::1"; 2]);
    demo.running.stop();
}

#[test]
fn a_demo_on_kept_data_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--data-dir", folder.path().to_str().expect("UTF-8")];
    let demo = start(&flags);
    answers(&demo, "# A sub-account");
    answers(&demo, "# What is on sale");
    let first = answers(&demo, "# The account and its wallet");
    demo.running.stop();
    let demo = start(&flags);
    answers(&demo, "# A sub-account");
    assert_eq!(answers(&demo, "# The account and its wallet"), first, "the same key, no money given twice");
    demo.running.stop();
    let (code, out, _) = crate::common::run(&["audit", flags[0], flags[1]], &[]);
    assert_eq!(code, Some(0), "{out}");
}
