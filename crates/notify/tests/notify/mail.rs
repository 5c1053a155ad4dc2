//! E-mail.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tollgate_notify::{
    Mail, MailAddress, MailError, Mailer, MailerConfig, MessageId, RelayLogin, Security, SetupError, Trust,
};
use tollgate_types::Time;

use crate::common::{Authority, DEADLINE, Listener, in_time, names};
use crate::relay::{CLOSE, HANG, Script, relay};

/// Every step of a conversation with STARTTLS and a login, in order.
const STEPS: [&str; 8] = ["greeting", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "message"];

fn mail() -> Mail {
    Mail {
        id: MessageId::new("msg_0198f").unwrap(),
        at: Time::from_micros(1_767_225_600_000_000),
        to: MailAddress::parse("ann@example.com").unwrap(),
        subject: "流量即将用完".to_owned(),
        text: "您好！\n\n剩余流量：1.25 GB\n".to_owned(),
    }
}

fn in_english(text: &str) -> Mail {
    Mail { subject: "A notice".to_owned(), text: text.to_owned(), ..mail() }
}

/// A relay in the clear, without a login.
fn plain(listener: &Listener) -> MailerConfig {
    MailerConfig {
        security: Security::None,
        attempt_timeout: DEADLINE,
        ..MailerConfig::new("relay.test", listener.port(), "Tollgate 通知 <no-reply@tollgate.test>")
    }
}

/// STARTTLS and a login.
fn guarded(listener: &Listener) -> MailerConfig {
    let login = RelayLogin { username: "tollgate".to_owned(), password: "s3cret".to_owned().into() };
    MailerConfig { security: Security::StartTls, login: Some(login), ..plain(listener) }
}

fn impatient(config: MailerConfig) -> MailerConfig {
    MailerConfig { attempt_timeout: Duration::from_millis(400), ..config }
}

fn mailer(config: MailerConfig, trust: &Trust) -> Mailer {
    Mailer::new(config, names(&[("relay.test", &["127.0.0.1"])]), trust).unwrap()
}

async fn send(config: MailerConfig, mail: &Mail) -> Result<(), MailError> {
    in_time(mailer(config, &Trust::public()).send(mail)).await
}

/// A kind relay with STARTTLS, what it does otherwise, and who believes it.
fn guarded_script(authority: &Authority) -> Script {
    Script::default().with_starttls(authority.server(&["relay.test"]))
}

fn after<'a>(lines: &'a [String], start: &str) -> &'a str {
    lines.iter().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{start} in {lines:#?}"))
}

#[tokio::test]
async fn a_chinese_mail_arrives_as_it_was_written() {
    let (listener, mut heard) = relay(Script::default()).await;
    send(plain(&listener), &mail()).await.unwrap();

    let lines = heard.all();
    let commands =
        ["EHLO tollgate.test", "MAIL FROM:<no-reply@tollgate.test>", "RCPT TO:<ann@example.com>", "DATA"];
    assert_eq!(lines[..4], commands);
    assert_eq!(lines.last().map(String::as_str), Some("QUIT"));
    for line in [
        "To: ann@example.com",
        "Date: Thu, 01 Jan 2026 00:00:00 +0000",
        "Message-ID: <msg_0198f@tollgate.test>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: base64",
    ] {
        assert!(lines.iter().any(|heard| heard == line), "{line} in {lines:#?}");
    }
    assert!(lines.iter().all(|line| line.is_ascii()), "{lines:#?}");
    assert!(after(&lines, "From: ").ends_with(" <no-reply@tollgate.test>"));
    let subject = after(&lines, "Subject: =?utf-8?b?").strip_suffix("?=").unwrap();
    assert_eq!(STANDARD.decode(subject).unwrap(), "流量即将用完".as_bytes());
    let head = lines.iter().position(String::is_empty).unwrap();
    let end = lines.iter().position(|line| line == ".").unwrap();
    let text = STANDARD.decode(lines[head + 1..end].concat()).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "您好！\r\n\r\n剩余流量：1.25 GB\r\n");
}

#[tokio::test]
async fn a_mail_that_is_tried_again_is_the_same_mail() {
    let (listener, mut heard) = relay(Script::default()).await;
    send(plain(&listener), &mail()).await.unwrap();
    let first = heard.all();
    send(plain(&listener), &mail()).await.unwrap();
    assert_eq!(heard.all(), first);
}

