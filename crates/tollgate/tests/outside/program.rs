//! The program from outside: commands, settings, life and death.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

use crate::common::{Running, eventually, run, server_settings};
use rustix::process::Signal;
use serde_json::Value;
use tollgate_types::Refusal;

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field}: {value}"))
}

#[expect(clippy::disallowed_methods, reason = "the test's own client")]
fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(crate::common::PATIENCE)).expect("a timeout");
    stream
}

fn get(address: &str, path: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn help_teaches_by_example() {
    for (arguments, expected) in [
        (&["--help"][..], "tollgate demo"),
        (&["serve", "--help"], "TOLLGATE_GATEWAY__LISTEN=0.0.0.0:7000 tollgate serve"),
        (&["admin", "--help"], "tollgate admin accounts recharge 1 --amount 5000"),
        (&["demo", "--help"], "--data-dir"),
        (&["admin", "static", "--help"], "tollgate admin static orders list --state pending"),
        (&["admin", "static", "import", "--help"], "listen_ip,listen_port,exit_ip"),
    ] {
        let (code, out, _) = run(arguments, &[]);
        assert_eq!(code, Some(0));
        assert!(out.contains(expected), "{arguments:?}:\n{out}");
    }
}

#[test]
fn config_tells_where_settings_come_from_and_no_secrets() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let (code, out, _) = run(
        &["config", "--log", "debug"],
        &[("TOLLGATE_MASTER_KEY", key), ("TOLLGATE_API__LISTEN", "[::1]:1")],
    );
    assert_eq!(code, Some(0));
    assert!(!out.contains(key), "{out}");
    for (value, origin) in [
        ("master_key = \"(secret)\"", "$TOLLGATE_MASTER_KEY"),
        ("listen = \"[::1]:1\"", "$TOLLGATE_API__LISTEN"),
        ("level = \"debug\"", "--log-level"),
        ("zone = \"UTC\"", "default"),
    ] {
        let line = out.lines().find(|line| line.starts_with(value));
        assert!(line.is_some_and(|line| line.ends_with(origin)), "{value} {origin}:\n{out}");
    }
}

