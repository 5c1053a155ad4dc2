//! Those who besiege a gateway, in a process of their own, so that what they do takes no time from
//! the clients that are measured meanwhile, and no descriptors. The program starts itself for it,
//! as it does for the bare relay; what came of it is one line of JSON on standard output.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, sleep_until, timeout};

use crate::client::{Door, Login, Way, connect_from};

/// What is said once all slow clients are there.
pub(crate) const READY: &str = "all are there";

/// From how many addresses guesses come: so that each spends more than its budget of them, and the
/// gateway both looks at passwords and refuses to.
const ADDRESSES: u64 = 400;

/// The time in which slow clients come for the first time.
const ARRIVAL: Duration = Duration::from_secs(2);

/// How often a slow client sends a byte, and how soon it comes again at the earliest.
const SLOWNESS: Duration = Duration::from_secs(1);

/// A slow client that is still let be after this long will be for ever.
const FOR_EVER: Duration = Duration::from_secs(40);

/// How long a guess waits for its answer; a gateway may take its time with it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Guesses under way at once. More wait for their turn, so that the pace falls behind a gateway
/// that answers slowly, and the descriptors last.
const UNDER_WAY: usize = 4_000;

/// How often guesses set out.
const BEAT: Duration = Duration::from_millis(10);

/// The most guesses that set out at once.
const MOST_PER_BEAT: u64 = 50;

/// What is to be done to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Siege {
    /// Clients that begin a request and never finish it, and come again when they are thrown out.
    Slow {
        /// Whom.
        gateway: SocketAddr,
        /// How many at the same time.
        clients: u64,
        /// For how long once all are there.
        seconds: u64,
    },
    /// Guesses of a customer's password, and of names that nobody has.
    Logins {
        /// Whom.
        gateway: SocketAddr,
        /// Where the tunnels would lead.
        origin: SocketAddr,
        /// The customer's name.
        user: String,
        /// How many in all.
        guesses: u64,
        /// At which pace.
        per_second: u64,
    },
}

impl Siege {
    /// Reads what [`Self::words`] gives.
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["slow", gateway, clients, seconds] => Ok(Self::Slow {
                gateway: gateway.parse()?,
                clients: clients.parse()?,
                seconds: seconds.parse()?,
            }),
            ["logins", gateway, origin, user, guesses, per_second] => Ok(Self::Logins {
                gateway: gateway.parse()?,
                origin: origin.parse()?,
                user: (*user).to_owned(),
                guesses: guesses.parse()?,
                per_second: per_second.parse()?,
            }),
            _ => bail!("besiege takes slow or logins with what belongs to it, not {words:?}"),
        }
    }

    /// As words of a command line.
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::Slow { gateway, clients, seconds } => {
                vec!["slow".to_owned(), gateway.to_string(), clients.to_string(), seconds.to_string()]
            }
            Self::Logins { gateway, origin, user, guesses, per_second } => vec![
                "logins".to_owned(),
                gateway.to_string(),
                origin.to_string(),
                user.clone(),
                guesses.to_string(),
                per_second.to_string(),
            ],
        }
    }

    /// Does it, and says what came of it.
    pub(crate) async fn lay(self) -> Result<()> {
        let outcome = match self {
            Self::Slow { gateway, clients, seconds } => {
                besiege_slowly(gateway, clients, Duration::from_secs(seconds)).await?
            }
            Self::Logins { gateway, origin, user, guesses, per_second } => {
                let guess = Guess { gateway, origin, user };
                guess_on(guess, guesses, per_second).await?
            }
        };
        println!("{outcome}");
        Ok(())
    }
}

/// The address of a besieger of a number: on loopback, and nobody else's here.
pub(crate) fn address(number: u64) -> Ipv4Addr {
    let [.., third, fourth] = number.to_be_bytes();
    // No address ends in 0.
    Ipv4Addr::new(127, 32 + third % 32, fourth, 1)
}

/// Slow clients, and how many of them are connected just now.
#[derive(Debug, Clone)]
struct Crowd {
    gateway: SocketAddr,
    there: Arc<AtomicU64>,
}

async fn besiege_slowly(gateway: SocketAddr, clients: u64, during: Duration) -> Result<serde_json::Value> {
    let crowd = Crowd { gateway, there: Arc::default() };
    let start = Instant::now();
    let end = start + ARRIVAL * 2 + during;
    let mut members = JoinSet::new();
    for number in 0..clients {
        let first = start + ARRIVAL.mul_f64(number as f64 / clients as f64);
        members.spawn(crowd.clone().keep_coming(number, first, end));
    }
    let fewest = crowd.watch(clients, start + ARRIVAL * 2, end).await;
    let (mut times, mut longest) = (0u64, Duration::ZERO);
    while let Some(member) = members.join_next().await {
        for stay in member?? {
            times += 1;
            longest = longest.max(stay);
        }
    }
    Ok(json!({ "fewest": fewest, "times": times, "longest_ms": longest.as_millis() as u64 }))
}

impl Crowd {
    /// Says when all are there, or that it is time even so, and gives how few there were at any
    /// time from then on.
    async fn watch(&self, clients: u64, ready_by: Instant, end: Instant) -> u64 {
        while self.there.load(Ordering::Relaxed) < clients && Instant::now() < ready_by {
            sleep(BEAT).await;
        }
        println!("{READY}");
        let mut fewest = self.there.load(Ordering::Relaxed);
        while Instant::now() < end {
            sleep(BEAT).await;
            fewest = fewest.min(self.there.load(Ordering::Relaxed));
        }
        fewest
    }

