use std::net::Ipv4Addr;

use tollgate_types::{
    AccountEntry, AccountId, DirectoryChange, PasswordKey, StaticProtocol, StaticProxyId, StaticType,
    WhitelistEntry,
};

use super::*;
use crate::entry::live::Right;

const OWNER: AccountId = AccountId::new(1);
const OTHER: AccountId = AccountId::new(2);
const PROXY: StaticProxyId = StaticProxyId::new(30);
const LISTED: WhitelistId = WhitelistId::new(20);
const NOW: Time = Time::from_micros(1_000_000);
const LATER: Time = Time::from_micros(1_000_001);

fn key() -> PasswordKey {
    PasswordKey::new([7; 32])
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

/// Where the proxy is reached.
fn place() -> SocketAddr {
    SocketAddr::new(ip(100), 8080)
}

fn entry() -> StaticEntry {
    StaticEntry {
        id: PROXY,
        account: OWNER,
        static_type: StaticType::Res,
        protocol: StaticProtocol::Both,
        listen: place(),
        exit_ip: ip(101),
        username: "u1".into(),
        password: key().tag(b"secret"),
        expires_at: LATER,
    }
}

fn account(id: AccountId, active: bool) -> DirectoryChange {
    DirectoryChange::Account(AccountEntry { id, active, funds_epoch: 0 })
}

/// Two accounts, each with a listed address (`.1` and `.2`); the first one has the proxy.
fn directory() -> Directory {
    let mut directory = Directory::empty(key());
    let listed = |id, account, last| DirectoryChange::Whitelist(ip(last), WhitelistEntry { id, account });
    for change in [
        account(OWNER, true),
        account(OTHER, true),
        listed(LISTED, OWNER, 1),
        listed(WhitelistId::new(21), OTHER, 2),
        DirectoryChange::Static(entry()),
    ] {
        directory.apply(change);
    }
    directory
}

fn login(user: &str, password: &str) -> Proof {
    Proof::Credentials { user: user.into(), password: password.into() }
}

/// Who is found, or the refusal and whether it counts as a failed login.
fn found(directory: &Directory, proof: &Proof, peer: IpAddr, now: Time) -> Result<Caller, (Refusal, bool)> {
    identify(directory, place(), proof, peer, now).map_err(|no| (no.refusal, no.failed_login))
}

#[test]
fn its_own_credentials_enter_from_anywhere() {
    for user in ["u1", "U1"] {
        let caller = found(&directory(), &login(user, "secret"), ip(9), NOW).unwrap();
        assert_eq!((caller.who(), caller.username.as_str()), ((OWNER, None), "u1"));
        assert_eq!(caller.admission, Admission::Static(Arc::new(entry()), None));
        assert_eq!(caller.service, Service::Static(Arc::new(entry())));
    }
}

#[test]
fn nothing_else_does_and_wrong_credentials_never_fall_back() {
    let listed = ip(1);
    for (user, password) in [
        ("u1", "wrong"),
        ("u1", ""),
        ("u2", "secret"),
        ("U2", "secret"),
        ("u1", "SECRET"),
        ("", "secret"),
        ("", ""),
        ("u1-country-us", "secret"),
        ("u1 ", "secret"),
    ] {
        let got = found(&directory(), &login(user, password), listed, NOW);
        assert_eq!(got, Err((Refusal::AuthRequired, true)), "{user}:{password}");
    }
    let got = found(&directory(), &Proof::Malformed, listed, NOW);
    assert_eq!(got, Err((Refusal::AuthRequired, true)));
}

#[test]
fn addresses_listed_by_the_owner_enter_and_those_of_others_do_not() {
    let by = |peer: &str| found(&directory(), &Proof::Address, peer.parse().unwrap(), NOW);
    for peer in ["192.0.2.1", "::ffff:192.0.2.1"] {
        let caller = by(peer).unwrap();
        assert_eq!(caller.admission, Admission::Static(Arc::new(entry()), Some(LISTED)), "{peer}");
        assert_eq!(caller.username, "");
    }
    for peer in ["192.0.2.2", "192.0.2.3"] {
        assert_eq!(by(peer), Err((Refusal::AuthRequired, false)), "{peer}");
    }
}

#[test]
fn that_it_has_expired_or_is_suspended_is_said_only_to_who_may_know() {
    let mut suspended = directory();
    suspended.apply(account(OWNER, false));
    for (directory, now) in [(directory(), LATER), (suspended, NOW)] {
        let blocked = Err((Refusal::UserBlocked, false));
        assert_eq!(found(&directory, &login("u1", "secret"), ip(9), now), blocked);
        assert_eq!(found(&directory, &Proof::Address, ip(1), now), blocked);
        let wrong = found(&directory, &login("u1", "wrong"), ip(1), now);
        assert_eq!(wrong, Err((Refusal::AuthRequired, true)));
        let stranger = found(&directory, &Proof::Address, ip(2), now);
        assert_eq!(stranger, Err((Refusal::AuthRequired, false)));
    }
}

#[test]
fn an_address_that_is_nobodys_any_more_knows_no_one() {
    let mut directory = directory();
    directory.apply(DirectoryChange::StaticGone(PROXY));
    let by_login = found(&directory, &login("u1", "secret"), ip(1), NOW);
    assert_eq!(by_login, Err((Refusal::AuthRequired, true)));
    assert_eq!(found(&directory, &login("", ""), ip(1), NOW), Err((Refusal::AuthRequired, true)));
    assert_eq!(found(&directory, &Proof::Address, ip(1), NOW), Err((Refusal::AuthRequired, false)));
}

/// How it stands after a change with a connection by credentials, and with one by address.
fn standing(change: DirectoryChange, now: Time) -> [Right; 2] {
    let mut directory = directory();
    directory.apply(change);
    [None, Some(LISTED)].map(|listed| {
        let admission = Admission::Static(Arc::new(entry()), listed);
        crate::entry::revoke::still_admitted(&directory, OWNER, &admission, ip(1), now)
    })
}

#[test]
fn a_right_is_lost_with_what_it_stands_on_and_only_then() {
    let kept = Right::Until(LATER);
    let changed = |change: &dyn Fn(&mut StaticEntry)| {
        let mut entry = entry();
        change(&mut entry);
        DirectoryChange::Static(entry)
    };
    let much_later = Time::from_micros(9_000_000);
    let listed_anew = WhitelistEntry { id: WhitelistId::new(22), account: OWNER };
    let listed_by_another = WhitelistEntry { id: LISTED, account: OTHER };
    for (change, expected) in [
        (account(OTHER, false), [kept; 2]),
        (account(OWNER, false), [Right::Lost; 2]),
        (changed(&|_| ()), [kept; 2]),
        (changed(&|entry| entry.expires_at = much_later), [Right::Until(much_later); 2]),
        (changed(&|entry| entry.expires_at = NOW), [Right::Lost; 2]),
        (changed(&|entry| entry.listen.set_ip(ip(102))), [Right::Lost; 2]),
        (changed(&|entry| entry.listen.set_port(8081)), [Right::Lost; 2]),
        (changed(&|entry| entry.exit_ip = ip(103)), [Right::Lost; 2]),
        (changed(&|entry| entry.protocol = StaticProtocol::Http), [Right::Lost; 2]),
        (changed(&|entry| entry.account = OTHER), [Right::Lost; 2]),
        (changed(&|entry| entry.password = key().tag(b"new")), [Right::Lost, kept]),
        (changed(&|entry| entry.username = "u2".into()), [Right::Lost, kept]),
        (DirectoryChange::StaticGone(PROXY), [Right::Lost; 2]),
        (DirectoryChange::WhitelistGone(LISTED), [kept, Right::Lost]),
        (DirectoryChange::Whitelist(ip(1), listed_anew), [kept, Right::Lost]),
        (DirectoryChange::Whitelist(ip(1), listed_by_another), [kept, Right::Lost]),
    ] {
        assert_eq!(standing(change.clone(), NOW), expected, "{change:?}");
    }
    assert_eq!(standing(account(OTHER, true), LATER), [Right::Lost; 2]);
}
