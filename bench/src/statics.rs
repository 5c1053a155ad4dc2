//! Static addresses: what many of them cost a platform at its start and at rest, and whether being
//! let in at one of many takes longer than at the only one, or than at an ordinary port.
//!
//! The platform is stocked by the operator's calls and the addresses are bought by the customer's,
//! as in real life.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::Sizes;
use crate::client::{ApiClient, Door, Login, Way};
use crate::measure::{Figure, PATIENCE, figure, quantiles};
use crate::origin::Origin;
use crate::table::Table;
use crate::tollgate::{Tollgate, create_sub_account, id_of, until_admitted};

/// On how many ports the addresses are.
const PORTS: usize = 4;

/// Where they begin; far from what anything else here listens on.
const FIRST: u32 = u32::from_be_bytes([127, 64, 0, 1]);

/// How many are bought at once, and how many are listed at once.
const PER_CALL: u64 = 1000;

/// How many may be imported at once.
const PER_IMPORT: usize = 10_000;

/// The sub-account that uses the ordinary port.
const SUB_ACCOUNT: &str = "ordinary";

const MIB: f64 = (1u64 << 20) as f64;

/// A row: its table, what it is about, and its figures.
pub(crate) type Found = (Table, String, Vec<Figure>);

/// Measures all of it, on one platform with many addresses and one with a single one.
pub(crate) async fn measure(program: &Path, sizes: &Sizes) -> Result<Vec<Found>> {
    let origin = Origin::start().await?;
    let mut many = Tollgate::start(program, None).await?;
    let key = many.account("owner").await?;
    create_sub_account(&mut many.api(&key), SUB_ACCOUNT).await?;
    let none = at_rest(&mut many).await?;
    let doors = lease(&many, &key, sizes.statics).await?;
    let leased = at_rest(&mut many).await?;
    let single = Tollgate::start(program, None).await?;
    let single_key = single.account("owner").await?;
    let only = lease(&single, &single_key, 1).await?;

    let ordinary = vec![many.door(Way::Connect, SUB_ACCOUNT)];
    let one_of_many: Vec<Door> = doors.get(doors.len() / 2).into_iter().cloned().collect();
    let count = sizes.statics;
    let mut found = vec![
        (Table::Statics, "no static addresses".to_owned(), none),
        (Table::Statics, format!("{count} static addresses on {PORTS} ports"), leased),
    ];
    for (subject, doors) in [
        (format!("each of {count} addresses in turn"), doors),
        (format!("one of {count} addresses"), one_of_many),
        ("the only address".to_owned(), only),
        ("an ordinary port".to_owned(), ordinary),
    ] {
        let first = doors.first().context("nothing was leased")?;
        until_admitted(first, origin.address()).await?;
        let admitted = admissions(&doors, origin.address(), sizes.admissions);
        let figures = timeout(PATIENCE, admitted).await.context("it took too long")??;
        found.push((Table::Admission, subject, figures));
    }
    Ok(found)
}

/// What starting anew takes, and what the platform holds when it has come to rest after that.
async fn at_rest(tollgate: &mut Tollgate) -> Result<Vec<Figure>> {
    let start = tollgate.restart().await?;
    let memory = tollgate.daemon().memory_at_rest().await;
    Ok(vec![figure("ready after ms", start.as_secs_f64() * 1e3), figure("MiB at rest", memory as f64 / MIB)])
}

