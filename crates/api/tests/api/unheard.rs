//! Calls that spend money, over real sockets: who sends one again because the answer was lost is answered
//! again, and who buys twice has two.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tollgate_api::{ServeLimits, serve};

use crate::common::{ADMIN, Api, request};

/// Long enough for whatever is to happen; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A shop that sells 10 GB for 3000 cents to Ann, who has 30,000.
struct Shop {
    api: Api,
    address: SocketAddr,
    ann: i64,
    key: String,
    offer: i64,
}

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    head: String,
    body: Value,
}

impl Answer {
    fn is_replayed(&self) -> bool {
        self.head.to_ascii_lowercase().contains("\r\nidempotency-replayed: true\r\n")
    }

    fn id(&self) -> i64 {
        self.body["data"]["id"].as_i64().unwrap_or_else(|| panic!("nothing was bought: {self:?}"))
    }
}

impl Shop {
    async fn open() -> Self {
        let api = Api::new().await;
        let (ann, key) = api.account("ann", 30_000).await;
        let offer = api.offer().await;
        let address = served(&api).await;
        Self { api, address, ann, key, offer }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own client, to its own server")]
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn purchase(&self) -> String {
        let path = "/api/users/traffic/packages/purchase";
        self.get(&format!("{path}?traffic_package_id={}&payment_type=wallet_only", self.offer))
    }

    fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\r\n", self.key)
    }

    fn post(&self, key: &str, path: &str, body: &Value) -> String {
        let body = body.to_string();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Sends a request on a connection of its own and reads the answer.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        answer(&mut client).await
    }

    /// Sends a request, and ends without having read what its system has of the answer.
    async fn ask_and_die(&self, request: &str) {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        timeout(PATIENCE, client.peek(&mut [0])).await.expect("an answer").unwrap();
    }

    async fn spent(&self) -> i64 {
        30_000 - self.api.balance(&self.key).await
    }
}

/// Serves an API until the test ends.
async fn served(api: &Api) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, api.router(), ServeLimits::default(), std::future::pending()));
    address
}

async fn answer(client: &mut TcpStream) -> Answer {
    let whole = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        client.read_exact(&mut body).await.unwrap();
        Answer { head, body: serde_json::from_slice(&body).unwrap() }
    };
    timeout(PATIENCE, whole).await.expect("an answer")
}

#[tokio::test]
async fn a_purchase_whose_answer_nobody_read_is_answered_again() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        shop.ask_and_die(&shop.purchase()).await;
    }
    let heard = shop.ask(&shop.purchase()).await;
    assert!(heard.is_replayed(), "{heard:?}");
    assert_eq!(shop.spent().await, 3000);
    // It was heard at last, so that this is another one.
    let next = shop.ask(&shop.purchase()).await;
    assert!(!next.is_replayed() && next.id() != heard.id(), "{next:?} after {heard:?}");
    assert_eq!(shop.spent().await, 6000);
}

#[tokio::test]
async fn a_connection_that_is_used_again_has_heard_what_came_before() {
    let shop = Shop::open().await;
    let mut client = shop.connect().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        client.write_all(shop.purchase().as_bytes()).await.unwrap();
        let answer = answer(&mut client).await;
        assert!(!answer.is_replayed(), "{answer:?}");
        ids.push(answer.id());
    }
    ids.dedup();
    assert_eq!((ids.len(), shop.spent().await), (4, 12_000));
}

#[tokio::test]
async fn what_the_system_of_a_client_has_acknowledged_is_heard_while_the_client_lives() {
    let shop = Shop::open().await;
    let mut silent = shop.connect().await;
    silent.write_all(shop.purchase().as_bytes()).await.unwrap();
    silent.peek(&mut [0]).await.unwrap();
    let second = shop.ask(&shop.purchase()).await;
    assert!(!second.is_replayed() && second.id() != answer(&mut silent).await.id());
    assert_eq!(shop.spent().await, 6000);
}