#[test]
fn config_is_itself_a_settings_file() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (_, out, _) = run(&["config", "--data-dir", "somewhere"], &[]);
    std::fs::write(file.path(), &out).expect("written");
    let (code, again, error) = run(&["config", "--config", file.path().to_str().expect("UTF-8")], &[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(again.contains("data_dir = \"somewhere\""), "{again}");
}

#[test]
fn wrong_settings_keep_every_command_from_starting() {
    for command in ["serve", "config", "audit", "demo"] {
        let (code, _, error) = run(&[command], &[("TOLLGATE_GATEWAY__LISTN", "x")]);
        assert_eq!(code, Some(2), "{command}");
        assert!(
            error.contains("TOLLGATE_GATEWAY__LISTN (did you mean TOLLGATE_GATEWAY__LISTEN?)"),
            "{command}: {error}"
        );
    }
    let (code, _, error) = run(&["serve", "--roles", "console"], &[]);
    assert_eq!(code, Some(2));
    assert!(
        error.contains("--roles: the setting roles must be one or more of api, worker, gateway"),
        "{error}"
    );
}

#[test]
fn a_certificate_that_is_of_no_use_keeps_the_server_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nothing.pem");
    let nowhere = nowhere.to_str().expect("UTF-8");
    let chain = ("TOLLGATE_GATEWAY__CERTIFICATE", nowhere);
    let key = ("TOLLGATE_GATEWAY__CERTIFICATE_KEY", nowhere);
    for (given, said) in [
        (&[chain][..], "gateway.certificate needs gateway.certificate_key"),
        (&[key], "gateway.certificate_key needs gateway.certificate"),
        (&[chain, key], "nothing.pem cannot be read"),
    ] {
        let (code, _, error) = run(&["serve"], &[&server_settings(folder.path()), given].concat());
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn openapi_is_a_document() {
    let (code, out, _) = run(&["openapi"], &[]);
    assert_eq!(code, Some(0));
    let document: Value = serde_json::from_str(&out).expect("JSON");
    assert!(text(&document, "openapi").starts_with("3.1"));
    assert!(document["paths"]["/api/admin/accounts"]["post"].is_object());
}

#[test]
fn a_server_starts_serves_an_operator_and_drains() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = server_settings(folder.path());
    let (server, ready) = Running::serve(&[], &settings);
    let (api, metrics) = (text(&ready, "api"), text(&ready, "metrics"));
    assert!(get(metrics, "/readyz").contains("200 OK"));
    assert!(get(metrics, "/metrics").contains("\ntollgate_gateway_connections 0\n"));
    let admin = |arguments: &[&str]| run(&[&["admin", "--api", api], arguments].concat(), &settings);

    let (code, out, error) =
        admin(&["accounts", "create", "ada", "--email", "ada@example.com", "--res-price", "200"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("api_key  tg_"), "{out}");
    let recharge = ["--json", "accounts", "recharge", "1", "--amount", "500", "--reference", "r1"];
    for _ in 0..2 {
        let (code, out, _) = admin(&recharge);
        assert_eq!(code, Some(0));
        let answer: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(answer["code"], 0);
    }
    let (code, out, _) = admin(&["accounts", "list"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("ada") && out.ends_with("1 of 1\n"), "{out}");
    let (code, out, error) = admin(&["accounts", "recharge", "99", "--amount", "500", "--reference", "r1"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(error.contains("code 40400"), "{error}");
    let (code, out, _) =
        admin(&["--json", "accounts", "recharge", "99", "--amount", "5", "--reference", "r2"]);
    assert_eq!(code, Some(2), "a refusal is one in either form");
    assert!(out.contains("40400"), "{out}");

    let printed = server.stop();
    assert!(printed.starts_with("The operator's token is "), "{printed}");
    let (code, out, _) = run(&["audit"], &settings);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.ends_with(" 0 differ\n"), "{out}");

    let (server, _) = Running::serve(&[], &settings);
    assert_eq!(server.stop(), "", "the token is printed once");
}

#[test]
fn static_proxies_are_handled_from_the_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = server_settings(folder.path());
    let (server, ready) = Running::serve(&[], &settings);
    let api = text(&ready, "api");
    let admin =
        |arguments: &[&str]| run(&[&["admin", "--api", api, "static"], arguments].concat(), &settings);
    let table = folder.path().join("addresses.csv");
    let file = table.to_str().expect("UTF-8");

    let create = ["--proxy-type", "res", "--count", "2", "--period", "30", "--price", "500"];
    assert_eq!(admin(&[&["prices", "create"][..], &create].concat()).0, Some(0));
    let (_, out, _) = admin(&["prices", "list"]);
    assert!(out.ends_with("1 of 1\n"), "{out}");

    let import = ["import", file, "--proxy-type", "res", "--country", "us"];
    std::fs::write(&table, "listen_ip,listen_port\nnowhere,9100\n127.0.9.1,9100\n127.0.9.2,0\n")
        .expect("written");
    let (code, out, error) = admin(&import);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(error.contains("\n  line 2: parameter listen_ip is not a valid address"), "{error}");
    assert!(error.contains("\n  line 4: parameter listen_port must be from 1 to 65535"), "{error}");

    let lines: String = (1..=1200).map(|n| format!("127.0.9.{},{}\n", n % 250 + 1, 9100 + n / 250)).collect();
    std::fs::write(&table, format!("listen_ip,listen_port\n{lines}")).expect("written");
    let (code, out, error) = admin(&import);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.starts_with("count  1200\n"), "{out}");
    assert_eq!(admin(&["stock", "update", "7", "--status", "disabled"]).0, Some(0));
    let (_, out, _) = admin(&["stock", "list", "--state", "disabled"]);
    assert!(out.contains("127.0.9.8") && out.ends_with("1 of 1\n"), "{out}");

    let (code, exported, error) = admin(&["stock", "export", "--country", "us"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(exported.starts_with("listen_ip,listen_port,exit_ip,proxy_type,country,state,"), "{exported}");
    let written: BTreeSet<&str> = exported.lines().skip(1).collect();
    assert_eq!(written.len(), 1200, "every page of it");
    assert!(exported.contains("\n127.0.9.8,9100,127.0.9.8,res,us,disabled,0,0,7\r\n"));
    // What was exported is what an import takes: here it is all there already.
    std::fs::write(&table, &exported).expect("written");
    let (code, _, error) = admin(&import);
    assert_eq!(code, Some(2));
    assert!(error.starts_with("tollgate: 1200 mistakes, nothing was imported"), "{error}");
    server.stop();
}

#[test]
fn the_audit_says_what_differs() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = server_settings(folder.path());
    let (server, ready) = Running::serve(&["--roles", "api"], &settings);
    let create =
        ["admin", "--api", text(&ready, "api"), "accounts", "create", "ada", "--email", "ada@example.com"];
    assert_eq!(run(&create, &settings).0, Some(0));
    server.stop();
    let db = rusqlite::Connection::open(folder.path().join("tollgate.db")).expect("the database");
    db.execute("UPDATE wallets SET balance = 7, total_recharge = 7", []).expect("tampered with");
    drop(db);
    let (code, out, error) = run(&["audit"], &settings);
    assert_eq!(code, Some(1), "{error}");
    assert!(out.lines().any(|line| line.contains('7')), "{out}");
}

#[test]
fn roles_that_are_not_played_do_not_listen() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, ready) = Running::serve(&["--roles", "worker"], &server_settings(folder.path()));
    assert_eq!((text(&ready, "api"), text(&ready, "gateway")), ("", ""));
    assert!(get(text(&ready, "metrics"), "/readyz").contains("200 OK"));
    server.stop();
}

#[test]
fn a_supervisor_hears_when_it_can_be_reached_and_when_it_drains() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let ear = UnixDatagram::bind(&path).expect("an ear");
    ear.set_read_timeout(Some(crate::common::PATIENCE)).expect("a timeout");
    let heard = || {
        let mut heard = [0; 64];
        let count = ear.recv(&mut heard).expect("a word in time");
        String::from_utf8_lossy(&heard[..count]).into_owned()
    };
    let mut settings = server_settings(folder.path());
    settings.push(("NOTIFY_SOCKET", path.to_str().expect("UTF-8")));
    let (server, _) = Running::serve(&[], &settings);
    assert_eq!(heard(), "READY=1");
    server.stop();
    assert_eq!(heard(), "STOPPING=1");
}

