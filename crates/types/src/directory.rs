//! The directory: an immutable, versioned picture of who may enter and where they may leave.
//!
//! A new picture shares almost everything with the one before, so that publishing one change among
//! a hundred thousand sub-accounts costs microseconds.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imbl::HashMap;

use crate::{
    AccountId, Bytes, PasswordKey, PasswordTag, Pools, ProxyType, StaticEntry, StaticProxyId, SubAccountId,
    WhitelistId,
};

/// What the gateway knows of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEntry {
    /// The account.
    pub id: AccountId,
    /// False while suspended.
    pub active: bool,
    /// Grows whenever a right to funds may have been lost (a package switched off, say): purses of
    /// the account then hand back what they hold and ask anew.
    pub funds_epoch: i64,
}

/// What the gateway knows of a proxy login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAccountEntry {
    /// The sub-account.
    pub id: SubAccountId,
    /// Whose it is.
    pub account: AccountId,
    /// The proxy user name, exactly as created.
    pub username: Arc<str>,
    /// Whether it may be used.
    pub active: bool,
    /// The keyed hash of its password.
    pub password: PasswordTag,
    /// Its traffic limit per type, in bytes; zero = none. The gateway does not compute with it:
    /// it only notices that it changed.
    pub limits: [Bytes; 3],
}

/// An address that enters without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhitelistEntry {
    /// The entry.
    pub id: WhitelistId,
    /// Whose traffic it is.
    pub account: AccountId,
}

/// The picture.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Grows with every change.
    pub version: i64,
    /// The key under which [`SubAccountEntry::password`] was made.
    pub password_key: PasswordKey,
    /// Every account.
    pub accounts: HashMap<AccountId, AccountEntry>,
    /// Every sub-account, by its user name in lower case.
    pub sub_accounts: HashMap<Arc<str>, Arc<SubAccountEntry>>,
    /// The user name in lower case of every sub-account, by id.
    pub sub_account_names: HashMap<SubAccountId, Arc<str>>,
    /// Every listed address, in canonical form (an IPv4-mapped IPv6 address is the IPv4 one).
    pub whitelist: HashMap<IpAddr, WhitelistEntry>,
    /// The address of every whitelist entry, by id.
    pub whitelist_addresses: HashMap<WhitelistId, IpAddr>,
    /// Every active exit.
    pub exits: Arc<Pools>,
    /// Every static proxy that somebody holds, by the address and port that it is reached at. Those
    /// that have expired stay until their time of grace is over.
    pub statics: HashMap<SocketAddr, Arc<StaticEntry>>,
    /// Where every static proxy is reached, by id.
    pub static_addresses: HashMap<StaticProxyId, SocketAddr>,
}

/// One difference between a picture and the next: the entry as it is now, or its absence.
#[derive(Clone, Debug)]
pub enum DirectoryChange {
    /// An account was made or changed.
    Account(AccountEntry),
    /// A sub-account was made or changed.
    SubAccount(SubAccountEntry),
    /// A sub-account is gone.
    SubAccountGone(SubAccountId),
    /// An address was listed.
    Whitelist(IpAddr, WhitelistEntry),
    /// A whitelist entry is gone.
    WhitelistGone(WhitelistId),
    /// The exits changed.
    Exits(Arc<Pools>),
    /// A static proxy was leased or changed, or moved to another address.
    Static(StaticEntry),
    /// A static proxy is nobody's any more.
    StaticGone(StaticProxyId),
}

impl Directory {
    /// A picture of nobody.
    pub fn empty(password_key: PasswordKey) -> Self {
        Self {
            version: 0,
            password_key,
            accounts: HashMap::new(),
            sub_accounts: HashMap::new(),
            sub_account_names: HashMap::new(),
            whitelist: HashMap::new(),
            whitelist_addresses: HashMap::new(),
            exits: Arc::default(),
            statics: HashMap::new(),
            static_addresses: HashMap::new(),
        }
    }