#[tokio::test]
async fn two_purchases_at_the_same_time_are_two() {
    let shop = Shop::open().await;
    let mut clients = [shop.connect().await, shop.connect().await, shop.connect().await];
    for client in &mut clients {
        client.write_all(shop.purchase().as_bytes()).await.unwrap();
    }
    let mut ids = Vec::new();
    for mut client in clients {
        let answer = answer(&mut client).await;
        assert!(!answer.is_replayed(), "{answer:?}");
        ids.push(answer.id());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), shop.spent().await), (3, 9000));
}

#[tokio::test]
async fn who_goes_before_the_answer_buys_once_with_the_repetition() {
    let shop = Shop::open().await;
    let mut client = shop.connect().await;
    client.write_all(shop.purchase().as_bytes()).await.unwrap();
    drop(client);
    shop.ask(&shop.purchase()).await.id();
    assert_eq!(shop.spent().await, 3000);
}

#[tokio::test]
async fn another_process_answers_again_what_one_has_answered_to_nobody() {
    let mut shop = Shop::open().await;
    shop.ask_and_die(&shop.purchase()).await;
    shop.address = served(&shop.api).await;
    assert!(shop.ask(&shop.purchase()).await.is_replayed());
    assert_eq!(shop.spent().await, 3000);
}

#[tokio::test]
async fn orders_renewals_and_corrections_are_answered_again_too() {
    let shop = Shop::open().await;
    shop.api.stock("dc", "us", 1..=9).await;
    let price = shop.api.price("dc", 1, 500).await;
    let order = json!({ "proxy_type": "dc", "country": "us", "protocol": "http", "price_package_id": price,
                        "payment_type": "wallet_only" });
    let order = shop.post(&shop.key, "/api/users/static/order/create", &order);
    shop.ask_and_die(&order).await;
    let ordered = shop.ask(&order).await;
    assert!(ordered.is_replayed() && ordered.body["data"]["order_status"] == "completed", "{ordered:?}");
    let proxies = shop.api.proxies(&shop.key, "dc").await;
    assert_eq!((proxies.len(), shop.spent().await), (1, 500));

    let id = proxies[0]["id"].as_i64().unwrap();
    let renewal = json!({ "proxy_type": "dc", "proxy_ids": id.to_string(), "payment_type": "wallet_only" });
    let renewal = shop.post(&shop.key, "/api/users/static/order/rebuy", &renewal);
    shop.ask_and_die(&renewal).await;
    let renewed = shop.ask(&renewal).await;
    assert!(renewed.is_replayed() && renewed.body["data"]["proxies"][0]["id"] == id, "{renewed:?}");
    assert_eq!(shop.spent().await, 1000);

    let correction = json!({ "amount": 700, "reason": "goodwill" });
    let correction = shop.post(ADMIN, &format!("/api/admin/accounts/{}/adjust", shop.ann), &correction);
    shop.ask_and_die(&correction).await;
    let corrected = shop.ask(&correction).await;
    assert!(corrected.is_replayed() && corrected.body["data"]["balance"] == 29_700, "{corrected:?}");
    assert_eq!(shop.spent().await, 300);
}

#[tokio::test]
async fn a_key_says_when_its_answer_is_given_again() {
    let shop = Shop::open().await;
    let path = "/api/users/traffic/packages/purchase";
    let buy = json!({ "traffic_package_id": shop.offer, "payment_type": "wallet_only" });
    let first = shop.api.post_once(&shop.key, path, "k", buy.clone()).await;
    let again = shop.api.post_once(&shop.key, path, "k", buy).await;
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    // The operator's keys are not the customer's.
    let adjust = format!("/api/admin/accounts/{}/adjust", shop.ann);
    for replayed in ["", "true"] {
        let correction = request(Method::POST, &adjust).header("authorization", format!("Bearer {ADMIN}"));
        let correction = correction.header("content-type", "application/json").header("idempotency-key", "k");
        let body = json!({ "amount": 100, "reason": "goodwill" }).to_string();
        let made = shop.api.send(correction.body(Body::from(body)).unwrap()).await;
        assert_eq!(
            (made.data()["balance"].as_i64(), made.header("idempotency-replayed")),
            (Some(27_100), replayed)
        );
    }
}
