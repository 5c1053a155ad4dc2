//! `tollgate admin`: the operator's calls from the shell, over the API of a running server.

mod client;
mod print;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

pub use client::Client;
pub use print::print;

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
    /// Totals: accounts, money, traffic, connections, exits
    Overview,
}

/// `tollgate admin accounts`
#[derive(Debug, Subcommand)]
pub enum AccountsCommand {
    /// Open an account; prints its id and API key
    Create {
        /// User name
        username: String,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        fields: AccountFields,
        /// File with the account's password, - for standard input; none where left out
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List accounts, newest first
    List {
        /// Only those whose user name holds this
        #[arg(long)]
        username: Option<String>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        page: PageArgs,
    },
    /// Show one account with its wallet and usage
    Show {
        /// The account's id
        id: i64,
    },
    /// Change what is given; suspending cuts live connections
    Update {
        /// The account's id
        id: i64,
        /// active or suspended
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        fields: AccountFields,
    },
    /// Credit a wallet; the same reference twice credits once
    Recharge {
        /// The account's id
        id: i64,
        /// Cents, more than zero
        #[arg(long)]
        amount: i64,
        /// What the money stands for, an invoice number for one
        #[arg(long)]
        reference: String,
    },
    /// Correct a wallet; may not make it negative
    Adjust {
        /// The account's id
        id: i64,
        /// Cents, with a sign
        #[arg(long, allow_negative_numbers = true)]
        amount: i64,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Replace the API key; the old one stops working at once
    RotateKey {
        /// The account's id
        id: i64,
    },
}

/// Fields of an account.
#[derive(Debug, Args, Serialize)]
pub struct AccountFields {
    /// Mail address
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Cents per GB of residential traffic from the wallet
    #[arg(long, value_name = "CENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_price: Option<i64>,
    /// Cents per GB of datacenter traffic from the wallet
    #[arg(long, value_name = "CENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dc_price: Option<i64>,
    /// Cents per GB of mobile traffic from the wallet
    #[arg(long, value_name = "CENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile_price: Option<i64>,
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

/// `tollgate admin packages`
#[derive(Debug, Subcommand)]
pub enum PackagesCommand {
    /// Put a package on sale; --proxy-type, --traffic-gb, --price and --duration are required
    Create(PackageFields),
    /// List the catalogue
    List(PageArgs),
    /// Change what is given
    Update {
        /// The package's id
        id: i64,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        fields: PackageFields,
    },
}

/// Fields of a package on sale.
#[derive(Debug, Args, Serialize)]
pub struct PackageFields {
    /// residential, datacenter or mobile
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_type: Option<String>,
    /// Size in GB of 2^30 bytes
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_gb: Option<i64>,
    /// Cents per GB
    #[arg(long, value_name = "CENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<i64>,
    /// Days
    #[arg(long, value_name = "DAYS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
    /// personal, enterprise or custom
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_type: Option<String>,
    /// Whether it is marked as hot
    #[arg(long, value_name = "true|false")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_hot: Option<bool>,
    /// GB that come free on top
    #[arg(long, value_name = "GB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_add_traffic: Option<i64>,
    /// A sentence about it
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_desc: Option<String>,
    /// The accounts that see a custom package
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_ids: Option<Vec<i64>>,
    /// Whether it can be bought
    #[arg(long, value_name = "true|false")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_sale: Option<bool>,
}

/// `tollgate admin exits`
#[derive(Debug, Subcommand)]
pub enum ExitsCommand {
    /// Add a way out; --proxy-type, --kind and --country are required
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        fields: ExitFields,
    },
    /// List the ways out with health, latency and load
    List(PageArgs),
    /// Change what is given
    Update {
        /// The exit's id
        id: i64,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        fields: ExitFields,
    },
    /// Remove a way out
    Delete {
        /// The exit's id
        id: i64,
    },
}

/// Fields of an exit.
#[derive(Debug, Args, Serialize)]
pub struct ExitFields {
    /// residential, datacenter or mobile
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_type: Option<String>,
    /// direct, http or socks5
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// HOST:PORT of the proxy behind it (http, socks5)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What that proxy wants to hear; may hold {country} {state} {city} {session}
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// File with the password for it, - for standard input
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub password_file: Option<PathBuf>,
    /// Local address to leave from (direct)
    #[arg(long, value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_ip: Option<String>,
    /// Two letters
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// State or region
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// City
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Autonomous system
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Its share among those that match
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Connections at once; 0 = no limit
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// active or inactive
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// A call of the API: method, path with query, body.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// From `/api/` on, query included.
    pub path: String,
    /// A JSON object.
    pub body: Option<Value>,
}

impl Call {
    /// Asks.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: None }
    }

    /// Changes.
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: "POST", path: path.into(), body: Some(body) }
    }
}