#[tokio::test]
async fn no_line_of_the_text_ends_the_mail_or_becomes_a_command() {
    let text = "Hello\n.\nMAIL FROM:<evil@example.com>\n..\n.x\nFrom here\n";
    let (listener, mut heard) = relay(Script::default()).await;
    send(plain(&listener), &in_english(text)).await.unwrap();
    let lines = heard.all();
    let head = lines.iter().position(String::is_empty).unwrap();
    let body: Vec<&str> = lines[head + 1..].iter().map(String::as_str).collect();
    assert_eq!(
        body,
        ["Hello", "..", "MAIL FROM:<evil@example.com>", "...", "..x", "From here", ".", "QUIT"],
        "a dot more in front of each, as SMTP has it"
    );
}

#[tokio::test]
async fn what_would_break_into_the_head_is_not_sent() {
    let (listener, _heard) = relay(Script::default()).await;
    let long = "x".repeat(201);
    for subject in ["a\r\nBcc: evil@example.com", "a\nb", "a\rb", "a\0", "", "  ", &long] {
        let refused = send(plain(&listener), &Mail { subject: subject.to_owned(), ..mail() }).await;
        assert!(matches!(&refused, Err(error @ MailError::Unsendable(_)) if error.is_final()), "{subject:?}");
    }
    let long = "x".repeat(64 * 1024 + 1);
    for text in ["a\0b", "a\rb", "a\u{1b}[31m", &long] {
        let refused = send(plain(&listener), &in_english(text)).await;
        assert!(matches!(refused, Err(MailError::Unsendable(_))), "{refused:?}");
    }
    assert_eq!(listener.accepted(), 0);
}

#[tokio::test]
async fn the_relays_no_is_told_by_whose_fault_it_is() {
    use MailError::{Deferred, Refused, Relay};
    type Kind = fn(String) -> MailError;
    let cases: [(&str, &str, Kind); 12] = [
        ("greeting", "554 no service", Relay),
        ("greeting", "421 too busy", Relay),
        ("EHLO", "502 what", Relay),
        ("MAIL", "530 log in first", Relay),
        ("MAIL", "451 later", Relay),
        ("RCPT", "550 no such user", Refused),
        ("RCPT", "451 greylisted", Deferred),
        ("RCPT", "452 mailbox full", Deferred),
        ("DATA", "554 no", Refused),
        ("message", "554 spam", Refused),
        ("message", "552 too big", Refused),
        ("message", "450 later", Deferred),
    ];
    for (step, answer, expected) in cases {
        let (listener, _heard) = relay(Script::answering(step, answer)).await;
        let error = send(plain(&listener), &mail()).await.unwrap_err();
        assert_eq!(error, expected(answer.to_owned()), "{step}");
        assert_eq!(error.is_final(), matches!(error, Refused(_)), "{step}");
    }
}

#[tokio::test]
async fn answers_that_are_out_of_order_are_not_taken_for_success() {
    for (step, answer) in
        [("DATA", "250 ok"), ("message", "354 go on"), ("message", "220 hello"), ("MAIL", "x")]
    {
        let (listener, _heard) = relay(Script::answering(step, answer)).await;
        assert_eq!(send(plain(&listener), &mail()).await, Err(MailError::BrokenOff), "{step} {answer}");
    }
}

#[tokio::test]
async fn with_starttls_nothing_but_the_greeting_is_in_the_clear() {
    let authority = Authority::new();
    let (listener, mut heard) = relay(guarded_script(&authority)).await;
    in_time(mailer(guarded(&listener), &authority.trust()).send(&mail())).await.unwrap();
    let lines = heard.all();
    assert_eq!(lines[..3], ["EHLO tollgate.test", "STARTTLS", "tls EHLO tollgate.test"]);
    assert_eq!(after(&lines, "tls AUTH PLAIN "), STANDARD.encode("\0tollgate\0s3cret"));
    assert!(lines[2..].iter().all(|line| line.starts_with("tls ")), "{lines:#?}");
}

#[tokio::test]
async fn a_login_by_questions_and_answers_works_too() {
    let authority = Authority::new();
    let questions = guarded_script(&authority)
        .and("EHLO", "250-relay.test\r\n250-STARTTLS\r\n250 AUTH LOGIN")
        .and("AUTH", format!("334 {}", STANDARD.encode("Username:")))
        .and("login", "235 welcome");
    let (listener, mut heard) = relay(questions).await;
    in_time(mailer(guarded(&listener), &authority.trust()).send(&mail())).await.unwrap();
    let lines = heard.all();
    assert_eq!(lines[3..5], ["tls AUTH LOGIN".to_owned(), format!("tls {}", STANDARD.encode("tollgate"))]);
}

