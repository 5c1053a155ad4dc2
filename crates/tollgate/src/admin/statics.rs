//! `tollgate admin static`: prices, stock, orders and requests of static proxies.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::PageArgs;
use super::call::{Call, object, put, query};

/// `tollgate admin static`
#[derive(Debug, Subcommand)]
pub enum StaticCommand {
    /// The price list
    #[command(subcommand)]
    Prices(PricesCommand),
    /// Import addresses from a CSV file, all of them or none
    #[command(after_help = "\
The file has the header listen_ip,listen_port,exit_ip (exit_ip may be left out or empty: it is the listen_ip then);
columns of other names are passed over, so that what `stock export` writes can be imported elsewhere.
Every line that is wrong is named.

Examples:
  tollgate admin static import addresses.csv --proxy-type res --country us
  printf 'listen_ip,listen_port\\n203.0.113.7,8080\\n' | tollgate admin static import - --proxy-type dc --country de")]
    Import {
        /// The file, - for standard input
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        /// res, dc or ipv6
        #[arg(long)]
        proxy_type: String,
        /// Two letters
        #[arg(long)]
        country: String,
    },
    /// The addresses that can be leased out
    #[command(subcommand)]
    Stock(StockCommand),
    /// What customers ordered, and delivering back-orders
    #[command(subcommand)]
    Orders(OrdersCommand),
    /// Replacements and refunds that customers ask for
    #[command(subcommand)]
    Requests(RequestsCommand),
}

/// `tollgate admin static prices`
#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// Put an item on the price list; --proxy-type, --count, --period and --price are required
    #[command(after_help = "\
Example: three residential addresses for 30 days at 5.00 each, 10 per cent off
  tollgate admin static prices create --proxy-type res --count 3 --period 30 --price 500 --discount 10")]
    Create(PriceFields),
    /// List the price list
    List(PageArgs),
    /// Change what is given; type, count and period are for good
    Update {
        /// The item's id
        id: i64,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        fields: PriceFields,
    },
}

/// Fields of an item of the price list.
#[derive(Debug, Args, Serialize)]
pub struct PriceFields {
    /// res, dc or ipv6
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_type: Option<String>,
    /// Addresses in an order
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Days
    #[arg(long, value_name = "DAYS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<i64>,
    /// Cents for one address for the period
    #[arg(long, value_name = "CENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<i64>,
    /// Per cent off an order; none where left out
    #[arg(long, value_name = "PERCENT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount: Option<i64>,
    /// Whether it may be ordered while stock is short
    #[arg(long, value_name = "true|false")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_orders: Option<bool>,
    /// Whether it can be ordered
    #[arg(long, value_name = "true|false")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_sale: Option<bool>,
}

/// `tollgate admin static stock`
#[derive(Debug, Subcommand)]
pub enum StockCommand {
    /// List addresses, newest first
    List {
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        filter: StockFilterArgs,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        page: PageArgs,
    },
    /// Write addresses as CSV to standard output, all that match
    #[command(after_help = "\
Example:
  tollgate admin static stock export --proxy-type res --country us > addresses.csv")]
    Export(StockFilterArgs),
    /// Take an address out of service or back into it, or have it leave from another one
    #[command(after_help = "\
Example: whoever holds address 7 gets another one by itself
  tollgate admin static stock update 7 --status disabled")]
    Update {
        /// The stock item's id
        id: i64,
        /// active or disabled
        #[arg(long)]
        status: Option<String>,
        /// The address that it leaves from; empty = the one that it is reached at
        #[arg(long, value_name = "IP")]
        exit_ip: Option<String>,
    },
}

/// Which addresses.
#[derive(Debug, Args)]
pub struct StockFilterArgs {
    /// free, leased, grace or disabled
    #[arg(long)]
    pub state: Option<String>,
    /// res, dc or ipv6
    #[arg(long)]
    pub proxy_type: Option<String>,
    /// Two letters
    #[arg(long)]
    pub country: Option<String>,
    /// Exactly this address
    #[arg(long, value_name = "IP")]
    pub listen_ip: Option<String>,
}

/// `tollgate admin static orders`
#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// List orders, newest first
    List {
        /// Only this account's
        #[arg(long, value_name = "ID")]
        account_id: Option<i64>,
        /// pending, completed or cancelled
        #[arg(long)]
        state: Option<String>,
        /// Exactly this one
        #[arg(long)]
        order_no: Option<String>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        page: PageArgs,
    },
    /// Deliver a pending order; the time that was paid for begins now
    #[command(after_help = "\
Examples:
  tollgate admin static orders fulfil 12
  tollgate admin static orders fulfil 12 --stock-ids 101,102,103")]
    Fulfil {
        /// The order's id
        id: i64,
        /// From these addresses; from any that are free where left out
        #[arg(long, value_delimiter = ',', value_name = "ID,…")]
        stock_ids: Vec<i64>,
    },
    /// Cancel a pending order and pay its price back
    Cancel {
        /// The order's id
        id: i64,
        /// A sentence for the customer
        #[arg(long)]
        note: Option<String>,
    },
}

