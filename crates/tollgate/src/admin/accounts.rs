//! `tollgate admin accounts`: customers and their money.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::PageArgs;
use super::call::{Call, escape, object, put, read_password};

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
    /// List what moved the wallet's money, newest first
    Ledger {
        /// The account's id
        id: i64,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        page: PageArgs,
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

impl AccountsCommand {
    pub(super) fn call(&self) -> anyhow::Result<Call> {
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
            Self::Ledger { id, page } => Call::get(of(id, &format!("/ledger?{}", page.query()))),
            Self::RotateKey { id } => Call::post(of(id, "/rotate-key"), serde_json::json!({})),
        })
    }
}
