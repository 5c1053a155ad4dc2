//! `tollgate admin`: the operator's calls from the shell, over the API of a running server. A file
//! for each noun.

mod accounts;
mod call;
mod client;
mod exits;
mod export;
mod packages;
mod print;
mod running;
mod statics;

use clap::{Args, Subcommand};

pub use accounts::{AccountFields, AccountsCommand};
pub use call::{Body, Call, escape};
pub use client::Client;
pub use exits::{ExitFields, ExitsCommand};
pub use export::export_stock;
pub use packages::{PackageFields, PackagesCommand};
pub use print::print;
pub use running::{ConnectionsCommand, JobsCommand};
pub use statics::{
    OrdersCommand, PriceFields, PricesCommand, RequestsCommand, StaticCommand, StockCommand, StockFilterArgs,
};

/// What the operator wants.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Customers and their money
    #[command(subcommand)]
    Accounts(AccountsCommand),
    /// The catalogue of traffic packages
    #[command(subcommand)]
    Packages(PackagesCommand),
    /// The ways out
    #[command(subcommand)]
    Exits(ExitsCommand),
    /// Static proxies: prices, stock, orders, requests
    #[command(
        subcommand,
        after_help = "\
Examples:
  tollgate admin static prices create --proxy-type res --count 3 --period 30 --price 500
  tollgate admin static import addresses.csv --proxy-type res --country us
  tollgate admin static stock list --state free --country us
  tollgate admin static stock export > addresses.csv
  tollgate admin static orders list --state pending
  tollgate admin static requests approve 4 --note 'sorry'"
    )]
    Static(StaticCommand),
    /// Totals: accounts, money, traffic, connections, exits, stock
    Overview,
    /// Live connections
    #[command(subcommand)]
    Connections(ConnectionsCommand),
    /// What is done by itself, and what of it has failed too often
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Who changed what, when; newest first
    AuditLog {
        /// Only what concerns this account
        #[arg(long, value_name = "ID")]
        account_id: Option<i64>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        page: PageArgs,
    },
}

impl AdminCommand {
    /// The call that does it; of several, the first.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn call(&self) -> anyhow::Result<Call> {
        match self {
            Self::Accounts(command) => command.call(),
            Self::Packages(command) => command.call(),
            Self::Exits(command) => command.call(),
            Self::Static(command) => command.call(),
            Self::Overview => Ok(Call::get("/api/admin/overview")),
            Self::Connections(command) => Ok(command.call()),
            Self::Jobs(command) => Ok(command.call()),
            Self::AuditLog { account_id, page } => {
                Ok(page.of("/api/admin/audit-log", &[("account_id", account_id.map(|id| id.to_string()))]))
            }
        }
    }

    /// What is to be written as a table, where that is wanted.
    pub const fn export(&self) -> Option<&StockFilterArgs> {
        match self {
            Self::Static(StaticCommand::Stock(StockCommand::Export(filter))) => Some(filter),
            _ => None,
        }
    }
}

/// Which page of a list.
#[derive(Debug, Args)]
pub struct PageArgs {
    /// From 1
    #[arg(long, default_value_t = 1)]
    pub page: u32,
    /// At most 1000
    #[arg(long, default_value_t = 100)]
    pub page_size: u32,
}

impl PageArgs {
    /// The largest page.
    pub const LARGEST: u32 = 1000;

    fn query(&self) -> String {
        format!("page={}&page_size={}", self.page, self.page_size)
    }

