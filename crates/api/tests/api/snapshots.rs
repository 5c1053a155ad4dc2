//! One snapshot of each call, with the values that it answers; and the OpenAPI document, locked.

use serde_json::{Value, json};

use crate::common::{ADMIN, Answer, Api};

/// Status and body, without what differs from run to run.
fn shown(answer: Answer) -> Value {
    let mut shown = json!({ "status": answer.status.as_u16(), "body": answer.body });
    if let Some(key) = shown.pointer_mut("/body/data/api_key") {
        *key = json!("[key]");
    }
    shown
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

macro_rules! snapshots {
    (@key customer $ann:ident) => { $ann.as_str() };
    (@key operator $ann:ident) => { { drop($ann); ADMIN } };
    (@call $api:ident $key:ident get $path:literal) => { $api.get($key, $path).await };
    (@call $api:ident $key:ident post $path:literal $body:tt) => { $api.post($key, $path, json!($body)).await };
    ($($name:ident: $who:ident $method:ident $path:literal $({ $($body:tt)* })?;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (api, ann) = furnished().await;
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

#[test]
fn openapi_document() {
    insta::assert_json_snapshot!("openapi", serde_json::to_value(tollgate_api::openapi()).unwrap());
}
