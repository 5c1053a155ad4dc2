//! The part of the matrix that is about static proxies and jobs.

use serde_json::{Value, json};
use tollgate_store as store;
use tollgate_types::Time;

use super::For::{Customers, Operator, Owner};
use super::Row;
use crate::common::{ADMIN, Api};

/// What the calls are made about: proxies, orders and requests are account A's.
#[derive(Default)]
pub(super) struct Statics {
    price: i64,
    /// A live one, and one that a refund can be asked for.
    proxy: i64,
    other_proxy: i64,
    /// Free.
    stock: i64,
    /// Pending, each.
    to_deliver: i64,
    to_cancel: i64,
    /// Asked, each.
    to_approve: i64,
    to_refuse: i64,
    /// Dead, each.
    to_retry: i64,
    to_discard: i64,
}

impl Statics {
    /// Account A with four residential proxies, two of them being refunded, and two pending orders.
    pub(super) async fn furnished(api: &Api, key: &str) -> Self {
        api.stock("res", "us", 1..=9).await;
        let price = api.price("res", 1, 10).await;
        for _ in 0..4 {
            api.order(key, "res", "us", price).await.data();
        }
        let proxies: Vec<_> =
            api.proxies(key, "res").await.iter().map(|proxy| proxy["id"].as_i64().unwrap()).collect();
        let mut requests = Vec::new();
        for id in &proxies[2..] {
            let ask = json!({ "id": id, "reason": "enough" });
            let asked = api.post(key, "/api/users/static/refund", ask).await;
            requests.push(asked.data()["request_id"].as_i64().unwrap());
        }
        let stock = api.get(ADMIN, "/api/admin/static/stock?state=free&page_size=1").await;
        let orders = Self::pending(api, key).await;
        let jobs = Self::dead_jobs(api).await;
        Self {
            price,
            proxy: proxies[0],
            other_proxy: proxies[1],
            stock: stock.data()["records"][0]["id"].as_i64().unwrap(),
            to_deliver: orders[0],
            to_cancel: orders[1],
            to_approve: requests[0],
            to_refuse: requests[1],
            to_retry: jobs[0],
            to_discard: jobs[1],
        }
    }

