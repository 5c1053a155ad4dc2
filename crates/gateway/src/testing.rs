//! For tests of this room only: a control plane kept in memory that enforces a budget, and checks
//! that reports move one way.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tollgate_types::{
    AccountEntry, AccountId, BootId, ByteLease, Bytes, Directory, DirectoryChange, GatewayId, LeaseDenied,
    LeaseId, LeaseRequest, PasswordKey, Payer, ProxyType, RefusalNote, Settled, StaticTraffic,
    SubAccountEntry, SubAccountId, Unavailable, UsageReport, WhitelistEntry, WhitelistId,
};

/// The control plane.
pub(crate) struct FakeControl {
    state: Mutex<State>,
    directory: watch::Sender<Arc<Directory>>,
}

struct State {
    funds: HashMap<AccountId, u64>,
    leases: BTreeMap<LeaseId, FakeLease>,
    ttl: Duration,
    largest: u64,
    latency: Duration,
    is_away: bool,
    hangs: bool,
    loses_answers: bool,
    asked: usize,
    settled: usize,
    static_reports: Vec<Vec<StaticTraffic>>,
    faults: Vec<String>,
}

/// A lease as the control plane has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeLease {
    pub(crate) payer: Payer,
    pub(crate) boot: BootId,
    pub(crate) used: u64,
    pub(crate) granted: u64,
}

impl FakeControl {
    /// A control plane without customers, that answers at once and grants whatever there is.
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            funds: HashMap::new(),
            leases: BTreeMap::new(),
            ttl: Duration::from_secs(30),
            largest: u64::MAX,
            latency: Duration::ZERO,
            is_away: false,
            hangs: false,
            loses_answers: false,
            asked: 0,
            settled: 0,
            static_reports: Vec::new(),
            faults: Vec::new(),
        };
        let directory = Arc::new(Directory::empty(Self::password_key()));
        Arc::new(Self { state: Mutex::new(state), directory: watch::Sender::new(directory) })
    }

    /// The key of its password tags.
    pub(crate) fn password_key() -> PasswordKey {
        PasswordKey::new([7; 32])
    }

    /// An account with so many bytes to use.
    pub(crate) fn account(&self, id: i64, funds: u64) -> AccountId {
        let id = AccountId::new(id);
        self.state().funds.insert(id, funds);
        self.change(DirectoryChange::Account(AccountEntry { id, active: true, funds_epoch: 0 }));
        id
    }

    /// A sub-account with the same limit for every type; zero = none.
    pub(crate) fn sub_account(
        &self,
        account: AccountId,
        id: i64,
        username: &str,
        password: &str,
        limit: u64,
    ) -> SubAccountEntry {
        let entry = SubAccountEntry {
            id: SubAccountId::new(id),
            account,
            username: username.into(),
            active: true,
            password: Self::password_key().tag(password.as_bytes()),
            limits: [Bytes::new(limit); 3],
        };
        self.change(DirectoryChange::SubAccount(entry.clone()));
        entry
    }

    /// A listed address.
    pub(crate) fn whitelist(&self, account: AccountId, id: i64, address: std::net::IpAddr) -> WhitelistId {
        let id = WhitelistId::new(id);
        self.change(DirectoryChange::Whitelist(address, WhitelistEntry { id, account }));
        id
    }

    /// Publishes a change.
    pub(crate) fn change(&self, change: DirectoryChange) {
        self.directory.send_modify(|directory| {
            let mut next = Directory::clone(directory);
            next.apply(change);
            next.version += 1;
            *directory = Arc::new(next);
        });
    }

    /// More bytes for an account.
    pub(crate) fn add_funds(&self, account: AccountId, bytes: u64) {
        *self.state().funds.entry(account).or_default() += bytes;
    }

    /// Takes all funds that are not held, and says so in the directory.
    pub(crate) fn take_funds(&self, account: AccountId) {
        let known = self.used(account);
        self.state().funds.insert(account, known);
        let epoch = self.directory.borrow().accounts.get(&account).map_or(0, |entry| entry.funds_epoch);
        self.change(DirectoryChange::Account(AccountEntry {
            id: account,
            active: true,
            funds_epoch: epoch + 1,
        }));
    }

    /// How long leases last.
    pub(crate) fn set_ttl(&self, ttl: Duration) {
        self.state().ttl = ttl;
    }

    /// The most that one lease grants.
    pub(crate) fn set_largest(&self, bytes: u64) {
        self.state().largest = bytes;
    }

    /// How long an answer takes.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// Away: answers that it cannot answer.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.state().is_away = is_away;
    }

    /// Hears what it is asked and told, and never answers.
    pub(crate) fn set_hangs(&self, hangs: bool) {
        self.state().hangs = hangs;
    }

    /// Takes reports, but the answer is lost.
    pub(crate) fn set_loses_answers(&self, loses_answers: bool) {
        self.state().loses_answers = loses_answers;
    }

    /// Bytes an account has used, as far as is known here.
    pub(crate) fn used(&self, account: AccountId) -> u64 {
        self.of(account).map(|lease| lease.used).sum()
    }

    /// Bytes that are held for an account.
    pub(crate) fn held(&self, account: AccountId) -> u64 {
        self.of(account).map(|lease| lease.granted - lease.used).sum()
    }

    /// Every lease of an account, in the order of issue.
    pub(crate) fn of(&self, account: AccountId) -> impl Iterator<Item = FakeLease> + use<> {
        let state = self.state();
        let leases: Vec<_> =
            state.leases.values().filter(|lease| lease.payer.account == account).copied().collect();
        leases.into_iter()
    }

    /// How often it was asked for a lease.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }

    /// How many reports it took.
    pub(crate) fn settled(&self) -> usize {
        self.state().settled
    }

    /// What it was told of static proxies' traffic, report by report.
    pub(crate) fn static_reports(&self) -> Vec<Vec<StaticTraffic>> {
        self.state().static_reports.clone()
    }

    /// What a gateway must never do, if it was done.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listens(&self) {
        let hangs = self.state().hangs;
        if hangs {
            std::future::pending().await
        }
    }

    fn grant(&self, ask: LeaseRequest) -> Result<ByteLease, LeaseDenied> {
        let directory = self.directory.borrow().clone();
        let mut state = self.state();
        state.asked += 1;
        if state.is_away {
            return Err(LeaseDenied::Unavailable);
        }
        let payer = ask.payer;
        if !directory.accounts.get(&payer.account).is_some_and(|account| account.active) {
            return Err(LeaseDenied::Blocked);
        }
        let limit = match payer.sub_account.map(|id| directory.sub_account(id).filter(|entry| entry.active)) {
            Some(None) => return Err(LeaseDenied::Blocked),
            Some(Some(entry)) => Some(entry.limit(payer.proxy_type).get()).filter(|limit| *limit > 0),
            None => None,
        };
        let own = |lease: &&FakeLease| lease.payer == payer;
        let account = |lease: &&FakeLease| lease.payer.account == payer.account;
        let used = state.leases.values().filter(own).map(|lease| lease.used).sum::<u64>();
        if limit.is_some_and(|limit| used >= limit) {
            return Err(LeaseDenied::TrafficLimit);
        }
        let taken = |leases: &mut dyn Iterator<Item = u64>| leases.sum::<u64>();
        let of_limit = limit.map_or(u64::MAX, |limit| {
            limit.saturating_sub(taken(&mut state.leases.values().filter(own).map(|lease| lease.granted)))
        });
        let funds = state.funds.get(&payer.account).copied().unwrap_or(0);
        let of_funds = funds
            .saturating_sub(taken(&mut state.leases.values().filter(account).map(|lease| lease.granted)));
        let is_held = state.leases.values().filter(account).any(|lease| lease.granted > lease.used);
        match of_funds.min(of_limit).min(ask.want.get()).min(state.largest) {
            0 if of_limit == 0 => Err(LeaseDenied::LimitHeldElsewhere),
            0 if is_held => Err(LeaseDenied::HeldElsewhere),
            0 => Err(LeaseDenied::BalanceEmpty),
            granted => {
                let id = LeaseId::new(i64::try_from(state.leases.len()).unwrap() + 1);
                let lease = FakeLease { payer, boot: ask.boot, used: 0, granted };
                state.leases.insert(id, lease);
                Ok(ByteLease { id, granted: Bytes::new(granted), ttl: state.ttl })
            }
        }
    }

    fn take_report(&self, report: &UsageReport) -> Result<Settled, Unavailable> {
        let mut state = self.state();
        if state.is_away {
            return Err(Unavailable("away".to_owned()));
        }
        state.settled += 1;
        for usage in &report.leases {
            let (used, granted) = (usage.used.get(), usage.granted.get());
            let known = state.leases.get(&usage.id).copied();
            if known.is_none_or(|known| used < known.used || granted > known.granted || used > granted) {
                state.faults.push(format!("{usage:?} after {known:?}"));
            }
            if let Some(lease) = state.leases.get_mut(&usage.id) {
                lease.used = lease.used.max(used.min(lease.granted));
                lease.granted = lease.granted.min(granted).max(lease.used);
            }
        }
        if report.recovered {
            for lease in state.leases.values_mut().filter(|lease| lease.boot != report.boot) {
                lease.granted = lease.used;
            }
        }
        if state.loses_answers { Err(Unavailable("the answer is lost".to_owned())) } else { Ok(Settled) }
    }
}

