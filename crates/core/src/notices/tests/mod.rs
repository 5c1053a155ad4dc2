//! Notices with a courier in the test's hand, on the real store.

mod channels;
mod crashes;
mod delivering;
mod races;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tollgate_store::{self as store, Db};
use tollgate_testkit::{FakeClock, TestDb};
use tollgate_types::{AccountId, Cents, Clock, Time, Zone};

use super::ChannelChange;
use crate::courier::{Awaited, BadUrl, Courier, Letter, Prospect, Undelivered, Way};
use crate::events::{EventKind, emit};
use crate::jobs;
use crate::{Actor, Core, Error, Keys, Policy, accounts};

/// What becomes of a letter.
#[derive(Debug, Clone)]
enum Fate {
    /// It arrives.
    Arrives,
    /// It arrives, but the answer gets lost: it will come twice.
    ArrivesUnanswered,
    /// It does not arrive.
    Fails,
    /// It never will arrive.
    Refused,
    /// Its receiver wants nothing more.
    Gone,
    /// Nothing happens until whoever waits for it goes away.
    Hangs,
    /// Nothing happens until the gate is opened, and then that.
    Waits(Arc<Notify>, Box<Fate>),
}

/// A courier that does what it is told, letter by letter; without a word, letters arrive.
#[derive(Debug, Default)]
struct FakeCourier {
    fates: Mutex<VecDeque<Fate>>,
    /// Every letter that was taken, as it was.
    taken: Mutex<Vec<Letter>>,
    has_taken: Notify,
    has_no_mail: bool,
}

impl FakeCourier {
    fn then(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().extend(fates);
    }

    fn taken(&self) -> Vec<Letter> {
        self.taken.lock().unwrap().clone()
    }

    /// The numbers of the events that were taken, in order.
    fn numbers(&self) -> Vec<i64> {
        self.taken().iter().map(number).collect()
    }

    /// Returns once so many letters were taken in all.
    async fn until_taken(&self, count: usize) {
        let enough = async {
            while self.taken.lock().unwrap().len() < count {
                self.has_taken.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), enough).await.expect("so many letters");
    }

    async fn carry(&self, letter: Letter) -> Result<(), Undelivered> {
        let mut fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Arrives);
        self.taken.lock().unwrap().push(letter);
        self.has_taken.notify_one();
        // A letter is never there at once.
        tokio::task::yield_now().await;
        while let Fate::Waits(gate, then) = fate {
            gate.notified().await;
            fate = *then;
        }
        let undelivered = |why: &str, prospect| Err(Undelivered { why: why.into(), prospect });
        match fate {
            Fate::Arrives => Ok(()),
            Fate::ArrivesUnanswered => undelivered("no answer in time", Prospect::TryAgain),
            Fate::Fails => undelivered("the endpoint answered 500", Prospect::TryAgain),
            Fate::Gone => undelivered("the endpoint is gone (410)", Prospect::SwitchOff),
            Fate::Refused => undelivered("no such mailbox", Prospect::GiveUp),
            Fate::Hangs | Fate::Waits(..) => std::future::pending().await,
        }
    }
}

impl Courier for FakeCourier {
    fn deliver(&self, letter: Letter) -> Awaited<'_, Result<(), Undelivered>> {
        Box::pin(self.carry(letter))
    }

    fn check_url<'a>(&'a self, url: &'a str) -> Awaited<'a, Result<(), BadUrl>> {
        let answer = match url {
            _ if url.contains("10.0.0.1") => Err(BadUrl::Unreachable),
            _ if url.starts_with("http://") => Err(BadUrl::Plain),
            _ if url.contains("[") => Err(BadUrl::Form),
            _ => Ok(()),
        };
        Box::pin(std::future::ready(answer))
    }

    fn has_mail(&self) -> bool {
        !self.has_no_mail
    }

    fn takes_address(&self, address: &str) -> bool {
        !address.ends_with("@unsuitable")
    }
}

/// A control plane with its courier.
struct House {
    core: Core,
    clock: Arc<FakeClock>,
    courier: Arc<FakeCourier>,
}