    /// Two orders that were placed while stock was short, and stock for one of them.
    async fn pending(api: &Api, key: &str) -> Vec<i64> {
        api.stock("dc", "de", 20..=20).await;
        let new = json!({ "proxy_type": "dc", "count": 2, "discount": 0, "period": 1, "price": 1, "back_orders": true });
        let made = api.post(ADMIN, "/api/admin/static/prices", new).await;
        for _ in 0..2 {
            api.order(key, "dc", "de", made.data()["id"].as_i64().unwrap()).await.data();
        }
        api.stock("dc", "de", 21..=21).await;
        let orders = api.get(ADMIN, "/api/admin/static/orders?state=pending").await;
        orders.data()["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["id"].as_i64().unwrap())
            .collect()
    }

    /// Two jobs that have failed too often.
    async fn dead_jobs(api: &Api) -> Vec<i64> {
        let now = Time::from_micros(1);
        api.core
            .db()
            .write(move |tx| {
                for subject in ["-1", "-2"] {
                    store::jobs::set(tx, "stock.release", subject, now, now)?;
                }
                for job in store::jobs::claim(tx, false, now, now, 2)? {
                    store::jobs::fail(tx, job.id, job.claim, None, "it broke", now)?;
                }
                Ok::<_, store::Error>(())
            })
            .await
            .unwrap();
        let dead = api.get(ADMIN, "/api/admin/jobs?state=dead").await;
        dead.data()["records"].as_array().unwrap().iter().map(|job| job["id"].as_i64().unwrap()).collect()
    }

    /// The id in a path of theirs.
    pub(super) fn id_in(&self, template: &str) -> Option<i64> {
        Some(match template {
            "/api/users/static/{id}/usage" => self.proxy,
            "/api/admin/static/prices/{id}/update" => self.price,
            "/api/admin/static/stock/{id}/update" => self.stock,
            "/api/admin/static/orders/{id}/fulfil" => self.to_deliver,
            "/api/admin/static/orders/{id}/cancel" => self.to_cancel,
            "/api/admin/static/requests/{id}/approve" => self.to_approve,
            "/api/admin/static/requests/{id}/refuse" => self.to_refuse,
            "/api/admin/jobs/{id}/retry" => self.to_retry,
            "/api/admin/jobs/{id}/discard" => self.to_discard,
            _ => return None,
        })
    }

    /// Every route, with a body that makes sense; in an order in which their owner can make them all.
    pub(super) fn rows(&self) -> Vec<Row> {
        let none = || Value::Null;
        let of = |id: i64, more: Value| {
            let mut body = json!({ "id": id });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let order = json!({ "proxy_type": "res", "country": "us", "protocol": "http", "price_package_id": self.price,
                            "payment_type": "wallet_only" });
        let rebuy = json!({ "proxy_type": "res", "proxy_ids": self.proxy.to_string(), "payment_type": "wallet_only" });
        let dates = json!({ "start_date": "2026-03-01", "end_date": "2026-03-01" });
        let reason = json!({ "reason": "blocked" });
        let item = json!([{ "listen_ip": "192.0.2.1", "listen_port": 1 }]);
        let price = json!({ "proxy_type": "res", "count": 1, "discount": 0, "period": 1, "price": 1 });
        vec![
            ("GET", "/api/users/static/res/country", Customers, none()),
            ("GET", "/api/users/static/dc/country", Customers, none()),
            ("GET", "/api/users/static/price/package", Customers, none()),
            ("GET", "/api/users/static/order/quote", Customers, order.clone()),
            ("POST", "/api/users/static/order/create", Customers, order),
            ("GET", "/api/users/static/order/rebuy/quote", Owner, rebuy.clone()),
            ("POST", "/api/users/static/order/rebuy", Owner, rebuy),
            ("POST", "/api/users/static/res/list", Customers, none()),
            ("POST", "/api/users/static/dc/list", Customers, none()),
            (
                "POST",
                "/api/users/static/auto-rebuy",
                Owner,
                of(self.proxy, json!({ "proxy_type": "res", "auto_rebuy": "active" })),
            ),
            (
                "POST",
                "/api/users/static/remark",
                Owner,
                of(self.proxy, json!({ "proxy_type": "res", "remark": "changed" })),
            ),
            ("GET", "/api/users/static/{id}/usage", Owner, dates),
            ("GET", "/api/users/static/orders", Customers, none()),
            ("GET", "/api/users/static/export", Customers, json!({ "format": "json" })),
            ("POST", "/api/users/static/replace", Owner, of(self.proxy, reason.clone())),
            ("POST", "/api/users/static/refund", Owner, of(self.other_proxy, reason)),
            ("POST", "/api/users/static/withdraw", Owner, json!({ "id": self.other_proxy })),
            ("GET", "/api/users/static/requests", Customers, none()),
            ("GET", "/api/admin/static/prices", Operator, none()),
            ("POST", "/api/admin/static/prices", Operator, price),
            ("POST", "/api/admin/static/prices/{id}/update", Operator, json!({ "price": 2 })),
            ("GET", "/api/admin/static/stock", Operator, none()),
            (
                "POST",
                "/api/admin/static/stock",
                Operator,
                json!({ "proxy_type": "res", "country": "us", "items": item }),
            ),
            ("POST", "/api/admin/static/stock/{id}/update", Operator, json!({ "status": "active" })),
            ("GET", "/api/admin/static/orders", Operator, none()),
            ("POST", "/api/admin/static/orders/{id}/fulfil", Operator, json!({})),
            ("POST", "/api/admin/static/orders/{id}/cancel", Operator, json!({})),
            ("GET", "/api/admin/static/requests", Operator, none()),
            ("POST", "/api/admin/static/requests/{id}/approve", Operator, json!({})),
            ("POST", "/api/admin/static/requests/{id}/refuse", Operator, json!({})),
            ("GET", "/api/admin/jobs", Operator, none()),
            ("POST", "/api/admin/jobs/{id}/retry", Operator, none()),
            ("POST", "/api/admin/jobs/{id}/discard", Operator, none()),
        ]
    }
}
