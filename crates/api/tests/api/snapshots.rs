//! One snapshot of each call, with the values that it answers; and the OpenAPI document, locked.

use serde_json::{Value, json};

use crate::common::{ADMIN, Answer, Api};

/// Status and body, without what differs from run to run.
fn shown(answer: Answer) -> Value {
    let mut body = answer.body;
    mask(&mut body);
    json!({ "status": answer.status.as_u16(), "body": body })
}

/// Whatever is drawn by lot.
const DRAWN: [(&str, &str); 4] = [
    ("api_key", "[key]"),
    ("order_no", "[order]"),
    ("proxy_user", "[user]"),
    ("proxy_password", "[password]"),
];

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match DRAWN.iter().find(|(drawn, _)| drawn == name) {
                    Some((_, shown)) => *value = json!(shown),
                    None => mask(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Ann, with money, a package, a sub-account and a listed address.
async fn furnished() -> (Api, String) {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 10_000).await;
    api.offer().await;
    api.sub_account(&key, "ann.one").await;
    api.post(
        &key,
        "/api/users/proxy/add-whitelist",
        json!({ "ip": "::ffff:203.0.113.7", "remark": "office" }),
    )
    .await
    .data();
    let purchase = "/api/users/traffic/packages/purchase?traffic_package_id=1&payment_type=wallet_only";
    api.get(&key, purchase).await.data();
    api.exit("out").await;
    (api, key)
}

/// Ann with money and an address that she wants to give back; another one is on order.
async fn with_statics() -> (Api, String) {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 10_000).await;
    api.stock("res", "us", 1..=1).await;
    let new = json!({ "proxy_type": "res", "count": 1, "discount": 10, "period": 30, "price": 500, "back_orders": true });
    let price = api.post(ADMIN, "/api/admin/static/prices", new).await.data()["id"].as_i64().unwrap();
    for _ in 0..2 {
        api.order(&key, "res", "us", price).await.data();
    }
    api.stock("res", "hk", 2..=3).await;
    let refund = json!({ "id": 1, "reason": "not needed" });
    api.post(&key, "/api/users/static/refund", refund).await.data();
    api.post(ADMIN, "/api/admin/static/stock/3/update", json!({ "status": "disabled" })).await.data();
    (api, key)
}

macro_rules! snapshots {
    (@key customer $ann:ident) => { $ann.as_str() };
    (@key operator $ann:ident) => { { drop($ann); ADMIN } };
    (@call $api:ident $key:ident get $path:literal) => { $api.get($key, $path).await };
    (@call $api:ident $key:ident post $path:literal $body:tt) => { $api.post($key, $path, json!($body)).await };
    ($($name:ident: $who:ident $method:ident $path:literal $({ $($body:tt)* })?;)*) => {
        snapshots! { @world furnished $($name: $who $method $path $({ $($body)* })?;)* }
    };
    (@world $world:ident $($name:ident: $who:ident $method:ident $path:literal $({ $($body:tt)* })?;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (api, ann) = $world().await;
            let key = snapshots!(@key $who ann);
            let answer = snapshots!(@call api key $method $path $({ $($body)* })?);
            insta::assert_json_snapshot!(stringify!($name), shown(answer));
        }
    )*};
}

