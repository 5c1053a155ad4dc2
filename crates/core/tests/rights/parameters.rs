//! What is taken, what is refused, and under which parameter's name.

use secrecy::ExposeSecret;
use tollgate_core::{Actor, Conflict, Error, Policy, Rule, accounts, exits, offers, sub_accounts, whitelist};
use tollgate_testkit::on_both_databases;
use tollgate_types::{AccountId, Cents, Zone};

use crate::{NOBODY, Platform, new_account, new_exit, new_offer, new_sub_account, page, refused};

on_both_databases! {
    async fn an_accounts_parameters_are_checked(database) {
        let world = Platform::on(&database).await;
        let create = async |change: fn(&mut accounts::NewAccount)| {
            let mut new = new_account("ann");
            change(&mut new);
            refused(accounts::create(&world.core, Actor::Operator, new).await)
        };
        assert_eq!(
            create(|new| new.username = "an".into()).await,
            ("username", Rule::Length { min: 3, max: 64 })
        );
        assert_eq!(create(|new| new.username = "a:nn".into()).await, ("username", Rule::Characters));
        assert_eq!(create(|new| new.email = "ann".into()).await.0, "email");
        assert_eq!(create(|new| new.email = "a b@example.com".into()).await.0, "email");
        assert_eq!(create(|new| new.password = Some("short".to_owned().into())).await.0, "password");
        assert_eq!(create(|new| new.prices[0] = Some(Cents::new(-1))).await.0, "res_price");
        assert_eq!(create(|new| new.prices[2] = Some(Cents::new(i64::MAX))).await.0, "mobile_price");
        assert_eq!(accounts::list(&world.core, String::new(), page(1, 10)).await.unwrap().1, 0, "none was made");
    }

    async fn a_sub_accounts_parameters_are_checked(database) {
        let world = Platform::on(&database).await;
        let ann = world.account("ann").await;
        let long = "a".repeat(65);
        for name in [
            "",
            "ab",
            "a b",
            "a-b",
            "a:b",
            "a@b.c",
            "naïve",
            "😀😀😀",
            "a\r\nb",
            "a\0b",
            &long,
            &"x".repeat(10_000),
        ] {
            let answer = sub_accounts::create(&world.core, ann, new_sub_account(name)).await;
            assert_eq!(refused(answer).0, "username", "{name:?}");
        }
        for password in
            ["", "short", "with:colon", "with blank", "no\u{a0}break", "new\nline", "a\0bcdef", &"p".repeat(129)]
        {
            let new = sub_accounts::NewSubAccount {
                password: password.to_owned().into(),
                ..new_sub_account("ann.one")
            };
            assert_eq!(refused(sub_accounts::create(&world.core, ann, new).await).0, "password", "{password:?}");
        }
        for (index, field) in
            ["res_traffic_limit", "dc_traffic_limit", "mobile_traffic_limit"].into_iter().enumerate()
        {
            for limit in [-1, 1_000_000_001, 8_589_934_592, i64::MAX] {
                let mut new = new_sub_account("ann.one");
                new.limits_gb[index] = limit;
                let rule = Rule::Range { min: 0, max: 1_000_000_000 };
                assert_eq!(refused(sub_accounts::create(&world.core, ann, new).await), (field, rule), "{limit}");
            }
        }
        let new = sub_accounts::NewSubAccount { remark: "r".repeat(256), ..new_sub_account("ann.one") };
        assert_eq!(refused(sub_accounts::create(&world.core, ann, new).await).0, "remark");
        let new = sub_accounts::NewSubAccount { remark: "two\nlines".into(), ..new_sub_account("ann.one") };
        assert_eq!(refused(sub_accounts::create(&world.core, ann, new).await).0, "remark");
    }

    async fn the_widest_sub_account_is_kept_as_it_was_given(database) {
        let world = Platform::on(&database).await;
        let ann = world.account("ann").await;
        let new = sub_accounts::NewSubAccount {
            username: format!("{}_.Z", "a9".repeat(30)),
            password: "пароль-é!\"'<>%_\\".to_owned().into(),
            remark: "\"><img src=x onerror=alert(1)> 办公室 🏢".into(),
            active: false,
            limits_gb: [1_000_000_000, 0, 1],
        };
        let id = sub_accounts::create(&world.core, ann, new.clone()).await.unwrap();
        let kept = sub_accounts::get(&world.core, ann, id).await.unwrap();
        assert_eq!((kept.row.username, kept.row.remark), (new.username, new.remark));
        assert_eq!((kept.row.active, kept.row.limits_gb), (new.active, new.limits_gb));
        assert_eq!(kept.password.expose_secret(), new.password.expose_secret());
    }

    async fn listed_addresses_are_canonical_and_somebodys(database) {
        let world = Platform::on(&database).await;
        let ann = world.account("ann").await;
        for bad in [
            "",
            "x",
            "01.2.3.4",
            "1.2.3",
            "1.2.3.4/32",
            "0.0.0.0/0",
            "::/0",
            "fe80::1%eth0",
            "localhost",
            "1.2.3.4:80",
        ] {
            assert_eq!(
                refused(whitelist::add(&world.core, ann, bad, String::new()).await),
                ("ip", Rule::Address),
                "{bad:?}"
            );
        }
        let private = [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.9.9",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ];
        for ip in private {
            let answer = refused(whitelist::add(&world.core, ann, ip, String::new()).await);
            assert_eq!(answer, ("ip", Rule::PrivateAddress), "{ip}");
        }
        for (given, kept) in [("::ffff:203.0.113.9", "203.0.113.9"), ("2001:DB8:0:0::1", "2001:db8::1")] {
            whitelist::add(&world.core, ann, given, String::new()).await.unwrap();
            let (listed, _) = whitelist::list(&world.core, ann, String::new(), page(1, 1)).await.unwrap();
            assert_eq!(listed[0].ip.to_string(), kept);
        }
        let again = whitelist::add(&world.core, ann, "203.0.113.9", String::new()).await;
        assert_eq!(again, Err(Error::Conflict(Conflict::AddressListed)));
    }

    async fn the_operator_may_allow_private_addresses(database) {
        let world = Platform::with(&database, Zone::UTC, Policy { allow_private_whitelist: true, ..Policy::default() }).await;
        let ann = world.account("ann").await;
        for ip in ["127.0.0.1", "10.0.0.1", "::1"] {
            whitelist::add(&world.core, ann, ip, String::new()).await.unwrap();
        }
        for ip in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
            let answer = refused(whitelist::add(&world.core, ann, ip, String::new()).await);
            assert_eq!(answer, ("ip", Rule::PrivateAddress), "{ip}: nobody can come from there");
        }
    }

    async fn an_offers_parameters_are_checked(database) {
        let world = Platform::on(&database).await;
        let create = async |change: fn(&mut offers::OfferChange)| {
            let mut new = new_offer();
            change(&mut new);
            refused(offers::create(&world.core, Actor::Operator, new).await)
        };
        assert_eq!(create(|new| new.traffic_gb = None).await, ("traffic_gb", Rule::Required));
        assert_eq!(create(|new| new.traffic_gb = Some(0)).await.0, "traffic_gb");
        assert_eq!(create(|new| new.price = Some(Cents::new(-1))).await.0, "price");
        assert_eq!(create(|new| new.days = Some(0)).await.0, "duration");
        assert_eq!(create(|new| new.extra_gb = Some(-1)).await.0, "extra_add_traffic");
        assert_eq!(
            create(|new| new.plan_type = Some("family".into())).await,
            ("plan_type", Rule::OneOf(offers::PLAN_TYPES))
        );
        assert_eq!(
            create(|new| new.accounts = Some(vec![AccountId::new(NOBODY)])).await,
            ("account_ids", Rule::Reference)
        );
        assert_eq!(offers::list(&world.core, page(1, 10)).await.unwrap().1, 0, "none was made");
    }

    async fn an_exits_parameters_are_checked(database) {
        let world = Platform::on(&database).await;
        let create = async |change: fn(&mut exits::ExitChange)| {
            let mut new = new_exit("paris");
            change(&mut new);
            refused(exits::create(&world.core, Actor::Operator, new).await)
        };
        assert_eq!(create(|new| new.name = None).await, ("name", Rule::Required));
        assert_eq!(create(|new| new.name = Some(String::new())).await.0, "name");
        assert_eq!(create(|new| new.kind = Some("ssh".into())).await, ("kind", Rule::OneOf(exits::KINDS)));
        assert_eq!(create(|new| new.country = Some("USA".into())).await.0, "country");
        assert_eq!(create(|new| new.weight = Some(0)).await.0, "weight");
        assert_eq!(create(|new| new.max_connections = Some(-1)).await.0, "max_connections");
        assert_eq!(create(|new| new.asn = Some(1 << 32)).await.0, "asn");
        assert_eq!(create(|new| new.bind_ip = Some("nowhere".into())).await, ("bind_ip", Rule::Address));
        assert_eq!(create(|new| new.kind = Some("http".into())).await, ("address", Rule::Address));
        for bad in
            ["host", "host:", ":80", "host:0", "host:65536", "host:+80", "host: 80", "ho st:80", "http://host:80"]
        {
            let mut new = new_exit("paris");
            (new.kind, new.address) = (Some("socks5".into()), Some(bad.to_owned()));
            assert_eq!(
                refused(exits::create(&world.core, Actor::Operator, new).await),
                ("address", Rule::Address),
                "{bad}"
            );
        }
        world.exit("paris").await;
        let again = exits::create(&world.core, Actor::Operator, new_exit("paris")).await;
        assert_eq!(again, Err(Error::Conflict(Conflict::NameTaken)));
    }
}
