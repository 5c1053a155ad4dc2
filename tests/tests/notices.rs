//! Notices from the real program to a customer's server and mail relay, through failures and a kill.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tollgate_testkit::Receiver;
use tollgate_testkit::postgres;
use tollgate_testkit::receiver::{Received, Reply};
use tollgate_testkit::world::{Customer, Setup, World, eventually, int, text};

/// A claim of a killed program holds for a minute; everything else is quicker.
const PATIENCE: Duration = Duration::from_secs(120);

/// A world whose webhooks may go to loopback.
fn world_on(database: &str, settings: &[(&str, &str)]) -> Option<World> {
    let mut setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test"))
        .with("TOLLGATE_NOTICES__ALLOW_DESTINATIONS", "127.0.0.0/8")
        .with("TOLLGATE_NOTICES__ALLOW_HTTP", "true");
    for (name, value) in settings {
        setup = setup.with(name, value);
    }
    match database {
        "sqlite" => Some(World::start(setup)),
        _ => Some(World::start(setup.on(Some(postgres::fresh_database()?.to_string())))),
    }
}

/// Has a customer's balance fall below what is to be told of, so many times: as many events.
async fn go_low(world: &World, customer: &Customer, times: usize) {
    let path = format!("/api/admin/accounts/{}/adjust", customer.id);
    for _ in 0..times {
        for amount in [-600, 600] {
            let body = json!({ "amount": amount, "reason": "to be told of" });
            world.admin().post(&path, body).await.data();
        }
    }
}

/// Sets the webhook; answers its secret.
async fn subscribe(world: &World, customer: &Customer, url: &str) -> String {
    let api = world.api(&customer.key);
    api.post("/api/users/wallet/remind", json!({ "low_balance": 500 })).await.data();
    text(&api.post("/api/users/notices/webhook", json!({ "url": url })).await.data()["secret"])
}

async fn delivery(world: &World, customer: &Customer) -> Value {
    world.api(&customer.key).get("/api/users/notices").await.data()["webhook"]["delivery"].clone()
}

async fn until_nothing_waits(world: &World, customer: &Customer) -> Value {
    let delivered = async || Some(delivery(world, customer).await).filter(|it| it["pending"] == 0);
    eventually("nothing waits any more", PATIENCE, delivered).await
}

/// Whether the public library says that a request is ours.
fn is_signed_with(secret: &str, received: &Received) -> bool {
    let mut headers = hyper::HeaderMap::new();
    for (name, value) in &received.headers {
        let name: hyper::header::HeaderName = name.parse().expect("a header's name");
        headers.insert(name, value.parse().expect("a header's value"));
    }
    let webhook = Webhook::new(secret).expect("a secret");
    webhook.verify(received.body.as_bytes(), &headers).is_ok()
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    received.headers.iter().find(|(is, _)| is == name).map_or("", |(_, value)| value)
}

fn number(received: &Received) -> i64 {
    int(&serde_json::from_str::<Value>(&received.body).expect("JSON")["seq"])
}

/// Demands that the events from 1 to `last` came, none before one that precedes it, and each the
/// same every time.
fn assert_whole_and_in_order(received: &[Received], last: i64) {
    let mut reached = 0;
    for (at, one) in received.iter().enumerate() {
        let number = number(one);
        assert!(number <= reached + 1, "{number} came before {}", reached + 1);
        reached = reached.max(number);
        let body: Value = serde_json::from_str(&one.body).expect("JSON");
        assert_eq!(header(one, "webhook-id"), text(&body["id"]));
        for earlier in received[..at].iter().filter(|earlier| header(earlier, "webhook-id") == body["id"]) {
            assert_eq!(earlier.body, one.body, "the same bytes every time");
        }
    }
    assert_eq!(reached, last, "every event came");
}