    /// This page of a list, of what matches.
    fn of(&self, path: &str, filters: &[(&str, Option<String>)]) -> Call {
        let filters = call::query(filters);
        let joint = if filters.is_empty() { "" } else { "&" };
        Call::get(format!("{path}?{}{joint}{filters}", self.query()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};

    fn call(line: &str) -> Call {
        let words = ["tollgate", "admin"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words).expect(line).command {
            Command::Admin(admin) => admin.command.call().expect(line),
            _ => panic!("{line}"),
        }
    }

    #[test]
    fn commands_are_calls_of_the_platform_page() {
        let post = |path: &str, body| Call::post(path, body);
        for (line, expected) in [
            (
                "accounts create bob --email b@x.org --res-price 200",
                post("/api/admin/accounts", json!({"username": "bob", "email": "b@x.org", "res_price": 200})),
            ),
            (
                "accounts list --username a&b --page 2",
                Call::get("/api/admin/accounts?page=2&page_size=100&username=a%26b"),
            ),
            ("accounts show 7", Call::get("/api/admin/accounts/7")),
            (
                "accounts update 7 --status suspended",
                post("/api/admin/accounts/7/update", json!({"status": "suspended"})),
            ),
            (
                "accounts recharge 7 --amount 500 --reference i1",
                post("/api/admin/accounts/7/recharge", json!({"amount": 500, "reference": "i1"})),
            ),
            (
                "accounts adjust 7 --amount -5 --reason typo",
                post("/api/admin/accounts/7/adjust", json!({"amount": -5, "reason": "typo"})),
            ),
            ("accounts rotate-key 7", post("/api/admin/accounts/7/rotate-key", json!({}))),
            (
                "packages create --proxy-type mobile --traffic-gb 5 --price 400 --duration 30 --account-ids 1,2",
                post(
                    "/api/admin/traffic-packages",
                    json!({"proxy_type": "mobile", "traffic_gb": 5, "price": 400, "duration": 30, "account_ids": [1, 2]}),
                ),
            ),
            (
                "packages update 3 --on-sale false",
                post("/api/admin/traffic-packages/3/update", json!({"on_sale": false})),
            ),
            (
                "exits create us-1 --proxy-type residential --kind direct --country us",
                post(
                    "/api/admin/exits",
                    json!({"name": "us-1", "proxy_type": "residential", "kind": "direct", "country": "us"}),
                ),
            ),
            ("exits delete 4", post("/api/admin/exits/4/delete", json!({}))),
            ("overview", Call::get("/api/admin/overview")),
            ("accounts ledger 7 --page-size 5", Call::get("/api/admin/accounts/7/ledger?page=1&page_size=5")),
            (
                "connections list --account-id 7",
                Call::get("/api/admin/connections?page=1&page_size=100&account_id=7"),
            ),
            ("connections close 9", post("/api/admin/connections/9/close", json!({}))),
            ("audit-log --account-id 7", Call::get("/api/admin/audit-log?page=1&page_size=100&account_id=7")),
            ("jobs list --state dead", Call::get("/api/admin/jobs?page=1&page_size=100&state=dead")),
            ("jobs retry 5", post("/api/admin/jobs/5/retry", json!({}))),
            ("jobs discard 5", post("/api/admin/jobs/5/discard", json!({}))),
        ] {
            assert_eq!(call(line), expected, "{line}");
        }
    }

    #[test]
    fn commands_about_static_proxies_are_calls_of_the_platform_page() {
        let post = |path: &str, body| Call::post(path, body);
        for (line, expected) in [
            (
                "static prices create --proxy-type res --count 3 --period 30 --price 500",
                post(
                    "/api/admin/static/prices",
                    json!({"proxy_type": "res", "count": 3, "period": 30, "price": 500, "discount": 0}),
                ),
            ),
            ("static prices list --page 2", Call::get("/api/admin/static/prices?page=2&page_size=100")),
            (
                "static prices update 3 --on-sale false --back-orders true",
                post("/api/admin/static/prices/3/update", json!({"on_sale": false, "back_orders": true})),
            ),
            (
                "static stock list --state free --country us --listen-ip 2001:db8::1",
                Call::get(
                    "/api/admin/static/stock?page=1&page_size=100&state=free&country=us&listen_ip=2001%3Adb8%3A%3A1",
                ),
            ),
            (
                "static stock export --proxy-type ipv6",
                Call::get("/api/admin/static/stock?page=1&page_size=1000&proxy_type=ipv6"),
            ),
            (
                "static stock update 7 --status disabled --exit-ip 192.0.2.9",
                post(
                    "/api/admin/static/stock/7/update",
                    json!({"status": "disabled", "exit_ip": "192.0.2.9"}),
                ),
            ),
            (
                "static orders list --account-id 1 --state pending",
                Call::get("/api/admin/static/orders?page=1&page_size=100&account_id=1&state=pending"),
            ),
            ("static orders fulfil 2", post("/api/admin/static/orders/2/fulfil", json!({}))),
            (
                "static orders fulfil 2 --stock-ids 4,5",
                post("/api/admin/static/orders/2/fulfil", json!({"stock_ids": [4, 5]})),
            ),
            (
                "static orders cancel 2 --note late",
                post("/api/admin/static/orders/2/cancel", json!({"note": "late"})),
            ),
            (
                "static requests list --kind refund --state asked",
                Call::get("/api/admin/static/requests?page=1&page_size=100&kind=refund&state=asked"),
            ),
            ("static requests approve 6", post("/api/admin/static/requests/6/approve", json!({}))),
            (
                "static requests refuse 6 --note no",
                post("/api/admin/static/requests/6/refuse", json!({"note": "no"})),
            ),
        ] {
            assert_eq!(call(line), expected, "{line}");
        }
    }

    #[test]
    fn a_table_comes_from_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "listen_ip,listen_port\n192.0.2.7,1\n").expect("written");
        let made = call(&format!("static import {} --proxy-type res --country us", file.path().display()));
        let table = "listen_ip,listen_port\n192.0.2.7,1\n".to_owned();
        assert_eq!(made, Call::import("/api/admin/static/stock?proxy_type=res&country=us", table));
    }

    #[test]
    fn a_password_comes_from_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "geheim\n").expect("written");
        let made = call(&format!("exits update 4 --password-file {}", file.path().display()));
        assert_eq!(made.body, Some(Body::Json(json!({"password": "geheim"}))));
    }
}