    /// One client, who comes again each time that it is thrown out; gives how long it was let be
    /// each time.
    async fn keep_coming(self, number: u64, first: Instant, end: Instant) -> Result<Vec<Duration>> {
        sleep_until(first.into()).await;
        let mut stays = Vec::new();
        while Instant::now() < end {
            let stream = connect_from(address(number % ADDRESSES), self.gateway).await;
            let stream = stream.context("a slow client connects")?;
            let start = Instant::now();
            self.there.fetch_add(1, Ordering::Relaxed);
            let ended = timeout(FOR_EVER, dawdle(stream, number)).await;
            self.there.fetch_sub(1, Ordering::Relaxed);
            ended.with_context(|| format!("a slow client was let be for {FOR_EVER:?}"))?;
            stays.push(start.elapsed());
            sleep_until((start + SLOWNESS).into()).await;
        }
        Ok(stays)
    }
}

/// Sends a request byte by byte, or nothing at all, until it is thrown out.
async fn dawdle(mut stream: TcpStream, number: u64) {
    let request = slow_request(number);
    let (mut reads, mut writes) = stream.split();
    let write = async {
        for byte in request {
            sleep(SLOWNESS).await;
            if writes.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let read = async {
        // A last answer may come before the end; the greeting of SOCKS5 is answered, too.
        let mut rest = [0; 512];
        while matches!(reads.read(&mut rest).await, Ok(1..)) {}
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}

/// A third of them are silent, a third send a head that has no end, and a third log in to SOCKS5.
fn slow_request(number: u64) -> Vec<u8> {
    match number % 3 {
        0 => Vec::new(),
        1 => [&b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nX-Slow: "[..], &[b'.'; 64]].concat(),
        _ => [&[5, 1, 2, 1, 200][..], &[b'.'; 200]].concat(),
    }
}

/// What is guessed at.
#[derive(Debug, Clone)]
struct Guess {
    gateway: SocketAddr,
    origin: SocketAddr,
    user: String,
}

async fn guess_on(guess: Guess, guesses: u64, per_second: u64) -> Result<serde_json::Value> {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    let (mut guessing, mut answers) = (JoinSet::new(), BTreeMap::<String, u64>::new());
    let (start, mut clock, mut number) = (Instant::now(), interval(BEAT), 0);
    while number < guesses {
        clock.tick().await;
        // What is late is made up for little by little: it is a pace, not a flood.
        let due = start.elapsed().as_millis() * u128::from(per_second) / 1000;
        let due = u64::try_from(due)?.min(number + MOST_PER_BEAT).min(guesses);
        while number < due {
            let turn = under_way.clone().acquire_owned().await?;
            let guess = guess.clone();
            guessing.spawn(async move {
                let answer = guess.once(number).await;
                drop(turn);
                answer
            });
            number += 1;
        }
        while let Some(answer) = guessing.try_join_next() {
            *answers.entry(answer?).or_default() += 1;
        }
    }
    while let Some(answer) = guessing.join_next().await {
        *answers.entry(answer?).or_default() += 1;
    }
    Ok(json!({ "answers": answers }))
}

impl Guess {
    /// One guess on a connection of its own; gives what was answered, in one of few words.
    async fn once(self, number: u64) -> String {
        match timeout(ANSWER_PATIENCE, self.attempt(number)).await {
            Ok(answer) => answer,
            Err(_) => UNANSWERED.to_owned(),
        }
    }

    async fn attempt(self, number: u64) -> String {
        let stream = match connect_from(address(number % ADDRESSES), self.gateway).await {
            Ok(stream) => stream,
            Err(error) => return format!("{NOT_CONNECTED} {error}"),
        };
        let way = if (number / ADDRESSES).is_multiple_of(2) { Way::Connect } else { Way::Socks5 };
        // Every other guess is at the customer's own password: that must not lock the customer out.
        let user = if number.is_multiple_of(2) { self.user } else { format!("nobody{number}") };
        let login = Some(Login { user, password: format!("guess{number}") });
        let door = Door { address: self.gateway, way, login };
        match door.enter(stream, self.origin).await {
            Ok(_) => LET_IN.to_owned(),
            Err(error) => format!("{error:#}"),
        }
    }
}

/// What a guess is told that was right, which must never be.
const LET_IN: &str = "let in";

/// A guess that was not answered in time.
const UNANSWERED: &str = "not answered";

/// A guess that did not reach the gateway.
pub(crate) const NOT_CONNECTED: &str = "not connected:";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ADDRESSES, Siege, address};

    #[test]
    fn words_are_read_as_they_were_written() {
        let gateway = "127.0.0.1:7000".parse().expect("an address");
        let origin = "127.0.0.1:80".parse().expect("an address");
        for siege in [
            Siege::Slow { gateway, clients: 2000, seconds: 20 },
            Siege::Logins { gateway, origin, user: "bench".to_owned(), guesses: 10, per_second: 5 },
        ] {
            assert_eq!(Siege::parse(&siege.words()).expect("a siege"), siege);
        }
        assert!(Siege::parse(&["slow".to_owned()]).is_err());
    }

    #[test]
    fn besiegers_have_addresses_of_their_own_on_loopback() {
        let addresses: BTreeSet<_> = (0..ADDRESSES).map(address).collect();
        assert_eq!(addresses.len() as u64, ADDRESSES);
        assert!(addresses.iter().all(|address| address.is_loopback() && address.octets()[1] != 0));
    }
}