snapshots! {
    me_info: customer get "/api/users/me/info";
    me_rotate_key: customer post "/api/users/me/rotate-key" {};
    wallet_info: customer get "/api/users/wallet/info";
    wallet_ledger: customer get "/api/users/wallet/ledger";
    subuser_create: customer post "/api/users/subuser/create" { "username": "ann.two", "password": "secret-2" };
    subuser_create_taken: customer post "/api/users/subuser/create" { "username": "ANN.ONE", "password": "secret-2" };
    subuser_list: customer get "/api/users/subuser/list";
    subuser_update: customer post "/api/users/subuser/update" { "id": 1, "status": "inactive" };
    subuser_get: customer get "/api/users/subuser/1";
    subuser_get_none: customer get "/api/users/subuser/99";
    subuser_delete: customer post "/api/users/subuser/delete" { "id": 1 };
    whitelist: customer get "/api/users/proxy/whitelist";
    whitelist_add: customer post "/api/users/proxy/add-whitelist" { "ip": "2001:DB8:0::1" };
    whitelist_add_private: customer post "/api/users/proxy/add-whitelist" { "ip": "10.0.0.1" };
    whitelist_add_listed: customer post "/api/users/proxy/add-whitelist" { "ip": "203.0.113.7" };
    whitelist_delete: customer get "/api/users/proxy/delete-whitelist?id=1";
    endpoints: customer get "/api/users/proxy/endpoints";
    refusals: customer get "/api/users/proxy/refusals";
    packages: customer get "/api/users/traffic/packages";
    packages_purchase: customer get "/api/users/traffic/packages/purchase?traffic_package_id=1&payment_type=wallet_only";
    packages_current: customer get "/api/users/traffic/packages/current";
    packages_strategy: customer post "/api/users/traffic/packages/strategy" {
        "proxy_type": "residential", "auto_rebuy": "active", "rebuy_package_id": 1
    };
    packages_strategy_incomplete: customer post "/api/users/traffic/packages/strategy" {
        "proxy_type": "residential", "auto_rebuy": "active"
    };
    packages_status: customer post "/api/users/traffic/packages/status" { "proxy_type": "residential", "status": "inactive" };
    trend: customer get "/api/users/traffic/trend?start_date=2026-02-28&end_date=2026-03-01";
    trend_of_subuser: customer get "/api/users/traffic/1/trend?start_date=2026-03-01&end_date=2026-03-01&proxy_type=mobile";
    admin_accounts: operator get "/api/admin/accounts";
    admin_account: operator get "/api/admin/accounts/1";
    admin_account_create: operator post "/api/admin/accounts" { "username": "bob", "email": "bob@example.com", "res_price": "1" };
    admin_account_update: operator post "/api/admin/accounts/1/update" { "status": "suspended" };
    admin_account_rotate_key: operator post "/api/admin/accounts/1/rotate-key" {};
    admin_recharge: operator post "/api/admin/accounts/1/recharge" { "amount": 1, "reference": "payment 2" };
    admin_recharge_again: operator post "/api/admin/accounts/1/recharge" { "amount": 10000, "reference": "opening" };
    admin_recharge_reused: operator post "/api/admin/accounts/1/recharge" { "amount": 9999, "reference": "opening" };
    admin_adjust: operator post "/api/admin/accounts/1/adjust" { "amount": -7000, "reason": "mistake" };
    admin_adjust_too_far: operator post "/api/admin/accounts/1/adjust" { "amount": -7001, "reason": "mistake" };
    admin_ledger: operator get "/api/admin/accounts/1/ledger?page_size=1";
    admin_packages: operator get "/api/admin/traffic-packages";
    admin_package_create: operator post "/api/admin/traffic-packages" {
        "proxy_type": "mobile", "traffic_gb": 1, "price": 1, "duration": 1, "plan_type": "custom", "account_ids": [1]
    };
    admin_package_update: operator post "/api/admin/traffic-packages/1/update" { "on_sale": false };
    admin_exits: operator get "/api/admin/exits";
    admin_exit_create: operator post "/api/admin/exits" { "name": "out", "proxy_type": "mobile", "kind": "direct", "country": "us" };
    admin_exit_update: operator post "/api/admin/exits/1/update" { "weight": 5 };
    admin_exit_delete: operator post "/api/admin/exits/1/delete" {};
    admin_overview: operator get "/api/admin/overview";
    admin_connections: operator get "/api/admin/connections";
    admin_connection_close: operator post "/api/admin/connections/7/close" {};
    admin_connection_close_none: operator post "/api/admin/connections/8/close" {};
    admin_audit_log: operator get "/api/admin/audit-log?account_id=1&page_size=3";
}

