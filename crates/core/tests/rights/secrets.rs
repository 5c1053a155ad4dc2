//! Callers, their secrets, and what is written down.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::ExposeSecret;
use tollgate_core::{
    Actor, Core, Error, Keys, Noun, Policy, accounts, audit_log, exits, offers, refusals, sub_accounts,
};
use tollgate_testkit::{TestDb, on_both_databases};
use tollgate_types::{AccountId, Refusal, RefusalNote, Zone};

use crate::{MASTER, NOBODY, Platform, new_account, new_exit, new_offer, new_sub_account, page};

on_both_databases! {
    async fn an_api_key_names_its_account_until_it_is_rotated(database) {
        let world = Platform::on(&database).await;
        let (ann, key) = accounts::create(&world.core, Actor::Operator, new_account("ann")).await.unwrap();
        assert_eq!(accounts::by_api_key(&world.core, &key).await.unwrap(), Some((ann, true)));
        assert_eq!(accounts::info(&world.core, ann).await.unwrap().api_key.expose_secret(), key.expose_secret());
        let new = accounts::rotate_key(&world.core, Actor::Account(ann), ann).await.unwrap();
        assert_eq!(accounts::by_api_key(&world.core, &key).await.unwrap(), None, "dead at once");
        assert_eq!(accounts::by_api_key(&world.core, &new).await.unwrap(), Some((ann, true)));
        let change = accounts::Change { active: Some(false), ..Default::default() };
        accounts::update(&world.core, Actor::Operator, ann, change).await.unwrap();
        assert_eq!(accounts::by_api_key(&world.core, &new).await.unwrap(), Some((ann, false)));
        for bad in ["", "tg_", "a\0b", &new.expose_secret().to_uppercase(), &format!("{} ", new.expose_secret())]
        {
            assert_eq!(accounts::by_api_key(&world.core, &bad.to_owned().into()).await.unwrap(), None, "{bad:?}");
        }
        let nobody = AccountId::new(NOBODY);
        let gone = Error::NotFound(Noun::Account);
        assert_eq!(accounts::rotate_key(&world.core, Actor::Operator, nobody).await.unwrap_err(), gone);
        assert_eq!(accounts::get(&world.core, nobody).await.unwrap_err(), gone);
        assert_eq!(accounts::info(&world.core, nobody).await.unwrap_err(), gone);
    }
}

#[tokio::test]
async fn no_secret_can_be_read_in_the_database() {
    let database = TestDb::sqlite();
    let world = Platform::on(&database).await;
    let mut new = new_account("ann");
    new.password = Some("console-password".to_owned().into());
    let (ann, key) = accounts::create(&world.core, Actor::Operator, new).await.unwrap();
    assert!(accounts::info(&world.core, ann).await.unwrap().account.has_password);
    let shop = sub_accounts::NewSubAccount {
        password: "proxy-password-1".to_owned().into(),
        ..new_sub_account("shop")
    };
    let shop = sub_accounts::create(&world.core, ann, shop).await.unwrap();
    let change =
        sub_accounts::Change { password: Some("proxy-password-2".to_owned().into()), ..Default::default() };
    sub_accounts::update(&world.core, ann, shop, change).await.unwrap();
    let kept = sub_accounts::get(&world.core, ann, shop).await.unwrap();
    assert_eq!(kept.password.expose_secret(), "proxy-password-2");
    let mut exit = new_exit("supplier");
    (exit.kind, exit.address) = (Some("http".into()), Some("proxy.example:8080".into()));
    (exit.username, exit.password) = (Some("me".into()), Some("supplier-password".to_owned().into()));
    exits::create(&world.core, Actor::Operator, exit).await.unwrap();
    let (lines, _) = audit_log::list(&world.core, None, page(1, 100)).await.unwrap();
    world.core.db().close().await;
    let mut stored = format!("{lines:?}").into_bytes();
    for file in std::fs::read_dir(database.url().path().unwrap().parent().unwrap()).unwrap() {
        stored.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("supplier") && holds("shop"), "the files were read");
    for secret in ["console-password", "proxy-password", "supplier-password", key.expose_secret()] {
        assert!(!holds(secret), "{secret}");
    }
}

