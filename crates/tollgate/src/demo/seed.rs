//! What a demo has to begin with, made through the API as an operator and a customer would. Made
//! again, it changes nothing.

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::admin::{Call, Client};
use crate::platform::Platform;

/// The conflict that means: it is there already.
const EXISTS: i64 = 40900;

/// The file in the data directory with the customer's API key.
const KEY_FILE: &str = "demo-api-key";

/// The customer's user name.
const NAME: &str = "demo";

/// The customer's money to begin with, in cents.
const MONEY: i64 = 10_000;

/// The sub-accounts: user name and password.
const LOGINS: [(&str, &str); 2] = [("alice", "alice-secret"), ("bob", "bob-secret")];

/// The user name that the tour makes.
const NEWCOMER: &str = "carol";

/// Packages on sale: type, GB, cents per GB, days, GB on top, whether it is hot.
const OFFERS: [(&str, i64, i64, i64, i64, bool); 6] = [
    ("residential", 1, 250, 30, 0, false),
    ("residential", 10, 200, 30, 1, true),
    ("residential", 100, 150, 90, 10, false),
    ("datacenter", 10, 60, 30, 0, true),
    ("datacenter", 100, 40, 90, 5, false),
    ("mobile", 5, 350, 30, 0, true),
];

/// Ways out: type, country, state, city, how many. Each leaves from a loopback address of its own.
const PLACES: [(&str, &str, &str, &str, u8); 11] = [
    ("residential", "us", "newyork", "newyork", 3),
    ("residential", "us", "california", "losangeles", 2),
    ("residential", "gb", "england", "london", 3),
    ("residential", "de", "berlin", "berlin", 3),
    ("residential", "jp", "tokyo", "tokyo", 3),
    ("datacenter", "us", "virginia", "ashburn", 2),
    ("datacenter", "de", "hessen", "frankfurt", 2),
    ("datacenter", "sg", "", "singapore", 2),
    ("mobile", "us", "texas", "dallas", 2),
    ("mobile", "gb", "england", "manchester", 2),
    ("mobile", "jp", "osaka", "osaka", 2),
];

/// Static proxies' price list: type, how many, per cent off, cents for one address for thirty days.
const PRICES: [(&str, i64, i64, i64); 5] =
    [("res", 1, 0, 300), ("res", 3, 0, 300), ("res", 10, 10, 300), ("dc", 1, 0, 120), ("ipv6", 1, 0, 20)];

/// Static addresses in stock: type, country, their third byte, how many. Those for IPv6 leave from
/// loopback's one address of that family.
const STOCK: [(&str, &str, u8, u8); 7] = [
    ("res", "us", 100, 12),
    ("res", "gb", 101, 6),
    ("res", "hk", 102, 6),
    ("dc", "us", 110, 12),
    ("dc", "de", 111, 6),
    ("dc", "jp", 112, 6),
    ("ipv6", "us", 120, 12),
];

/// The port of static addresses, where it is free.
const STATIC_PORT: u16 = 7100;

/// The usual port of the API.
const API_PORT: u16 = 8080;

/// The customer of a demo.
#[derive(Debug)]
pub(super) struct Customer {
    /// Its API key.
    pub(super) key: SecretString,
    /// The first sub-account's id.
    pub(super) sub_account: i64,
    /// The first sub-account's user name and password.
    pub(super) login: (&'static str, &'static str),
    /// A user name for a sub-account that the tour makes: one that is still free.
    pub(super) newcomer: String,
    /// The package that the tour buys.
    pub(super) offer: i64,
    /// The static price that the tour orders by.
    pub(super) static_price: i64,
}

/// Makes what is not there yet.
pub(super) async fn seed(platform: &Platform) -> anyhow::Result<Customer> {
    let api = platform.addresses().api.first().context("the demo needs the role api")?.to_string();
    let operator = Client::new(&api, platform.admin_token().token.clone())?;
    let key = customer(platform, &operator, &api).await?;
    offers(&operator).await?;
    exits(&operator).await?;
    static_stock(&operator, platform).await?;
    let static_price = static_price(&operator).await?;
    let client = Client::new(&api, key.clone())?;
    let sub_account = logins(&client).await?;
    let newcomer = free_name(&client).await?;
    let offer = offer_to_buy(&client).await?;
    let [login, _] = LOGINS;
    Ok(Customer { key, sub_account, login, newcomer, offer, static_price })
}