impl AdminCommand {
    /// The call that does it.
    ///
    /// # Errors
    /// A password file that cannot be read.
    pub fn call(&self) -> anyhow::Result<Call> {
        match self {
            Self::Accounts(command) => command.call(),
            Self::Packages(command) => command.call(),
            Self::Exits(command) => command.call(),
            Self::Overview => Ok(Call::get("/api/admin/overview")),
        }
    }
}

impl AccountsCommand {
    fn call(&self) -> anyhow::Result<Call> {
        let of = |id: &i64, what: &str| format!("/api/admin/accounts/{id}{what}");
        Ok(match self {
            Self::Create { username, fields, password_file } => {
                let mut body = object(fields)?;
                put(&mut body, "username", username.as_str());
                if let Some(file) = password_file {
                    put(&mut body, "password", read_password(file)?);
                }
                Call::post("/api/admin/accounts", body)
            }
            Self::List { username, page } => {
                let name =
                    username.as_ref().map(|name| format!("&username={}", escape(name))).unwrap_or_default();
                Call::get(format!("/api/admin/accounts?{}{name}", page.query()))
            }
            Self::Show { id } => Call::get(of(id, "")),
            Self::Update { id, status, fields } => {
                let mut body = object(fields)?;
                if let Some(status) = status {
                    put(&mut body, "status", status.as_str());
                }
                Call::post(of(id, "/update"), body)
            }
            Self::Recharge { id, amount, reference } => Call::post(
                of(id, "/recharge"),
                serde_json::json!({ "amount": amount, "reference": reference }),
            ),
            Self::Adjust { id, amount, reason } => {
                Call::post(of(id, "/adjust"), serde_json::json!({ "amount": amount, "reason": reason }))
            }
            Self::RotateKey { id } => Call::post(of(id, "/rotate-key"), serde_json::json!({})),
        })
    }
}

impl PackagesCommand {
    fn call(&self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::Create(fields) => Call::post("/api/admin/traffic-packages", object(fields)?),
            Self::List(page) => Call::get(format!("/api/admin/traffic-packages?{}", page.query())),
            Self::Update { id, fields } => {
                Call::post(format!("/api/admin/traffic-packages/{id}/update"), object(fields)?)
            }
        })
    }
}

impl ExitsCommand {
    fn call(&self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::Create { name, fields } => {
                let mut body = fields.body()?;
                put(&mut body, "name", name.as_str());
                Call::post("/api/admin/exits", body)
            }
            Self::List(page) => Call::get(format!("/api/admin/exits?{}", page.query())),
            Self::Update { id, fields } => {
                Call::post(format!("/api/admin/exits/{id}/update"), fields.body()?)
            }
            Self::Delete { id } => Call::post(format!("/api/admin/exits/{id}/delete"), serde_json::json!({})),
        })
    }
}

impl ExitFields {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = object(self)?;
        if let Some(file) = &self.password_file {
            put(&mut body, "password", read_password(file)?);
        }
        Ok(body)
    }
}

impl PageArgs {
    fn query(&self) -> String {
        format!("page={}&page_size={}", self.page, self.page_size)
    }
}

fn object(fields: &impl Serialize) -> anyhow::Result<Value> {
    serde_json::to_value(fields).context("the flags cannot be written as JSON")
}

fn put(body: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(fields) = body.as_object_mut() {
        fields.insert(name.to_owned(), value.into());
    }
}

/// The first line of a file: passwords do not belong on a command line, where every process sees
/// them.
fn read_password(file: &std::path::Path) -> anyhow::Result<String> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("the password cannot be read")?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?
    };
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A text as it may stand in a query.
pub fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped += &format!("%{byte:02X}"),
        }
        escaped
    })
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
        ] {
            assert_eq!(call(line), expected, "{line}");
        }
    }

    #[test]
    fn a_password_comes_from_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "geheim\n").expect("written");
        let made = call(&format!("exits update 4 --password-file {}", file.path().display()));
        assert_eq!(made.body, Some(json!({"password": "geheim"})));
    }
}
