//! Who is calling on a port for metered traffic: credentials against the directory, or the peer's
//! address against the whitelist. Pure.

use std::net::IpAddr;

use tollgate_types::{
    AccountId, Directory, PasswordTag, Payer, ProxyType, Refusal, SubAccountEntry, SubAccountId,
};
use tollgate_wire::username::{self, RouteParams};

use crate::entry::caller::{Caller, Proof, Service, TurnedAway, unknown};
use crate::entry::live::Admission;

/// Identifies a caller on a port of one type, or (`None`) on the port for all. Static proxies have
/// addresses of their own.
///
/// Credentials win over the whitelist wherever both could apply. The work for an unknown name is
/// that for a wrong password, and that somebody is blocked is said only to who knows the password.
///
/// # Errors
/// [`TurnedAway`].
pub(crate) fn identify(
    directory: &Directory,
    proof: &Proof,
    peer: IpAddr,
    port_type: Option<ProxyType>,
) -> Result<Caller, TurnedAway> {
    match proof {
        Proof::Credentials { user, password } => by_credentials(directory, user, password, port_type),
        Proof::Malformed => Err(unknown("the credentials could not be read", true)),
        Proof::Address => by_address(directory, peer, port_type),
    }
}

fn by_credentials(
    directory: &Directory,
    user: &str,
    password: &[u8],
    port_type: Option<ProxyType>,
) -> Result<Caller, TurnedAway> {
    let parsed = username::parse(user);
    let name = match &parsed {
        Ok(user) => user.name.as_str(),
        Err(bad) => bad.name.as_str(),
    };
    let entry = directory.sub_account_named(name);
    // Tag and compare in any case, against a tag that no password has where there is no such name.
    let tag = directory.password_key.tag(password);
    let known = entry.map_or(PasswordTag::from_slice(&[0; 32]), |entry| Some(entry.password));
    let right = known == Some(tag);
    let entry =
        entry.filter(|_| right).ok_or_else(|| unknown("the user name or the password is wrong", true))?;
    let who = Some((entry.account, Some(entry.id)));
    let parsed = parsed.map_err(|bad| because(Refusal::BadParam, bad.to_string(), who))?;
    if !entry.active {
        return Err(because(Refusal::UserBlocked, "the sub-account is inactive".into(), who));
    }
    require_active(directory, entry)?;
    let proxy_type = agreed_type(parsed.route.proxy_type, port_type)
        .map_err(|detail| because(Refusal::BadParam, detail, who))?;
    let payer = Payer { account: entry.account, sub_account: Some(entry.id), proxy_type };
    Ok(Caller {
        admission: Admission::Credentials(entry.id, entry.password),
        username: entry.username.to_string(),
        service: Service::Metered { payer, route: parsed.route },
    })
}

fn require_active(directory: &Directory, entry: &SubAccountEntry) -> Result<(), TurnedAway> {
    match directory.accounts.get(&entry.account) {
        Some(account) if account.active => Ok(()),
        _ => Err(suspended(entry.account, Some(entry.id))),
    }
}

fn by_address(
    directory: &Directory,
    peer: IpAddr,
    port_type: Option<ProxyType>,
) -> Result<Caller, TurnedAway> {
    let entry = directory
        .whitelisted(peer)
        .ok_or_else(|| unknown("credentials are needed, for this address is not listed", false))?;
    match directory.accounts.get(&entry.account) {
        Some(account) if account.active => {}
        _ => return Err(suspended(entry.account, None)),
    }
    let proxy_type = port_type.unwrap_or(ProxyType::Residential);
    let payer = Payer { account: entry.account, sub_account: None, proxy_type };
    Ok(Caller {
        admission: Admission::Whitelist(entry.id),
        username: String::new(),
        service: Service::Metered { payer, route: RouteParams::default() },
    })
}

/// The type asked for and the port's must not contradict each other; residential where neither
/// says anything.
fn agreed_type(asked: Option<ProxyType>, port: Option<ProxyType>) -> Result<ProxyType, String> {
    match (asked, port) {
        (Some(asked), Some(port)) if asked != port => Err(format!("type: this port is for {port} traffic")),
        (Some(either), _) | (None, Some(either)) => Ok(either),
        (None, None) => Ok(ProxyType::Residential),
    }
}

fn suspended(account: AccountId, sub_account: Option<SubAccountId>) -> TurnedAway {
    because(Refusal::UserBlocked, "the account is suspended".into(), Some((account, sub_account)))
}

fn because(refusal: Refusal, detail: String, who: Option<(AccountId, Option<SubAccountId>)>) -> TurnedAway {
    TurnedAway { refusal, detail, who, failed_login: false }
}

#[cfg(test)]
mod tests {
    use tollgate_types::{AccountEntry, Bytes, DirectoryChange, PasswordKey, WhitelistEntry, WhitelistId};

    use super::*;
    use crate::entry::live::Traffic;