async fn customer(platform: &Platform, operator: &Client, api: &str) -> anyhow::Result<SecretString> {
    let new = json!({ "username": NAME, "email": "demo@example.com", "res_price": 300, "dc_price": 80, "mobile_price": 400 });
    let made = operator.call(&Call::post("/api/admin/accounts", new)).await?;
    let id = if made.code() == EXISTS { find_account(operator).await? } else { int(made.data()?, "id")? };
    let recharge = json!({ "amount": MONEY, "reference": "demo-first-money" });
    operator.call(&Call::post(format!("/api/admin/accounts/{id}/recharge"), recharge)).await?.data()?;
    if let (true, Ok(data)) = (made.code() != EXISTS, made.data()) {
        return keep_key(platform, data);
    }
    if let Some(key) = platform.data().secret(KEY_FILE)? {
        let known = Client::new(api, key.clone())?.call(&Call::get("/api/users/me/info")).await?;
        if known.is_success() {
            return Ok(key);
        }
    }
    let rotated =
        operator.call(&Call::post(format!("/api/admin/accounts/{id}/rotate-key"), json!({}))).await?;
    keep_key(platform, rotated.data()?)
}

fn keep_key(platform: &Platform, data: &Value) -> anyhow::Result<SecretString> {
    let key: SecretString =
        data.get("api_key").and_then(Value::as_str).context("no api_key was given")?.into();
    platform.data().keep_secret(KEY_FILE, &key)?;
    Ok(key)
}

async fn find_account(operator: &Client) -> anyhow::Result<i64> {
    let found =
        operator.call(&Call::get(format!("/api/admin/accounts?username={NAME}&page_size=1000"))).await?;
    find(found.data()?, "username", NAME)
}

async fn offers(operator: &Client) -> anyhow::Result<()> {
    let there = operator.call(&Call::get("/api/admin/traffic-packages?page_size=1")).await?;
    if int(there.data()?, "total")? > 0 {
        return Ok(());
    }
    for (proxy_type, gb, price, days, extra, hot) in OFFERS {
        let new = json!({ "proxy_type": proxy_type, "traffic_gb": gb, "price": price, "duration": days,
                          "plan_type": "personal", "is_hot": hot, "extra_add_traffic": extra,
                          "plan_desc": format!("{gb} GB of {proxy_type} traffic for {days} days") });
        operator.call(&Call::post("/api/admin/traffic-packages", new)).await?.data()?;
    }
    Ok(())
}

async fn exits(operator: &Client) -> anyhow::Result<()> {
    for (place, (proxy_type, country, state, city, count)) in (10_u8..).zip(PLACES) {
        for number in 1..=count {
            let new = json!({ "name": format!("{proxy_type}-{city}-{number}"), "proxy_type": proxy_type,
                              "kind": "direct", "bind_ip": format!("127.0.{place}.{number}"), "country": country,
                              "state": state, "city": city, "asn": 64_500 + i64::from(place) });
            allowing_what_exists(operator, &Call::post("/api/admin/exits", new)).await?;
        }
    }
    Ok(())
}

async fn static_stock(operator: &Client, platform: &Platform) -> anyhow::Result<()> {
    let there = operator.call(&Call::get("/api/admin/static/stock?page_size=1")).await?;
    if int(there.data()?, "total")? > 0 {
        return Ok(());
    }
    let port = static_port(platform)?;
    for (proxy_type, country, block, count) in STOCK {
        let item = |number: u8| {
            let mut item = json!({ "listen_ip": format!("127.0.{block}.{number}"), "listen_port": port });
            if let (Value::Object(fields), true) = (&mut item, proxy_type == "ipv6") {
                fields.insert("exit_ip".to_owned(), json!("::1"));
            }
            item
        };
        let items: Vec<Value> = (1..=count).map(item).collect();
        let new = json!({ "proxy_type": proxy_type, "country": country, "items": items });
        operator.call(&Call::post("/api/admin/static/stock", new)).await?.data()?;
    }
    Ok(())
}