    /// Brings the picture up to date by one change.
    pub fn apply(&mut self, change: DirectoryChange) {
        match change {
            DirectoryChange::Account(entry) => {
                self.accounts.insert(entry.id, entry);
            }
            DirectoryChange::SubAccount(entry) => {
                self.forget_sub_account(entry.id);
                let key: Arc<str> = match without_case(&entry.username) {
                    Cow::Borrowed(_) => entry.username.clone(),
                    Cow::Owned(key) => key.into(),
                };
                self.sub_account_names.insert(entry.id, key.clone());
                self.sub_accounts.insert(key, Arc::new(entry));
            }
            DirectoryChange::SubAccountGone(id) => self.forget_sub_account(id),
            DirectoryChange::Whitelist(address, entry) => {
                self.forget_whitelist(entry.id);
                self.whitelist_addresses.insert(entry.id, address);
                self.whitelist.insert(address, entry);
            }
            DirectoryChange::WhitelistGone(id) => self.forget_whitelist(id),
            DirectoryChange::Exits(pools) => self.exits = pools,
            DirectoryChange::Static(entry) => {
                self.forget_static(entry.id);
                self.static_addresses.insert(entry.id, entry.listen);
                self.statics.insert(entry.listen, Arc::new(entry));
            }
            DirectoryChange::StaticGone(id) => self.forget_static(id),
        }
    }

    /// The sub-account of that id, where there is one.
    pub fn sub_account(&self, id: SubAccountId) -> Option<&Arc<SubAccountEntry>> {
        self.sub_accounts.get(self.sub_account_names.get(&id)?)
    }

    /// Returns the sub-account with this user name, in upper or lower case.
    pub fn sub_account_named(&self, name: &str) -> Option<&Arc<SubAccountEntry>> {
        self.sub_accounts.get(&*without_case(name))
    }

    /// The listed entry that admits this peer, whichever way its address is spelled.
    pub fn whitelisted(&self, peer: IpAddr) -> Option<&WhitelistEntry> {
        self.whitelist.get(&peer.to_canonical())
    }

    /// The static proxy of that id, where there is one.
    pub fn static_proxy(&self, id: StaticProxyId) -> Option<&Arc<StaticEntry>> {
        self.statics.get(self.static_addresses.get(&id)?)
    }

    /// The static proxy that is reached at a local address of this machine, whichever way that is
    /// spelled.
    pub fn static_at(&self, local: SocketAddr) -> Option<&Arc<StaticEntry>> {
        self.statics.get(&SocketAddr::new(local.ip().to_canonical(), local.port()))
    }

    fn forget_static(&mut self, id: StaticProxyId) {
        if let Some(address) = self.static_addresses.remove(&id) {
            // The address may have been leased to somebody else in the same breath.
            if self.statics.get(&address).is_some_and(|entry| entry.id == id) {
                self.statics.remove(&address);
            }
        }
    }

    fn forget_sub_account(&mut self, id: SubAccountId) {
        if let Some(name) = self.sub_account_names.remove(&id) {
            // The name may have been given to another sub-account in the same breath.
            if self.sub_accounts.get(&name).is_some_and(|entry| entry.id == id) {
                self.sub_accounts.remove(&name);
            }
        }
    }

    fn forget_whitelist(&mut self, id: WhitelistId) {
        if let Some(address) = self.whitelist_addresses.remove(&id) {
            // The address may have been listed anew, by another entry, in the same breath.
            if self.whitelist.get(&address).is_some_and(|entry| entry.id == id) {
                self.whitelist.remove(&address);
            }
        }
    }
}

/// Returns the form of a proxy user name under which it is looked up: in lower case, because names are
/// unique without regard to case. A name that is in lower case already is not copied.
pub fn without_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

impl SubAccountEntry {
    /// The limit for one type; zero = none.
    pub const fn limit(&self, proxy_type: ProxyType) -> Bytes {
        self.limits[proxy_type.index()]
    }
}
