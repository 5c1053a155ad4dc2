//! Lists, exports, remarks; of one's own proxies only.

use secrecy::ExposeSecret;
use tollgate_core::statics::{self, PriceChange, StaticFilter};
use tollgate_core::{Error, Noun, Rule};
use tollgate_testkit::on_both_databases;
use tollgate_types::{AccountId, StaticProtocol, StaticType};

use crate::{DAY, World, asking, invalid, new_price, page};

async fn ports(world: &World, account: AccountId, filter: StaticFilter) -> Vec<u16> {
    let (proxies, total) = statics::list(&world.core, account, filter, page(1, 10)).await.unwrap();
    assert_eq!(proxies.len() as i64, total);
    proxies.iter().map(|proxy| proxy.address.unwrap().port()).collect()
}

on_both_databases! {
    async fn proxies_are_found_by_what_they_are(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        world.stock_of(StaticType::Ipv6, "us", 1, 4000).await;
        world.stock_of(StaticType::Res, "us", 1, 5000).await;
        let ann = world.account("ann", 10_000).await;
        let mut orders = Vec::new();
        for (kind, protocol, days) in [
            (StaticType::Dc, StaticProtocol::Http, 10),
            (StaticType::Dc, StaticProtocol::Socks5, 20),
            (StaticType::Ipv6, StaticProtocol::Both, 30),
            (StaticType::Res, StaticProtocol::Both, 40),
        ] {
            let price = world.price_of(PriceChange { static_type: Some(kind), ..new_price(1, days) }).await;
            let ask = statics::OrderRequest { static_type: kind, protocol, ..asking(price) };
            orders.push(statics::order(&world.core, ann, ask, None).await.unwrap().value.order_no);
        }
        let find = async |filter| ports(&world, ann, filter).await;
        let any = StaticFilter::default;
        assert_eq!(find(any()).await, [5000, 4000, 3001, 3000], "newest first");
        assert_eq!(find(StaticFilter { static_types: vec![StaticType::Res], ..any() }).await, [5000]);
        assert_eq!(
            find(StaticFilter { static_types: vec![StaticType::Dc, StaticType::Ipv6], ..any() }).await,
            [4000, 3001, 3000]
        );
        assert_eq!(
            find(StaticFilter { protocol: Some(StaticProtocol::Both), ..any() }).await,
            [5000, 4000],
            "exactly"
        );
        assert_eq!(find(StaticFilter { protocol: Some(StaticProtocol::Http), ..any() }).await, [3000]);
        assert_eq!(find(StaticFilter { order_no: Some(orders[1].clone()), ..any() }).await, [3001]);
        assert!(
            find(StaticFilter { order_no: Some(orders[1].to_lowercase() + "'"), ..any() }).await.is_empty()
        );
        assert_eq!(find(StaticFilter { address: Some("2001:0db8::7".into()), ..any() }).await, [4000]);
        assert_eq!(
            find(StaticFilter { address: Some("::ffff:192.0.2.7".into()), ..any() }).await,
            [5000, 3001, 3000]
        );
        assert_eq!(find(StaticFilter { address: Some(String::new()), ..any() }).await.len(), 4);
        assert!(find(StaticFilter { address: Some("192.0.2.8".into()), ..any() }).await.is_empty());
        let after = |days: u32| Some(world.now().plus(DAY * days));
        let (expire_start, expire_end) = (after(20), after(30));
        assert_eq!(
            find(StaticFilter { expire_start, expire_end, ..any() }).await,
            [4000, 3001],
            "both included"
        );
        assert_eq!(find(StaticFilter { expire_start: after(31), ..any() }).await, [5000]);
        assert_eq!(find(StaticFilter { expire_end: after(19), ..any() }).await, [3000]);
        let reversed = StaticFilter { expire_start: after(2), expire_end: after(1), ..any() };
        let refused = statics::list(&world.core, ann, reversed, page(1, 10)).await.unwrap_err();
        assert_eq!(invalid(refused), ("expire_start", Rule::Order));
        for bad in ["192.0.2", "192.0.2.7:3000", "x"] {
            let filter = StaticFilter { address: Some(bad.into()), ..any() };
            let refused = statics::list(&world.core, ann, filter, page(1, 10)).await.unwrap_err();
            assert_eq!(invalid(refused), ("proxy_address", Rule::Address), "{bad}");
        }
        let (second, total) = statics::list(&world.core, ann, any(), page(2, 3)).await.unwrap();
        assert_eq!((second.len(), total), (1, 4));
        let (beyond, total) = statics::list(&world.core, ann, any(), page(9, 3)).await.unwrap();
        assert_eq!((beyond.len(), total), (0, 4));
        world.audit().await;
    }

    async fn nobody_sees_what_another_has(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let ben = world.account("ben", 9000).await;
        assert!(world.list(ben).await.is_empty());
        assert!(statics::export(&world.core, ben, StaticFilter::default()).await.unwrap().is_empty());
        let today = world.core.zone().day(world.now());
        let missing = Error::NotFound(Noun::StaticProxy);
        assert_eq!(statics::usage(&world.core, ben, id, today, today).await, Err(missing.clone()));
        assert_eq!(world.renew(ben, id).await, Err(missing.clone()));
        assert_eq!(statics::withdraw(&world.core, ben, id).await, Err(missing));
        assert_eq!(world.only(ann).await.id, id);
    }

    async fn an_export_is_of_what_works(database) {
        let world = World::on(&database).await;
        world.stock(3, 3000).await;
        let ann = world.account("ann", 10_000).await;
        let (short, long) = (world.price(1, 10, 100).await, world.price(2, 40, 100).await);
        world.order(ann, short).await;
        world.order(ann, long).await;
        let export = async |filter| statics::export(&world.core, ann, filter).await.unwrap();
        let all = export(StaticFilter::default()).await;
        assert_eq!(all.len(), 3);
        let listed = world.list(ann).await;
        for (exported, listed) in all.iter().zip(&listed) {
            assert_eq!((exported.id, exported.address), (listed.id, listed.address));
            assert_eq!(exported.password.expose_secret(), listed.password.expose_secret());
        }
        let later = world.price_of(PriceChange { back_orders: Some(true), ..new_price(1, 30) }).await;
        assert!(world.order(ann, later).await.pending);
        world.pass(DAY * 11).await;
        assert_eq!(world.list(ann).await.len(), 4, "one expired, one not delivered");
        assert_eq!(export(StaticFilter::default()).await.len(), 2);
        assert!(
            export(StaticFilter { static_types: vec![StaticType::Res], ..Default::default() })
                .await
                .is_empty()
        );
    }

    async fn a_remark_is_the_customers_own(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let set =
            async |text: &str| statics::set_remark(&world.core, ann, StaticType::Dc, id, text.into()).await;
        set("店铺 7 <b>").await.unwrap();
        assert_eq!(world.only(ann).await.remark, "店铺 7 <b>");
        assert_eq!(
            invalid(set(&"x".repeat(256)).await.unwrap_err()),
            ("remark", Rule::Length { min: 0, max: 255 })
        );
        assert_eq!(invalid(set("a\0b").await.unwrap_err()), ("remark", Rule::Characters));
        set("").await.unwrap();
        assert_eq!(world.only(ann).await.remark, "");
    }
}

#[tokio::test]
async fn no_secret_of_a_static_proxy_can_be_read_in_the_database() {
    let database = tollgate_testkit::TestDb::sqlite();
    let world = World::on(&database).await;
    world.stock(1, 3000).await;
    let (ann, _) = world.customer("ann", 0).await;
    let proxy = world.only(ann).await;
    assert!(!format!("{proxy:?}").contains(proxy.password.expose_secret()), "nor is it printed");
    world.core.db().close().await;
    let mut stored = Vec::new();
    for file in std::fs::read_dir(database.url().path().unwrap().parent().unwrap()).unwrap() {
        stored.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&proxy.username), "the files were read");
    assert!(!holds(proxy.password.expose_secret()));
}