async fn a_difficult_receiver(database: &str) {
    let Some(mut world) = world_on(database, &[]) else { return };
    // Fails, hangs until we are killed, answers too late and late.
    let too_late = Duration::from_secs(17);
    let receiver = Receiver::start([
        Reply::Status(503),
        Reply::Never,
        Reply::Late(too_late),
        Reply::Late(Duration::from_secs(2)),
    ])
    .await;
    let ann = world.customer("ann", 1000).await;
    let secret = subscribe(&world, &ann, &receiver.url()).await;
    go_low(&world, &ann, 3).await;

    let received = receiver.until(2, PATIENCE).await;
    assert_eq!([number(&received[0]), number(&received[1])], [1, 1], "what fails is sent again");
    world.kill();
    world.audit();
    world.boot();
    go_low(&world, &ann, 2).await;

    let received = receiver.until(3, PATIENCE).await;
    assert_eq!(number(&received[2]), 1, "nobody knows whether it arrived");
    let waits = async || {
        let delivery = delivery(&world, &ann).await;
        (delivery["last_error"] == "no answer in time").then_some(delivery)
    };
    let waiting = eventually("too late an answer counts as none", PATIENCE, waits).await;
    assert_eq!(
        (&waiting["sent_seq"], &waiting["pending"], &waiting["attempts"]),
        (&json!(0), &json!(5), &json!(2))
    );
    assert!(waiting["retry_time"].is_string());

    // It would be tried again in five minutes. Its customer has repaired it, and says so.
    let change = json!({ "status": "active" });
    world.api(&ann.key).post("/api/users/notices/webhook", change).await.data();
    let delivered = until_nothing_waits(&world, &ann).await;
    assert_eq!((&delivered["given_up"], &delivered["sent_seq"]), (&json!(0), &json!(5)));

    let rotation = "/api/users/notices/webhook/rotate-secret";
    let new_secret = text(&world.api(&ann.key).post(rotation, json!({})).await.data()["secret"]);
    go_low(&world, &ann, 1).await;
    until_nothing_waits(&world, &ann).await;
    let received = receiver.received();
    assert_whole_and_in_order(&received, 6);
    for one in &received {
        assert!(is_signed_with(&secret, one), "the old secret holds for a day: {one:?}");
        assert_eq!(is_signed_with(&new_secret, one), number(one) == 6, "{one:?}");
        let body: Value = serde_json::from_str(&one.body).expect("JSON");
        assert_eq!((&body["type"], &body["account_id"]), (&json!("wallet.low"), &json!(ann.id)));
        assert_eq!(body["data"], json!({ "balance": 400, "threshold": 500 }));
    }
    let polled = world.api(&ann.key).get("/api/users/events?limit=1000").await;
    assert_eq!(polled.data()["cursor"], 6);
    assert_eq!(polled.data()["records"][5]["data"], json!({ "balance": 400, "threshold": 500 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_hangs_and_answers_late_misses_nothing_over_a_kill_on_sqlite() {
    a_difficult_receiver("sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_hangs_and_answers_late_misses_nothing_over_a_kill_on_postgres() {
    a_difficult_receiver("postgres").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_refused_unless_the_operator_opens_them() {
    let receiver = Receiver::start([]).await;
    let world = World::start(Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test")));
    let ann = world.customer("ann", 0).await;
    for url in [
        receiver.url().as_str(),
        &receiver.url().replace("http:", "https:"),
        "https://localhost/hook",
        "https://10.0.0.1/hook",
        "https://[::1]/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://2130706433/hook",
    ] {
        let body = json!({ "url": url });
        let refused = world.api(&ann.key).post("/api/users/notices/webhook", body).await;
        assert_eq!((refused.code(), &refused.body["data"]["field"]), (40000, &json!("url")), "{url}");
    }
    let no_mail = world.api(&ann.key).post("/api/users/notices/email", json!({})).await;
    assert_eq!(no_mail.code(), 40900, "there is no relay");
    assert!(receiver.received().is_empty(), "nobody was connected to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_gone_is_switched_off_and_mail_goes_on() {
    let relay = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = relay.local_addr().expect("an address").port().to_string();
    let settings = [
        ("TOLLGATE_NOTICES__SMTP_HOST", "127.0.0.1"),
        ("TOLLGATE_NOTICES__SMTP_PORT", port.as_str()),
        ("TOLLGATE_NOTICES__SMTP_SECURITY", "none"),
        ("TOLLGATE_NOTICES__MAIL_FROM", "Tollgate <no-reply@tollgate.example>"),
    ];
    let world = world_on("sqlite", &settings).expect("a world");
    let receiver = Receiver::start([Reply::Status(410)]).await;
    let ann = world.customer("ann", 1000).await;
    subscribe(&world, &ann, &receiver.url()).await;
    let api = world.api(&ann.key);
    api.post("/api/users/notices/email", json!({ "language": "en" })).await.data();
    go_low(&world, &ann, 1).await;

    let (stream, _) = tokio::time::timeout(PATIENCE, relay.accept()).await.expect("in time").expect("a mail");
    let mail = take_mail(stream).await.expect("a whole mail");
    for said in ["To: ann@example.com", "Subject: Your wallet's balance is low", "Wallet balance: $4.00"] {
        assert!(mail.contains(said), "{said}: {mail}");
    }
    assert!(mail.contains(&format!("Message-ID: <evt_{}_1@tollgate.example>", ann.id)), "{mail}");
    let is_off = async || {
        let settings = api.get("/api/users/notices").await.data().clone();
        (settings["webhook"]["status"] == "inactive" && settings["email"]["delivery"]["pending"] == 0)
            .then_some(settings)
    };
    let settings = eventually("the webhook is off, the mail is sent", PATIENCE, is_off).await;
    assert_eq!(settings["webhook"]["delivery"]["last_error"], "the endpoint is gone (410)");
    assert_eq!(receiver.received().len(), 1);
}

/// Plays a mail relay to one client; answers the mail.
async fn take_mail(stream: TcpStream) -> Option<String> {
    let mut stream = BufReader::new(stream);
    let (mut mail, mut is_mail, mut answer) = (String::new(), false, Some("220 relay.example"));
    loop {
        if let Some(answer) = answer {
            stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        }
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        answer = match line.trim_end() {
            "." if is_mail => {
                stream.write_all(b"250 taken\r\n").await.ok()?;
                return Some(mail);
            }
            text if is_mail => {
                mail += text;
                mail.push('\n');
                None
            }
            "DATA" => {
                is_mail = true;
                Some("354 go ahead")
            }
            "QUIT" => Some("221 bye"),
            _ => Some("250 fine"),
        };
    }
}
