//! Stock: importing it, looking at it, changing it.

use tollgate_core::statics::{self, NewStock, PriceChange, StockChange, StockFilter};
use tollgate_core::{Actor, BadLine, Error, Noun, Rule, audit_log, overview};
use tollgate_testkit::on_both_databases;
use tollgate_types::{Country, StaticType, StockId};

use crate::{NOBODY, World, invalid, new_price, new_stock, page};

async fn import(world: &World, kind: StaticType, items: Vec<NewStock>) -> Result<Vec<StockId>, Error> {
    statics::import(&world.core, Actor::Operator, kind, "US".into(), items).await
}

fn leaving(mut item: NewStock, exit_ip: &str) -> NewStock {
    item.exit_ip = Some(exit_ip.to_owned());
    item
}

on_both_databases! {
    async fn an_import_names_every_bad_line_and_takes_nothing(database) {
        let world = World::on(&database).await;
        import(&world, StaticType::Dc, vec![new_stock("192.0.2.1", 1000)]).await.unwrap();
        let items = vec![
            new_stock("192.0.2.1", 1000),          // in stock
            new_stock("192.0.2.2", 1000),          // fine
            new_stock(" ::ffff:192.0.2.2 ", 1000), // the same again
            new_stock("192.0.2.256", 1000),
            new_stock("0.0.0.0", 1000),
            new_stock("224.0.0.1", 1000),
            new_stock("255.255.255.255", 1000),
            new_stock("192.0.2.3", 0),
            new_stock("192.0.2.3", 65536),
            new_stock("192.0.2.3", 8080), // the platform's own
            leaving(new_stock("192.0.2.4", 1000), "nowhere"),
            leaving(new_stock("192.0.2.5", 1000), "2001:db8::1"), // of the wrong family
            leaving(new_stock("192.0.2.6", 1000), "::"),
            new_stock("2001:db8::1", 1000), // would leave by IPv6
            new_stock("x", -1),             // two fields
            leaving(new_stock("2001:db8::1", 1001), "192.0.2.9"), // fine
        ];
        let Err(Error::Lines(bad)) = import(&world, StaticType::Dc, items).await else { panic!("taken") };
        let range = Rule::Range { min: 1, max: 65535 };
        let expected = [
            (1, "listen_ip", Rule::Taken),
            (3, "listen_ip", Rule::Doubled),
            (4, "listen_ip", Rule::Address),
            (5, "listen_ip", Rule::OneHost),
            (6, "listen_ip", Rule::OneHost),
            (7, "listen_ip", Rule::OneHost),
            (8, "listen_port", range),
            (9, "listen_port", range),
            (10, "listen_port", Rule::Reserved),
            (11, "exit_ip", Rule::Address),
            (12, "exit_ip", Rule::Ipv4),
            (13, "exit_ip", Rule::OneHost),
            (14, "listen_ip", Rule::Ipv4),
            (15, "listen_ip", Rule::Address),
            (15, "listen_port", range),
        ];
        assert_eq!(bad, expected.map(|(line, field, rule)| BadLine { line, field, rule }));
        assert_eq!(world.all_stock().await.len(), 1, "nothing was imported");
        let wrong = import(&world, StaticType::Ipv6, vec![new_stock("192.0.2.9", 1)]).await;
        assert_eq!(wrong, Err(Error::Lines(vec![BadLine { line: 1, field: "listen_ip", rule: Rule::Ipv6 }])));
    }

    async fn an_import_is_of_one_to_ten_thousand_lines_in_a_country(database) {
        let world = World::on(&database).await;
        let count = Rule::Count { min: 1, max: 10_000 };
        assert_eq!(invalid(import(&world, StaticType::Dc, vec![]).await.unwrap_err()), ("items", count));
        let many = (0..10_001).map(|n| new_stock(&format!("10.0.{}.{}", n / 200, n % 200), 1000)).collect();
        assert_eq!(invalid(import(&world, StaticType::Dc, many).await.unwrap_err()), ("items", count));
        let refused = statics::import(
            &world.core,
            Actor::Operator,
            StaticType::Dc,
            "usa".into(),
            vec![new_stock("192.0.2.1", 1)],
        );
        assert_eq!(invalid(refused.await.unwrap_err()).0, "country");
        // The operator's own: loopback and private addresses are.
        let ids = import(&world, StaticType::Dc, vec![new_stock("127.0.0.2", 1), new_stock("10.1.2.3", 1)])
            .await
            .unwrap();
        let items = world.all_stock().await;
        assert_eq!(items.iter().rev().map(|item| item.id).collect::<Vec<_>>(), ids);
        assert_eq!(items[1].country, "us".parse::<Country>().unwrap());
        assert_eq!(items[1].exit_ip, items[1].listen_ip);
        let (log, _) = audit_log::list(&world.core, None, page(1, 10)).await.unwrap();
        assert_eq!((log[0].action.as_str(), log[0].subject.as_str()), ("stock.imported", "stock:dc:us"));
    }

    async fn stock_is_shown_by_what_it_is_at(database) {
        let world = World::on(&database).await;
        world.stock(3, 3000).await;
        world.stock_of(StaticType::Ipv6, "de", 2, 3000).await;
        let (ann, proxy) = world.customer("ann", 0).await;
        let find = async |filter: StockFilter| {
            let (items, total) = statics::stock(&world.core, filter, page(1, 10)).await.unwrap();
            assert_eq!(items.len() as i64, total);
            items
        };
        let leased = find(StockFilter { state: Some("leased".into()), ..Default::default() }).await;
        assert_eq!(leased.len(), 1);
        assert_eq!(
            (leased[0].holder, leased[0].listen_port),
            (Some((proxy, ann)), 3000),
            "the oldest is leased first"
        );
        assert_eq!(find(StockFilter { country: Some("DE".into()), ..Default::default() }).await.len(), 2);
        assert_eq!(
            find(StockFilter { static_type: Some(StaticType::Dc), ..Default::default() }).await.len(),
            3
        );
        assert_eq!(
            find(StockFilter { listen_ip: Some("2001:DB8:0::7".into()), ..Default::default() }).await.len(),
            2
        );
        assert!(
            find(StockFilter { listen_ip: Some("192.0.2.70".into()), ..Default::default() }).await.is_empty()
        );
        for (field, filter) in [
            ("state", StockFilter { state: Some("gone".into()), ..Default::default() }),
            ("country", StockFilter { country: Some("deu".into()), ..Default::default() }),
            ("listen_ip", StockFilter { listen_ip: Some("192.0.2".into()), ..Default::default() }),
        ] {
            assert_eq!(invalid(statics::stock(&world.core, filter, page(1, 10)).await.unwrap_err()).0, field);
        }
        let totals = statics::stock_totals(&world.core).await.unwrap();
        let expected =
            [(StaticType::Dc, "free", 2), (StaticType::Dc, "leased", 1), (StaticType::Ipv6, "free", 2)];
        assert_eq!(totals, expected.map(|(kind, state, count)| (kind, state.to_owned(), count)));
        assert_eq!(overview::read(&world.core).await.unwrap().stock, totals);
    }

    async fn countries_are_those_where_something_can_be_ordered_now(database) {
        let world = World::on(&database).await;
        let countries = async |types: &[StaticType]| {
            let found = statics::countries(&world.core, types.to_vec()).await.unwrap();
            found.iter().map(Country::to_string).collect::<Vec<_>>()
        };
        assert!(countries(&StaticType::ALL).await.is_empty());
        world.stock_of(StaticType::Dc, "us", 1, 3000).await;
        world.stock_of(StaticType::Dc, "hk", 1, 3001).await;
        world.stock_of(StaticType::Ipv6, "de", 1, 3002).await;
        assert_eq!(countries(&[StaticType::Dc]).await, ["hk", "us"]);
        assert_eq!(countries(&[StaticType::Dc, StaticType::Ipv6]).await, ["de", "hk", "us"]);
        assert!(countries(&[StaticType::Res]).await.is_empty());
        world.customer("ann", 0).await;
        assert_eq!(countries(&[StaticType::Dc]).await, ["hk"], "the last one in the US is leased");
        let later = world.price_of(PriceChange { back_orders: Some(true), ..new_price(1, 30) }).await;
        assert_eq!(countries(&[StaticType::Dc]).await, ["hk", "us"], "it can be delivered later");
        world.change_price(later, PriceChange { on_sale: Some(false), ..Default::default() }).await;
        assert_eq!(countries(&[StaticType::Dc]).await, ["hk"]);
    }

    async fn an_address_can_leave_from_another(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, proxy) = world.customer("ann", 0).await;
        let change = async |id, exit_ip: &str| {
            let change = StockChange { exit_ip: Some(exit_ip.into()), in_service: None };
            statics::update_stock(&world.core, Actor::Operator, id, change).await
        };
        assert_eq!(change(ids[0], "198.51.100.9").await, Ok(None));
        assert_eq!(world.shown(proxy).await.unwrap().exit_ip.to_string(), "198.51.100.9", "at once");
        assert_eq!(world.only(ann).await.exit_ip.unwrap().to_string(), "198.51.100.9");
        for (text, rule) in [("x", Rule::Address), ("2001:db8::1", Rule::Ipv4), ("224.0.0.1", Rule::OneHost)]
        {
            assert_eq!(invalid(change(ids[0], text).await.unwrap_err()), ("exit_ip", rule), "{text}");
        }
        assert_eq!(change(ids[0], "").await, Ok(None));
        assert_eq!(world.shown(proxy).await.unwrap().exit_ip.to_string(), "192.0.2.7", "where it is reached");
        assert_eq!(change(StockId::new(NOBODY), "").await, Err(Error::NotFound(Noun::StockItem)));
        world.audit().await;
    }

    async fn what_nobody_holds_goes_out_of_service_and_comes_back(database) {
        let world = World::on(&database).await;
        let ids = world.stock(2, 3000).await;
        let set = async |id, in_service| {
            let change = StockChange { in_service: Some(in_service), exit_ip: None };
            statics::update_stock(&world.core, Actor::Operator, id, change).await.unwrap()
        };
        assert_eq!(set(ids[0], false).await, None);
        assert_eq!(set(ids[0], false).await, None, "again");
        assert_eq!(world.stock_states().await, [1, 0, 0, 1]);
        let (_, proxy) = world.customer("ann", 0).await;
        assert_eq!(world.shown(proxy).await.unwrap().listen.port(), 3001, "not what is out of service");
        let ben = world.account("ben", 5000).await;
        let price = world.price(1, 30, 100).await;
        assert_eq!(world.try_order(ben, price).await, Err(Error::OutOfStock));
        assert_eq!(set(ids[0], true).await, None);
        assert_eq!(set(ids[0], true).await, None, "again");
        world.order(ben, price).await;
        assert_eq!(set(ids[0], true).await, None, "what is leased stays leased");
        assert_eq!(world.stock_states().await, [0, 2, 0, 0]);
        world.audit().await;
    }
}
