//! `tollgate admin exits`: the ways out.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::PageArgs;
use super::call::{Call, object, put, read_password};

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
    /// List the ways out with health, latency, failures and load
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

impl ExitsCommand {
    pub(super) fn call(&self) -> anyhow::Result<Call> {
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
