//! `tollgate admin packages`: the catalogue of traffic packages.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::PageArgs;
use super::call::{Call, object};

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

impl PackagesCommand {
    pub(super) fn call(&self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::Create(fields) => Call::post("/api/admin/traffic-packages", object(fields)?),
            Self::List(page) => Call::get(format!("/api/admin/traffic-packages?{}", page.query())),
            Self::Update { id, fields } => {
                Call::post(format!("/api/admin/traffic-packages/{id}/update"), object(fields)?)
            }
        })
    }
}