#[test]
fn one_sqlite_file_has_one_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = server_settings(folder.path());
    let (server, _) = Running::serve(&[], &settings);
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::copy(folder.path().join("master-key"), elsewhere.path().join("master-key")).expect("copied");
    let same = format!("sqlite:{}", folder.path().join("tollgate.db").display());
    let second = [server_settings(elsewhere.path()), vec![("TOLLGATE_STORE__URL", same.as_str())]].concat();
    let (code, _, error) = run(&["serve"], &second);
    assert_eq!(code, Some(2));
    assert!(error.contains("another process has the database") && error.contains("tollgate.db"), "{error}");
    server.stop();
}

#[test]
fn another_master_key_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = server_settings(folder.path());
    Running::serve(&[], &settings).0.stop();
    std::fs::remove_file(folder.path().join("master-key")).expect("removed");
    let (code, _, error) = run(&["serve"], &settings);
    assert_eq!(code, Some(2));
    assert!(error.contains("the master key is missing"), "{error}");
    let other =
        [settings.as_slice(), &[("TOLLGATE_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]]
            .concat();
    let (code, _, error) = run(&["serve"], &other);
    assert_eq!(code, Some(2));
    assert!(error.contains("the master key is not the one"), "{error}");
}

#[test]
fn a_hangup_reads_the_settings_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "[log]\nlevel = 'info'\n").expect("written");
    let flags = ["--config", file.to_str().expect("UTF-8")];
    let (mut server, _) = Running::serve(&flags, &server_settings(folder.path()));
    std::fs::write(&file, "[log]\nlevel = 'debug'\n[gateway]\nblocked_ports = [25, 26]\n").expect("written");
    server.signal(Signal::HUP);
    let line = server.line(|line| line.contains("read again"));
    assert!(line.contains("\"need_a_restart\":\"gateway.blocked_ports\""), "{line}");
    assert!(line.contains("\"changed\":\"log.level\""), "{line}");
    std::fs::write(&file, "[log]\nlevel = 'loud'\n").expect("written");
    server.signal(Signal::HUP);
    let line = server.line(|line| line.contains("not read again"));
    assert!(line.contains("log.level must be"), "{line}");
    server.stop();
}