impl crate::Control for FakeControl {
    fn directory(&self) -> watch::Receiver<Arc<Directory>> {
        self.directory.subscribe()
    }

    async fn lease(&self, ask: LeaseRequest) -> Result<ByteLease, LeaseDenied> {
        self.listens().await;
        let answer = self.grant(ask);
        let latency = self.state().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        answer
    }

    async fn settle(&self, report: UsageReport) -> Result<Settled, Unavailable> {
        self.listens().await;
        let latency = self.state().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.take_report(&report)
    }

    async fn static_traffic(
        &self,
        _: GatewayId,
        _: BootId,
        counters: Vec<StaticTraffic>,
    ) -> Result<Settled, Unavailable> {
        let mut state = self.state();
        if state.is_away {
            return Err(Unavailable("away".to_owned()));
        }
        state.static_reports.push(counters);
        if state.loses_answers { Err(Unavailable("the answer is lost".to_owned())) } else { Ok(Settled) }
    }

    async fn refused(&self, _: Vec<RefusalNote>) {}
}

/// The payer of an account's own traffic, of one type.
pub(crate) fn payer(account: AccountId) -> Payer {
    Payer { account, sub_account: None, proxy_type: ProxyType::Residential }
}

/// The payer of a sub-account's traffic, of one type.
pub(crate) fn payer_of(entry: &SubAccountEntry) -> Payer {
    Payer { account: entry.account, sub_account: Some(entry.id), proxy_type: ProxyType::Residential }
}