on_both_databases! {
    async fn another_master_key_is_noticed_at_the_start(database) {
        let world = Platform::on(&database).await;
        let open = async |key: [u8; 32]| {
            let (db, clock) = (world.core.db().clone(), world.clock.clone());
            Core::open(db, clock, Zone::UTC, Keys::new(&key), Policy::default(), [3; 32]).await
        };
        open(MASTER).await.unwrap();
        let error = open([8; 32]).await.unwrap_err().to_string();
        assert!(error.contains("master key"), "{error}");
    }
}

on_both_databases! {
    async fn changes_of_rights_are_written_down(database) {
        let world = Platform::on(&database).await;
        let ann = world.account("ann").await;
        let change = accounts::Change { active: Some(false), ..Default::default() };
        accounts::update(&world.core, Actor::Operator, ann, change).await.unwrap();
        accounts::rotate_key(&world.core, Actor::Operator, ann).await.unwrap();
        let shop = world.sub_account(ann, "shop").await;
        sub_accounts::delete(&world.core, ann, shop).await.unwrap();
        let offer = offers::create(&world.core, Actor::Operator, new_offer()).await.unwrap();
        offers::update(&world.core, Actor::Operator, offer, offers::OfferChange::default()).await.unwrap();
        let exit = world.exit("paris").await;
        exits::delete(&world.core, Actor::Operator, exit).await.unwrap();
        let (lines, total) = audit_log::list(&world.core, None, page(1, 100)).await.unwrap();
        let said: Vec<_> = lines.iter().rev().map(|line| (line.actor.as_str(), line.action.as_str())).collect();
        let by_ann = format!("account:{ann}");
        assert_eq!(
            said,
            [
                ("operator", "account.created"),
                ("operator", "account.updated"),
                ("operator", "account.key_rotated"),
                (by_ann.as_str(), "sub_account.created"),
                (by_ann.as_str(), "sub_account.deleted"),
                ("operator", "package_offer.created"),
                ("operator", "package_offer.updated"),
                ("operator", "exit.created"),
                ("operator", "exit.deleted"),
            ]
        );
        let (of_ann, count) = audit_log::list(&world.core, Some(ann), page(1, 2)).await.unwrap();
        assert_eq!((total, count, of_ann.len()), (9, 5, 2));
        assert_eq!(audit_log::list(&world.core, Some(AccountId::new(NOBODY)), page(1, 2)).await.unwrap().1, 0);
    }

    async fn refusals_are_counted_by_reason_and_forgotten(database) {
        let world = Platform::on(&database).await;
        let ann = world.account("ann").await;
        let note = |account, refusal, detail: &str, count| {
            let detail = detail.to_owned();
            RefusalNote { account, sub_account: None, refusal, detail, count }
        };
        refusals::note(
            &world.core,
            vec![
                note(ann, Refusal::HostBlocked, "10.0.0.1", 2),
                note(AccountId::new(NOBODY), Refusal::HostBlocked, "nobody", 5),
                note(ann, Refusal::HostBlocked, "a\0b", 3),
                note(ann, Refusal::NoExit, &"x".repeat(100_000), 1),
            ],
        )
        .await;
        let recent = refusals::recent(&world.core, ann).await.unwrap();
        let counts: BTreeMap<_, _> =
            recent.iter().map(|counted| (counted.refusal.as_str(), counted.count)).collect();
        assert_eq!(counts, [("HOST_BLOCKED", 5), ("NO_EXIT", 1)].into());
        assert!(recent.iter().all(|counted| counted.detail.len() <= 1000), "a detail is a line");
        world.clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
        assert_eq!(refusals::recent(&world.core, ann).await.unwrap(), [], "no longer recent");
        assert_eq!(refusals::prune(&world.core).await.unwrap(), 0, "but kept");
        world.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
        assert_eq!(refusals::prune(&world.core).await.unwrap(), 2);
    }
}