/// Stocks so many addresses, buys them for an account, and gives the way into each.
async fn lease(tollgate: &Tollgate, key: &str, count: u64) -> Result<Vec<Door>> {
    let mut operator = tollgate.operator();
    let ports = free_ports()?;
    let items: Vec<Value> = (FIRST..)
        .zip(ports.iter().cycle())
        .take(usize::try_from(count)?)
        .map(|(ip, port)| json!({ "listen_ip": Ipv4Addr::from_bits(ip), "listen_port": port }))
        .collect();
    for items in items.chunks(PER_IMPORT) {
        let stock = json!({ "proxy_type": "dc", "country": "US", "items": items });
        operator.post("/api/admin/static/stock", &stock).await?;
    }
    let at_once = PER_CALL.min(count);
    let price = json!({ "proxy_type": "dc", "count": at_once, "discount": 0, "period": 30, "price": 1 });
    let price = id_of(&operator.post("/api/admin/static/prices", &price).await?)?;
    let mut customer = tollgate.api(key);
    let order = json!({ "proxy_type": "dc", "country": "us", "protocol": "http/socks5",
                        "price_package_id": price, "payment_type": "wallet_only" });
    for _ in 0..count.div_ceil(at_once) {
        customer.post("/api/users/static/order/create", &order).await?;
    }
    doors(&mut customer, count).await
}

/// The way into each of an account's static proxies.
async fn doors(customer: &mut ApiClient, count: u64) -> Result<Vec<Door>> {
    let mut doors = Vec::new();
    for page in 1..=count.div_ceil(PER_CALL) {
        let asked = json!({ "page": page, "page_size": PER_CALL });
        let list = customer.post("/api/users/static/dc/list", &asked).await?;
        let records = list.get("records").and_then(Value::as_array).context("no records")?;
        for record in records {
            doors.push(door(record).with_context(|| format!("not understood: {record}"))?);
        }
    }
    if doors.len() as u64 != count {
        bail!("{} addresses are listed of {count}", doors.len());
    }
    Ok(doors)
}

fn door(record: &Value) -> Option<Door> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let address: IpAddr = text("proxy_address")?.parse().ok()?;
    let login = Login { user: text("proxy_user")?.to_owned(), password: text("proxy_password")?.to_owned() };
    let address = SocketAddr::new(address, text("proxy_port")?.parse().ok()?);
    Some(Door { address, way: Way::Connect, login: Some(login) })
}

/// Ports that nobody listens on at any address, below those that the system gives away by itself.
fn free_ports() -> Result<Vec<u16>> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    let ports: Vec<u16> = (20_000..30_000).filter(free).take(PORTS).collect();
    if ports.len() < PORTS { bail!("no ports are free between 20000 and 30000") } else { Ok(ports) }
}

/// New connections, one after the other, through each door in turn.
async fn admissions(doors: &[Door], origin: SocketAddr, count: u64) -> Result<Vec<Figure>> {
    let mut latencies = Vec::new();
    for door in doors.iter().cycle().take(usize::try_from(count)?) {
        latencies.push(admission(door, origin).await?);
    }
    latencies.sort_unstable();
    Ok(quantiles(&latencies).into())
}

/// From connecting to the first byte of the answer to CONNECT, which must be a good one.
async fn admission(door: &Door, origin: SocketAddr) -> Result<Duration> {
    let auth = door.authorization();
    let request = format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n{auth}\r\n");
    let start = Instant::now();
    let mut stream = TcpStream::connect(door.address).await.context("connecting to the daemon")?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    stream.readable().await?;
    let took = start.elapsed();
    stream.read_exact(&mut answer).await.context("the answer to CONNECT")?;
    match answer.as_slice() {
        b"HTTP/1.1 200" => Ok(took),
        refused => bail!("{}: refused: {}", door.address, String::from_utf8_lossy(refused)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::door;

    #[test]
    fn a_record_of_the_list_says_the_way_in() {
        let record = json!({ "proxy_address": "127.64.0.1", "proxy_port": "20000", "proxy_user": "s1",
                             "proxy_password": "p", "id": 7 });
        let door = door(&record).expect("a door");
        assert_eq!(door.address.to_string(), "127.64.0.1:20000");
        assert_eq!(door.authorization(), "Proxy-Authorization: Basic czE6cA==\r\n");
        assert!(super::door(&json!({ "proxy_address": "127.64.0.1" })).is_none());
    }
}