#[tokio::test]
async fn a_relay_without_starttls_gets_nothing() {
    for offer in ["250 relay.test", "250-relay.test\r\n250 AUTH PLAIN"] {
        let (listener, mut heard) = relay(Script::answering("EHLO", offer)).await;
        assert_eq!(send(guarded(&listener), &mail()).await, Err(MailError::NoStartTls));
        assert_eq!(heard.all(), ["EHLO tollgate.test"]);
    }
    let authority = Authority::new();
    let (listener, mut heard) = relay(guarded_script(&authority).and("STARTTLS", "454 not now")).await;
    let refused = in_time(mailer(guarded(&listener), &authority.trust()).send(&mail())).await;
    assert_eq!(refused, Err(MailError::Relay("454 not now".to_owned())));
    assert!(heard.all().iter().all(|line| !line.starts_with("AUTH") && !line.starts_with("MAIL")));
}

#[tokio::test]
async fn what_is_smuggled_in_behind_starttls_is_not_believed() {
    let authority = Authority::new();
    let smuggled = "220 go ahead\r\n250-relay.test\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 ok";
    let (listener, mut heard) = relay(guarded_script(&authority).and("STARTTLS", smuggled)).await;
    let sent = in_time(mailer(guarded(&listener), &authority.trust()).send(&mail())).await;
    assert!(matches!(sent, Err(MailError::Tls(_))), "{sent:?}");
    assert_eq!(heard.all(), ["EHLO tollgate.test", "STARTTLS"]);
}

#[tokio::test]
async fn a_relay_that_proves_nothing_gets_nothing() {
    let authority = Authority::new();
    let other = Authority::new();
    for (acceptor, trust) in [
        (authority.server(&["other.test"]), authority.trust()),
        (authority.server_until(&["relay.test"], 2020), authority.trust()),
        (authority.server(&["relay.test"]), other.trust()),
        (authority.server(&["relay.test"]), Trust::public()),
    ] {
        let (listener, mut heard) = relay(Script::default().with_starttls(acceptor.clone())).await;
        let sent = in_time(mailer(guarded(&listener), &trust).send(&mail())).await;
        assert!(matches!(&sent, Err(error @ MailError::Tls(_)) if !error.is_final()), "{sent:?}");
        assert_eq!(heard.all(), ["EHLO tollgate.test", "STARTTLS"]);

        let (listener, mut heard) = relay(Script { tls: Some(acceptor), ..Script::default() }).await;
        let config = MailerConfig { security: Security::Tls, ..guarded(&listener) };
        let sent = in_time(mailer(config, &trust).send(&mail())).await;
        assert!(matches!(sent, Err(MailError::Tls(_))), "{sent:?}");
        assert!(heard.all().is_empty());
    }
}

#[tokio::test]
async fn tls_from_the_first_byte_works() {
    let authority = Authority::new();
    for host in ["relay.test", "127.0.0.1"] {
        let script = Script { tls: Some(authority.server(&[host])), ..Script::default() };
        let (listener, mut heard) = relay(script).await;
        let config = MailerConfig { security: Security::Tls, host: host.to_owned(), ..guarded(&listener) };
        in_time(mailer(config, &authority.trust()).send(&mail())).await.unwrap();
        let lines = heard.all();
        assert_eq!(lines[0], "tls EHLO tollgate.test");
        assert!(lines[1].starts_with("tls AUTH PLAIN "));
    }
}

#[tokio::test]
async fn a_relay_that_hangs_costs_the_attempts_time_and_no_more_wherever_it_hangs() {
    let authority = Authority::new();
    for step in STEPS {
        let (listener, _heard) = relay(guarded_script(&authority).and(step, HANG)).await;
        let sent = in_time(mailer(impatient(guarded(&listener)), &authority.trust()).send(&mail())).await;
        assert_eq!(sent, Err(MailError::Timeout), "{step}");
        assert!(!MailError::Timeout.is_final());
    }
    let (listener, _heard) =
        relay(Script { starttls: None, ..guarded_script(&authority) }.and("EHLO", "250-a")).await;
    assert_eq!(send(impatient(plain(&listener)), &mail()).await, Err(MailError::Timeout), "half an answer");
    let handshake = Listener::start(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    });
    let handshake = handshake.await;
    let config = MailerConfig { security: Security::Tls, ..impatient(guarded(&handshake)) };
    assert_eq!(send(config, &mail()).await, Err(MailError::Timeout));
}