/// `tollgate admin static requests`
#[derive(Debug, Subcommand)]
pub enum RequestsCommand {
    /// List replacements and refunds, newest first
    List {
        /// Only this account's
        #[arg(long, value_name = "ID")]
        account_id: Option<i64>,
        /// replace or refund
        #[arg(long)]
        kind: Option<String>,
        /// asked (they wait for you), going, done, refused or dropped
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        page: PageArgs,
    },
    /// Approve: a refund is paid back and its proxy ends, a replacement is done in a moment
    Approve {
        /// The request's id
        id: i64,
        /// A sentence for the customer
        #[arg(long)]
        note: Option<String>,
    },
    /// Refuse: the proxy goes on as it is, and the customer reads the note
    Refuse {
        /// The request's id
        id: i64,
        /// A sentence for the customer
        #[arg(long)]
        note: Option<String>,
    },
}

impl StaticCommand {
    pub(super) fn call(&self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::Prices(command) => command.call()?,
            Self::Import { file, proxy_type, country } => {
                let of = [("proxy_type", Some(proxy_type.clone())), ("country", Some(country.clone()))];
                Call::import(format!("/api/admin/static/stock?{}", query(&of)), read_table(file)?)
            }
            Self::Stock(command) => command.call(),
            Self::Orders(command) => command.call(),
            Self::Requests(command) => command.call(),
        })
    }
}

impl PricesCommand {
    fn call(&self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::Create(fields) => {
                let mut body = object(fields)?;
                if fields.discount.is_none() {
                    put(&mut body, "discount", 0);
                }
                Call::post("/api/admin/static/prices", body)
            }
            Self::List(page) => Call::get(format!("/api/admin/static/prices?{}", page.query())),
            Self::Update { id, fields } => {
                Call::post(format!("/api/admin/static/prices/{id}/update"), object(fields)?)
            }
        })
    }
}

impl StockCommand {
    fn call(&self) -> Call {
        match self {
            Self::List { filter, page } => filter.page(page),
            Self::Export(filter) => filter.page(&PageArgs { page: 1, page_size: PageArgs::LARGEST }),
            Self::Update { id, status, exit_ip } => {
                let mut body = json!({});
                for (name, value) in [("status", status), ("exit_ip", exit_ip)] {
                    if let Some(value) = value {
                        put(&mut body, name, value.as_str());
                    }
                }
                Call::post(format!("/api/admin/static/stock/{id}/update"), body)
            }
        }
    }
}

impl StockFilterArgs {
    /// One page of the addresses that match.
    pub(super) fn page(&self, page: &PageArgs) -> Call {
        let Self { state, proxy_type, country, listen_ip } = self;
        let given =
            [("state", state), ("proxy_type", proxy_type), ("country", country), ("listen_ip", listen_ip)];
        page.of("/api/admin/static/stock", &given.map(|(name, value)| (name, value.clone())))
    }
}

impl OrdersCommand {
    fn call(&self) -> Call {
        match self {
            Self::List { account_id, state, order_no, page } => {
                let account_id = account_id.map(|id| id.to_string());
                let given =
                    [("account_id", account_id), ("state", state.clone()), ("order_no", order_no.clone())];
                page.of("/api/admin/static/orders", &given)
            }
            Self::Fulfil { id, stock_ids } => {
                let body = if stock_ids.is_empty() { json!({}) } else { json!({ "stock_ids": stock_ids }) };
                Call::post(format!("/api/admin/static/orders/{id}/fulfil"), body)
            }
            Self::Cancel { id, note } => {
                Call::post(format!("/api/admin/static/orders/{id}/cancel"), noted(note))
            }
        }
    }
}

impl RequestsCommand {
    fn call(&self) -> Call {
        let of = |id: &i64, what: &str| format!("/api/admin/static/requests/{id}/{what}");
        match self {
            Self::List { account_id, kind, state, page } => {
                let account_id = account_id.map(|id| id.to_string());
                let given = [("account_id", account_id), ("kind", kind.clone()), ("state", state.clone())];
                page.of("/api/admin/static/requests", &given)
            }
            Self::Approve { id, note } => Call::post(of(id, "approve"), noted(note)),
            Self::Refuse { id, note } => Call::post(of(id, "refuse"), noted(note)),
        }
    }
}

fn noted(note: &Option<String>) -> serde_json::Value {
    note.as_ref().map_or(json!({}), |note| json!({ "note": note }))
}

fn read_table(file: &std::path::Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        return std::io::read_to_string(std::io::stdin()).context("the table cannot be read");
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}