    fn directory() -> Directory {
        let key = PasswordKey::new([7; 32]);
        let mut directory = Directory::empty(key.clone());
        for (id, active) in [(1, true), (2, false)] {
            let entry = AccountEntry { id: AccountId::new(id), active, funds_epoch: 0 };
            directory.apply(DirectoryChange::Account(entry));
        }
        for (id, account, name, active) in
            [(10, 1, "alice", true), (11, 1, "idle", false), (12, 2, "poor", true)]
        {
            directory.apply(DirectoryChange::SubAccount(SubAccountEntry {
                id: SubAccountId::new(id),
                account: AccountId::new(account),
                username: name.into(),
                active,
                password: key.tag(b"secret"),
                limits: [Bytes::ZERO; 3],
            }));
        }
        for (id, account, ip) in [(20, 1, "192.0.2.1"), (21, 2, "192.0.2.2")] {
            let entry = WhitelistEntry { id: WhitelistId::new(id), account: AccountId::new(account) };
            directory.apply(DirectoryChange::Whitelist(ip.parse().unwrap(), entry));
        }
        directory
    }

    fn try_as(user: &str, password: &str, port: Option<ProxyType>) -> Result<Caller, Refusal> {
        let proof = Proof::Credentials { user: user.into(), password: password.into() };
        identify(&directory(), &proof, "192.0.2.1".parse().unwrap(), port).map_err(|no| no.refusal)
    }

    /// The type of traffic that a caller gets.
    fn type_for(user: &str, port: Option<ProxyType>) -> Result<ProxyType, Refusal> {
        match try_as(user, "secret", port)?.traffic() {
            Traffic::Metered(proxy_type) => Ok(proxy_type),
            Traffic::Static(..) => panic!("no static proxy is called"),
        }
    }

    #[test]
    fn credentials_name_a_sub_account() {
        let caller = try_as("alice-country-us", "secret", None).unwrap();
        assert_eq!(caller.who(), (AccountId::new(1), Some(SubAccountId::new(10))));
        assert_eq!(caller.traffic(), Traffic::Metered(ProxyType::Residential));
        let Service::Metered { route, .. } = caller.service else { panic!("it is metered") };
        assert!(route.country.is_some());
    }

    #[test]
    fn names_enter_without_regard_to_case() {
        for user in ["ALICE", "Alice-country-us"] {
            let caller = try_as(user, "secret", None).unwrap();
            assert_eq!((caller.username.as_str(), caller.who().1), ("alice", Some(SubAccountId::new(10))));
        }
        assert_eq!(try_as("IDLE", "secret", None), Err(Refusal::UserBlocked));
    }

    #[test]
    fn hp_11_wrong_credentials_never_fall_back_to_the_whitelist() {
        for (user, password) in
            [("alice", "wrong"), ("nobody", "secret"), ("", ""), ("ALICE", "SECRET"), ("alice", "")]
        {
            assert_eq!(try_as(user, password, None), Err(Refusal::AuthRequired), "{user}:{password}");
        }
        let got = identify(&directory(), &Proof::Malformed, "192.0.2.1".parse().unwrap(), None);
        assert_eq!(got.map_err(|no| (no.refusal, no.failed_login)), Err((Refusal::AuthRequired, true)));
    }

    #[test]
    fn s5_11_that_somebody_is_blocked_is_said_only_to_who_knows_the_password() {
        for user in ["idle", "poor"] {
            assert_eq!(try_as(user, "secret", None), Err(Refusal::UserBlocked), "{user}");
            assert_eq!(try_as(user, "wrong", None), Err(Refusal::AuthRequired), "{user}");
        }
    }

    #[test]
    fn the_type_must_agree_with_the_port() {
        let mobile = Some(ProxyType::Mobile);
        assert_eq!(type_for("alice", mobile), Ok(ProxyType::Mobile));
        assert_eq!(type_for("alice-type-mob", None), Ok(ProxyType::Mobile));
        assert_eq!(type_for("alice-type-mobile", mobile), Ok(ProxyType::Mobile));
        assert_eq!(type_for("alice-type-dc", mobile), Err(Refusal::BadParam));
        assert_eq!(type_for("alice-nonsense-1", None), Err(Refusal::BadParam));
    }

    #[test]
    fn hp_16_a_listed_address_enters_without_credentials() {
        let by = |ip: &str| {
            identify(&directory(), &Proof::Address, ip.parse().unwrap(), None)
                .map_err(|no| (no.refusal, no.failed_login))
        };
        let caller = by("::ffff:192.0.2.1").unwrap();
        assert_eq!(caller.admission, Admission::Whitelist(WhitelistId::new(20)));
        assert_eq!(caller.who(), (AccountId::new(1), None));
        assert_eq!(by("192.0.2.2"), Err((Refusal::UserBlocked, false)));
        assert_eq!(by("192.0.2.3"), Err((Refusal::AuthRequired, false)));
    }
}