#[tokio::test]
async fn a_relay_that_leaves_is_told_from_one_that_refuses() {
    let authority = Authority::new();
    for step in STEPS {
        let (listener, _heard) = relay(guarded_script(&authority).and(step, CLOSE)).await;
        let sent = in_time(mailer(guarded(&listener), &authority.trust()).send(&mail())).await;
        assert_eq!(sent, Err(MailError::BrokenOff), "{step}");
        assert!(!MailError::BrokenOff.is_final());
    }
}

#[tokio::test]
async fn a_mail_that_was_taken_stays_sent_however_the_goodbye_goes() {
    for goodbye in [HANG, CLOSE, "500 what", "x"] {
        let (listener, _heard) = relay(Script::answering("QUIT", goodbye)).await;
        assert_eq!(send(plain(&listener), &mail()).await, Ok(()), "{goodbye}");
    }
}

#[tokio::test]
async fn answers_are_read_so_far_and_no_further() {
    let one_line = format!("220 {}", "x".repeat(8 << 20));
    let many_lines = format!("{}220 hello", "220-hello\r\n".repeat(1 << 20));
    for greeting in [one_line, many_lines] {
        let (listener, _heard) = relay(Script::answering("greeting", greeting)).await;
        assert_eq!(send(plain(&listener), &mail()).await, Err(MailError::BrokenOff));
    }
    let (listener, _heard) = relay(Script::answering("RCPT", format!("550 {}", "x".repeat(900)))).await;
    let Err(MailError::Refused(said)) = send(plain(&listener), &mail()).await else { panic!("refused") };
    assert_eq!(said.len(), 200);
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_said_not_to_be() {
    let (listener, heard) = relay(Script::default()).await;
    let config = plain(&listener);
    drop((listener, heard));
    assert_eq!(send(config.clone(), &mail()).await, Err(MailError::Unreachable));
    let nowhere = MailerConfig { host: "no-such-host.invalid".to_owned(), ..config };
    assert_eq!(send(nowhere, &mail()).await, Err(MailError::Unresolved));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let (listener, _heard) = relay(Script::default()).await;
    let refused = |change: fn(&mut MailerConfig)| {
        let mut config = guarded(&listener);
        change(&mut config);
        Mailer::new(config, names(&[]), &Trust::public()).err()
    };
    assert!(refused(|_| ()).is_none());
    assert!(matches!(refused(|c| c.host = "a b".to_owned()), Some(SetupError::RelayHost)));
    assert!(matches!(refused(|c| c.host = "a\r\nb".to_owned()), Some(SetupError::RelayHost)));
    assert!(matches!(refused(|c| c.hello = Some("a\r\nRSET".to_owned())), Some(SetupError::Hello)));
    assert!(matches!(refused(|c| c.hello = Some(String::new())), Some(SetupError::Hello)));
    for from in ["", "nobody", "A <a@b.c>\r\nBcc: x@y.z", "用户@tollgate.test", "a@b.c, d@e.f"] {
        let config = MailerConfig { from: from.to_owned(), ..guarded(&listener) };
        let made = Mailer::new(config, names(&[]), &Trust::public());
        assert!(matches!(made.err(), Some(SetupError::Sender)), "{from:?}");
    }
    assert!(matches!(refused(|c| c.security = Security::None), Some(SetupError::ClearPassword)));
    for local in ["127.0.0.1", "::1", "localhost"] {
        let config = MailerConfig { security: Security::None, host: local.to_owned(), ..guarded(&listener) };
        assert!(Mailer::new(config, names(&[]), &Trust::public()).is_ok(), "{local}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let login = RelayLogin { username: "tollgate".to_owned(), password: "s3cret".to_owned().into() };
    let config =
        MailerConfig { login: Some(login), ..MailerConfig::new("relay.test", 587, "a@tollgate.test") };
    let printed = format!("{config:?} {:?}", mail());
    assert!(!printed.contains("s3cret") && !printed.contains("ann@"), "{printed}");
}

#[test]
fn an_attempt_can_be_made_from_any_task() {
    fn is_send(_: impl Send) {}
    let mailer = mailer(MailerConfig::new("relay.test", 587, "a@tollgate.test"), &Trust::public());
    is_send(mailer.send(&mail()));
}