/// A port that is free on every address. Nobody listens there before the first order, so that another
/// demo would find the usual one free as well: it belongs to the one that has the usual port of the
/// API.
fn static_port(platform: &Platform) -> anyhow::Result<u16> {
    let is_first = platform.addresses().api.iter().any(|address| address.port() == API_PORT);
    let usual = if is_first { STATIC_PORT } else { 0 };
    let bind = |port| std::net::TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port));
    let bound = bind(usual).or_else(|_| bind(0)).and_then(|listener| listener.local_addr());
    Ok(bound.context("no port is free for static addresses")?.port())
}

/// Makes the price list; gives the item for three residential addresses.
async fn static_price(operator: &Client) -> anyhow::Result<i64> {
    let list = Call::get("/api/admin/static/prices?page_size=1000");
    let there = operator.call(&list).await?;
    if int(there.data()?, "total")? == 0 {
        for (proxy_type, count, discount, price) in PRICES {
            let new = json!({ "proxy_type": proxy_type, "count": count, "discount": discount, "period": 30,
                              "price": price });
            operator.call(&Call::post("/api/admin/static/prices", new)).await?.data()?;
        }
    }
    let found = operator.call(&list).await?;
    let records = found.data()?.get("records").and_then(Value::as_array).context("no price list")?;
    let of_three = |record: &&Value| {
        record.get("proxy_type").and_then(Value::as_str) == Some("res")
            && record.get("count").and_then(Value::as_i64) == Some(3)
    };
    int(records.iter().find(of_three).context("no price for three residential addresses")?, "id")
}

/// Makes the sub-accounts; gives the id of the first.
async fn logins(client: &Client) -> anyhow::Result<i64> {
    for (username, password) in LOGINS {
        let new = json!({ "username": username, "password": password, "remark": "made by tollgate demo" });
        allowing_what_exists(client, &Call::post("/api/users/subuser/create", new)).await?;
    }
    let [(first, _), _] = LOGINS;
    let found =
        client.call(&Call::get(format!("/api/users/subuser/list?user_name={first}&page_size=1000"))).await?;
    find(found.data()?, "username", first)
}

/// `carol`, or with a number behind where earlier demos on the same data have made her.
async fn free_name(client: &Client) -> anyhow::Result<String> {
    let found =
        client.call(&Call::get(format!("/api/users/subuser/list?user_name={NEWCOMER}&page_size=1"))).await?;
    Ok(match int(found.data()?, "total")? {
        0 => NEWCOMER.to_owned(),
        made => format!("{NEWCOMER}{}", made + 1),
    })
}

/// The cheapest residential package.
async fn offer_to_buy(client: &Client) -> anyhow::Result<i64> {
    let found = client.call(&Call::get("/api/users/traffic/packages?proxy_type=residential")).await?;
    let offers =
        found.data()?.get("residential").and_then(Value::as_array).context("no residential packages")?;
    let cheapest =
        offers.iter().min_by_key(|offer| offer.get("amount").and_then(Value::as_i64).unwrap_or(i64::MAX));
    int(cheapest.context("no residential package is on sale")?, "id")
}

async fn allowing_what_exists(client: &Client, call: &Call) -> anyhow::Result<()> {
    let answer = client.call(call).await?;
    if answer.code() != EXISTS {
        answer.data()?;
    }
    Ok(())
}

/// The id of the record, in the list that an answer holds, with a field of that text.
fn find(data: &Value, field: &str, text: &str) -> anyhow::Result<i64> {
    let lists = data.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(Value::as_array);
    let found = lists.flatten().find(|record| record.get(field).and_then(Value::as_str) == Some(text));
    match found {
        Some(record) => int(record, "id"),
        None => bail!("nothing has the {field} {text}"),
    }
}

fn int(record: &Value, field: &str) -> anyhow::Result<i64> {
    record.get(field).and_then(Value::as_i64).with_context(|| format!("the answer holds no {field}"))
}

impl Customer {
    /// The key, to be printed.
    pub(super) fn exposed_key(&self) -> &str {
        self.key.expose_secret()
    }
}
