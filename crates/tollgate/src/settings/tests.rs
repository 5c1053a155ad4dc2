use std::ffi::OsString;
use std::path::Path;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn in_environment(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::read(&gather(&[], &Flags::default(), environment(variables))?)
}

fn in_file(text: &str) -> Result<Settings, SettingsError> {
    let mut layers = Layers::default();
    layers.lay_file(&items(), Path::new("t.toml"), text)?;
    Settings::read(&layers)
}

#[test]
fn defaults_are_those_of_the_platform_page() {
    let settings = in_environment(&[]).expect("the defaults parse");
    assert_eq!(settings.api.listen.show(), "127.0.0.1:8080");
    let gateway = &settings.gateway;
    let ports =
        [&gateway.listen, &gateway.residential, &gateway.datacenter, &gateway.mobile].map(Value::show);
    assert_eq!(ports, ["127.0.0.1:7000", "127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]);
    assert_eq!(settings.metrics.listen.show(), "127.0.0.1:9090");
    assert_eq!(settings.gateway.blocked_ports, Ports(vec![25]));
    assert_eq!(settings.time.zone.name, "UTC");
    assert_eq!(settings.database().to_string(), "sqlite:tollgate-data/tollgate.db");
}

#[test]
fn every_name_that_others_rely_on_is_a_setting() {
    for name in [
        "TOLLGATE_DATA_DIR",
        "TOLLGATE_STORE__URL",
        "TOLLGATE_MASTER_KEY",
        "TOLLGATE_ADMIN_TOKEN",
        "TOLLGATE_API__LISTEN",
        "TOLLGATE_METRICS__LISTEN",
        "TOLLGATE_GATEWAY__LISTEN",
        "TOLLGATE_GATEWAY__RESIDENTIAL",
        "TOLLGATE_GATEWAY__DATACENTER",
        "TOLLGATE_GATEWAY__MOBILE",
        "TOLLGATE_GATEWAY__ALLOW_DESTINATIONS",
        "TOLLGATE_GATEWAY__BLOCKED_PORTS",
        "TOLLGATE_API__ALLOW_PRIVATE_WHITELIST",
        "TOLLGATE_API__RATE_LIMIT",
        "TOLLGATE_TIME__ZONE",
    ] {
        assert!(items().iter().any(|item| environment_name(item.name) == name), "{name}");
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_and_that_over_the_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.toml");
    std::fs::write(&path, "data_dir = 'file'\nroles = ['api', 'worker']\n[api]\nrate_limit = 7\n")
        .expect("a file");
    let flags = Flags { config: Some(path), values: vec![("data_dir", "--data-dir", "flag".to_owned())] };
    let variables = environment(&[
        ("TOLLGATE_DATA_DIR", "environment"),
        ("TOLLGATE_API__RATE_LIMIT", "9"),
        ("PATH", "x"),
    ]);
    let command = [("demo", "api.rate_limit", "1"), ("demo", "drain_timeout", "1s")];
    let layers = gather(&command, &flags, variables).expect("layers");
    let settings = Settings::read(&layers).expect("settings");
    assert_eq!(settings.general.data_dir, Path::new("flag"));
    assert_eq!(settings.api.rate_limit, 9);
    assert_eq!(settings.general.roles.show(), "api,worker");
    assert_eq!(settings.general.drain_timeout, Duration::from_secs(1));
    let origins: Vec<_> =
        effective(&layers).expect("values").into_iter().map(|(name, _, o)| (name, o.to_string())).collect();
    for (name, origin) in [
        ("data_dir", "--data-dir"),
        ("api.rate_limit", "$TOLLGATE_API__RATE_LIMIT"),
        ("drain_timeout", "tollgate demo"),
        ("time.zone", "default"),
    ] {
        assert!(origins.contains(&(name, origin.to_owned())), "{name} {origin}: {origins:?}");
    }
}

#[test]
fn the_environment_can_name_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.toml");
    std::fs::write(&path, "[api]\nrate_limit = 7\n").expect("a file");
    let settings = in_environment(&[("TOLLGATE_CONFIG", path.to_str().expect("UTF-8"))]).expect("settings");
    assert_eq!(settings.api.rate_limit, 7);
    let missing =
        in_environment(&[("TOLLGATE_CONFIG", "/nonexistent.toml")]).expect_err("no such file").to_string();
    assert!(missing.contains("/nonexistent.toml"), "{missing}");
}

#[test]
fn wrong_settings_are_named() {
    let said = |result: Result<Settings, SettingsError>| result.expect_err("wrong").to_string();
    for (name, value, expected) in [
        (
            "TOLLGATE_GATEWAY__LISTN",
            "x",
            "no setting TOLLGATE_GATEWAY__LISTN (did you mean TOLLGATE_GATEWAY__LISTEN?)",
        ),
        ("TOLLGATE_NONSENSE_AND_MORE", "x", "no setting TOLLGATE_NONSENSE_AND_MORE;"),
        ("TOLLGATE_", "x", "no setting TOLLGATE_"),
        ("TOLLGATE_API__LISTEN", "8080", "$TOLLGATE_API__LISTEN: the setting api.listen must be IP:PORT"),
        ("TOLLGATE_TIME__ZONE", "Mars", "the setting time.zone must be an IANA time zone"),
        ("TOLLGATE_STORE__URL", "mysql://x", "the setting store.url is not understood"),
        (
            "TOLLGATE_GATEWAY__ALLOW_DESTINATIONS",
            "10.0.0.0/33",
            "the setting gateway.allow_destinations must be",
        ),
    ] {
        let said = said(in_environment(&[(name, value)]));
        assert!(said.contains(expected), "{said}");
    }
    for (text, expected) in [
        ("[gatway]\nlisten = 'x'", "no setting gatway.listen (did you mean gateway.listen?)"),
        ("listen = 'x'", "no setting listen"),
        ("[api]\nrate_limit = 1.5", "the setting api.rate_limit must be a text, a whole number"),
        ("[api]\nrate_limit = -1", "t.toml: the setting api.rate_limit must be a whole number"),
        ("[api", "t.toml is not understood"),
        ("data_dir = { a = 1 }", "no setting data_dir.a"),
    ] {
        let said = said(in_file(text));
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn variables_of_the_tests_are_passed_over() {
    assert!(in_environment(&[("TOLLGATE_TEST_POSTGRES", "skip"), ("OTHER", "x")]).is_ok());
}

#[test]
fn an_empty_text_turns_a_port_off() {
    let settings = in_environment(&[("TOLLGATE_GATEWAY__MOBILE", "")]).expect("settings");
    assert!(settings.gateway.mobile.0.is_empty());
}

#[test]
fn secrets_are_shown_nowhere() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let token = "a-token-that-nobody-may-see";
    let url = "postgres://bob:hunter2@localhost/x";
    let variables = [
        ("TOLLGATE_MASTER_KEY", key),
        ("TOLLGATE_ADMIN_TOKEN", token),
        ("TOLLGATE_STORE__URL", url),
        ("TOLLGATE_NOTICES__SMTP_PASSWORD", "correct-horse"),
    ];
    let layers = gather(&[], &Flags::default(), environment(&variables)).expect("layers");
    let settings = Settings::read(&layers).expect("settings");
    let shown = format!("{:?} {settings:?}", effective(&layers).expect("values"));
    for secret in [key, token, "hunter2", "correct-horse"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// `docs/settings.md` is what the code says.
#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    #[expect(clippy::disallowed_methods, reason = "a switch of this very test")]
    if std::env::var_os("TOLLGATE_TEST_WRITE").is_some() {
        std::fs::write(&path, page()).expect("the page is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/settings.md is out of date: TOLLGATE_TEST_WRITE=1 cargo test -p tollgate settings"
    );
}