#[test]
fn limits_change_with_a_hangup_and_stay_where_the_file_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("[gateway]\nmax_connections_per_account = 7\n");
    let flags = ["--config", file.to_str().expect("UTF-8")];
    let (mut server, ready) = Running::serve(&flags, &server_settings(folder.path()));
    let holds = |name: &str, value: u64| {
        let line = format!("tollgate_gateway_limit{{limit=\"{name}\"}} {value}\n");
        get(text(&ready, "metrics"), "/metrics").contains(&line)
    };
    assert!(holds("max_connections_per_account", 7) && holds("bandwidth_per_account", 0));
    write("[gateway]\nbandwidth_per_account = 125000\nconnect_timeout = '7s'\n");
    server.signal(Signal::HUP);
    let line = server.line(|line| line.contains("read again"));
    let changed = "\"changed\":\"gateway.max_connections_per_account,gateway.bandwidth_per_account\"";
    assert!(line.contains(changed), "{line}");
    assert!(line.contains("\"need_a_restart\":\"gateway.connect_timeout\""), "{line}");
    assert!(holds("max_connections_per_account", 0) && holds("bandwidth_per_account", 125_000));
    write("[gateway]\nbandwidth_per_account = 1\nmax_connections_per_account = 'many'\n");
    server.signal(Signal::HUP);
    let line = server.line(|line| line.contains("not read again"));
    assert!(line.contains("gateway.max_connections_per_account must be a whole number"), "{line}");
    assert!(holds("bandwidth_per_account", 125_000), "nothing of a wrong file is taken");
    // What was changed back has changed, too.
    write("[gateway]\nmax_connections_per_account = 7\n");
    server.signal(Signal::HUP);
    let line = server.line(|line| line.contains("were read again"));
    assert!(line.contains(changed), "{line}");
    assert!(holds("max_connections_per_account", 7) && holds("bandwidth_per_account", 0));
    server.stop();
}

#[test]
fn whoever_insists_is_not_kept_waiting_by_a_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = server_settings(folder.path());
    settings.push(("TOLLGATE_DRAIN_TIMEOUT", "1h"));
    let (mut server, ready) = Running::serve(&[], &settings);
    // A client that has begun to speak keeps the gateway draining.
    let mut client = connect(text(&ready, "gateway"));
    client.write_all(b"CONNECT ").expect("sent");
    eventually("it is accepted", || {
        get(text(&ready, "metrics"), "/metrics").contains("tollgate_gateway_accepted_total 1")
    });
    server.signal(Signal::TERM);
    server.line(|line| line.contains("draining"));
    server.signal(Signal::TERM);
    server.end();
    let (code, out, _) = run(&["audit"], &settings);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn the_pages_for_operators_name_every_metric_and_every_refusal() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, ready) = Running::serve(&[], &server_settings(folder.path()));
    let answer = get(text(&ready, "metrics"), "/metrics");
    server.stop();
    let samples = answer.lines().filter(|line| line.starts_with("tollgate_"));
    let told: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    let page = include_str!("../../../../docs/operating/watching.md");
    let written: BTreeSet<&str> = page
        .split('`')
        .map(|word| word.split('{').next().unwrap_or(word))
        .filter(|word| word.starts_with("tollgate_"))
        .collect();
    assert_eq!(written, told);

    let page = include_str!("../../../../docs/operating/gateway.md");
    for refusal in Refusal::ALL {
        assert!(page.contains(&format!("`{refusal}`")), "{refusal}");
    }
}