snapshots! {
    @world with_statics
    static_res_country: customer get "/api/users/static/res/country";
    static_dc_country: customer get "/api/users/static/dc/country?ip_type=ipv6";
    static_price_package: customer get "/api/users/static/price/package";
    static_order_create: customer post "/api/users/static/order/create" {
        "proxy_type": "res", "country": "hk", "protocol": "http", "price_package_id": 1, "payment_type": "wallet_only"
    };
    static_order_create_elsewhere: customer post "/api/users/static/order/create" {
        "proxy_type": "res", "country": "fr", "protocol": "http", "price_package_id": 1, "payment_type": "wallet_only"
    };
    static_order_quote: customer get
        "/api/users/static/order/quote?proxy_type=res&country=us&protocol=http&price_package_id=1";
    static_order_rebuy_refunding: customer post "/api/users/static/order/rebuy" {
        "proxy_type": "res", "proxy_ids": "1", "payment_type": "wallet_only"
    };
    static_order_rebuy_undelivered: customer post "/api/users/static/order/rebuy" {
        "proxy_type": "res", "proxy_ids": "2", "payment_type": "wallet_only"
    };
    static_order_rebuy_quote_twice: customer get "/api/users/static/order/rebuy/quote?proxy_type=res&proxy_ids=1,1";
    static_orders: customer get "/api/users/static/orders";
    static_res_list: customer post "/api/users/static/res/list" { "page": 1, "page_size": 10 };
    static_dc_list: customer post "/api/users/static/dc/list" {};
    static_auto_rebuy: customer post "/api/users/static/auto-rebuy" {
        "id": 1, "proxy_type": "res", "auto_rebuy": "active"
    };
    static_remark: customer post "/api/users/static/remark" { "id": 1, "proxy_type": "res", "remark": "office" };
    static_remark_none: customer post "/api/users/static/remark" { "id": 1, "proxy_type": "dc", "remark": "office" };
    static_usage: customer get "/api/users/static/1/usage?start_date=2026-03-01&end_date=2026-03-01";
    static_export_json: customer get "/api/users/static/export?format=json";
    static_export_template: customer get "/api/users/static/export?template=x";
    static_replace_refunding: customer post "/api/users/static/replace" { "id": 1, "reason": "blocked" };
    static_refund_undelivered: customer post "/api/users/static/refund" { "id": 2, "reason": "too late" };
    static_withdraw: customer post "/api/users/static/withdraw" { "id": 1 };
    static_withdraw_none: customer post "/api/users/static/withdraw" { "id": 2 };
    static_requests: customer get "/api/users/static/requests";
    admin_static_prices: operator get "/api/admin/static/prices";
    admin_static_price_create: operator post "/api/admin/static/prices" {
        "proxy_type": "ipv6", "count": "5", "discount": 0, "period": 7, "price": 9
    };
    admin_static_price_update: operator post "/api/admin/static/prices/1/update" { "on_sale": false };
    admin_static_price_update_fixed: operator post "/api/admin/static/prices/1/update" { "period": 31 };
    admin_static_stock: operator get "/api/admin/static/stock";
    admin_static_stock_import: operator post "/api/admin/static/stock" {
        "proxy_type": "dc", "country": "jp",
        "items": [{ "listen_ip": "192.0.2.1", "listen_port": 8080, "exit_ip": "192.0.2.2" }]
    };
    admin_static_stock_import_bad: operator post "/api/admin/static/stock" {
        "proxy_type": "dc", "country": "jp",
        "items": [{ "listen_ip": "198.51.100.1", "listen_port": 8080 }, { "listen_ip": "::1" }]
    };
    admin_static_stock_update: operator post "/api/admin/static/stock/2/update" { "status": "disabled" };
    admin_static_orders: operator get "/api/admin/static/orders?state=pending";
    admin_static_order_fulfil: operator post "/api/admin/static/orders/2/fulfil" {};
    admin_static_order_fulfil_done: operator post "/api/admin/static/orders/1/fulfil" {};
    admin_static_order_cancel: operator post "/api/admin/static/orders/2/cancel" { "note": "sorry" };
    admin_static_requests: operator get "/api/admin/static/requests?state=asked";
    admin_static_request_approve: operator post "/api/admin/static/requests/1/approve" { "note": "as you like" };
    admin_static_request_refuse: operator post "/api/admin/static/requests/1/refuse" {};
    admin_static_overview: operator get "/api/admin/overview";
    admin_jobs: operator get "/api/admin/jobs?page_size=2";
    admin_job_retry_none: operator post "/api/admin/jobs/1/retry" {};
    admin_job_discard_none: operator post "/api/admin/jobs/1/discard" {};
}

#[test]
fn every_call_belongs_to_a_group_that_is_explained() {
    let document = serde_json::to_value(tollgate_api::openapi()).unwrap();
    let groups: Vec<_> = document["tags"].as_array().unwrap().iter().map(|group| &group["name"]).collect();
    assert_eq!((groups.first(), groups.last()), (Some(&&json!("基础信息")), Some(&&json!("operator"))));
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            assert!(groups.contains(&&operation["tags"][0]), "{path}");
        }
    }
}

#[test]
fn openapi_document() {
    insta::assert_json_snapshot!("openapi", serde_json::to_value(tollgate_api::openapi()).unwrap());
}