impl House {
    async fn on(database: &TestDb) -> Self {
        let clock = Arc::new(FakeClock::new(Zone::UTC.parse("2026-03-01 12:00:00").unwrap()));
        let courier = Arc::new(FakeCourier::default());
        let core = open(database.open(), &clock, &courier).await;
        Self { core, clock, courier }
    }

    /// Another process on the same store, started now; it has the same courier.
    async fn another(&self) -> Core {
        open(self.core.db().clone(), &self.clock, &self.courier).await
    }

    async fn account(&self, username: &str) -> AccountId {
        let email = format!("{username}@example.com");
        let new =
            accounts::NewAccount { username: username.into(), email, password: None, prices: [None; 3] };
        accounts::create(&self.core, Actor::Operator, new).await.unwrap().0
    }

    /// An account with a webhook.
    async fn subscriber(&self, username: &str) -> AccountId {
        let account = self.account(username).await;
        super::set_webhook(&self.core, account, to("https://ann.example/hook")).await.unwrap();
        account
    }

    /// Something happens to an account, so many times.
    async fn happen(&self, account: AccountId, times: i64) {
        for _ in 0..times {
            happen(&self.core, account).await;
        }
    }

    /// Does whatever is due now, to the end; answers how many jobs that were.
    async fn work(&self) -> usize {
        let mut done = 0;
        while jobs::run::next_due(&self.core).await.unwrap().is_some_and(|at| at <= self.clock.now()) {
            done += jobs::run::run_due(&self.core, 8).await.unwrap();
        }
        done
    }

    /// When the next job is due, from now on.
    async fn rest(&self) -> Option<Duration> {
        jobs::run::next_due(&self.core).await.unwrap().map(|at| at.since(self.clock.now()))
    }

    async fn webhook(&self, account: AccountId) -> super::ChannelStatus {
        super::settings(&self.core, account).await.unwrap().webhook.expect("a webhook")
    }
}

async fn open(db: Db, clock: &Arc<FakeClock>, courier: &Arc<FakeCourier>) -> Core {
    let keys = Keys::new(&[7; 32]);
    let clock: Arc<dyn Clock> = clock.clone();
    let core = Core::open(db, clock, Zone::UTC, keys, Policy::default(), [1; 32]).await.unwrap();
    core.employ(courier.clone());
    core
}

async fn happen(core: &Core, account: AccountId) {
    let now = core.now();
    let emitted = core
        .db()
        .write(move |tx| emit(tx, account, EventKind::WalletLow, &json!({ "balance": 12 }), now))
        .await;
    emitted.unwrap();
}

fn to(url: &str) -> ChannelChange {
    ChannelChange { target: Some(url.to_owned()), ..ChannelChange::default() }
}

fn switched(on: bool) -> ChannelChange {
    ChannelChange { active: Some(on), ..ChannelChange::default() }
}

/// The number of the event that a letter is about.
fn number(letter: &Letter) -> i64 {
    letter.id.rsplit('_').next().unwrap().parse().unwrap()
}

/// Whose events a letter is about.
fn account_of(letter: &Letter) -> i64 {
    letter.id.split('_').nth(1).unwrap().parse().unwrap()
}

fn parts(letter: &Letter) -> (&str, &str, Vec<&str>) {
    match &letter.way {
        Way::Webhook { url, body, secrets } => {
            (url, body, secrets.iter().map(ExposeSecret::expose_secret).collect())
        }
        Way::Mail { .. } => panic!("a mail instead of a webhook"),
    }
}

/// Demands of letters that each event from 1 to `last` of every account came, and none before one
/// that precedes it had come.
fn assert_whole_and_in_order(letters: &[Letter], accounts: usize, last: i64) {
    let mut reached: BTreeMap<i64, i64> = BTreeMap::new();
    for letter in letters {
        let before = reached.entry(account_of(letter)).or_default();
        assert!(number(letter) <= *before + 1, "{} came before {}", letter.id, *before + 1);
        *before = number(letter).max(*before);
    }
    assert_eq!(reached.len(), accounts, "everybody was told");
    assert!(reached.values().all(|reached| *reached == last), "{reached:?} instead of {last}");
}
