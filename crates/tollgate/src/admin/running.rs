//! `tollgate admin jobs`, `connections` and `audit-log`: what goes on.

use clap::Subcommand;
use serde_json::json;

use super::PageArgs;
use super::call::Call;

/// `tollgate admin jobs`
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs by when they are due
    List {
        /// waiting, claimed or dead (those wait for you)
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        page: PageArgs,
    },
    /// Have a dead job tried again
    Retry {
        /// The job's id
        id: i64,
    },
    /// Forget a dead job
    Discard {
        /// The job's id
        id: i64,
    },
}

/// `tollgate admin connections`
#[derive(Debug, Subcommand)]
pub enum ConnectionsCommand {
    /// List live connections, newest first
    List {
        /// Only this account's
        #[arg(long, value_name = "ID")]
        account_id: Option<i64>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a group of flags")]
        page: PageArgs,
    },
    /// Cut a connection
    Close {
        /// The connection's id
        id: i64,
    },
}

impl JobsCommand {
    pub(super) fn call(&self) -> Call {
        match self {
            Self::List { state, page } => page.of("/api/admin/jobs", &[("state", state.clone())]),
            Self::Retry { id } => Call::post(format!("/api/admin/jobs/{id}/retry"), json!({})),
            Self::Discard { id } => Call::post(format!("/api/admin/jobs/{id}/discard"), json!({})),
        }
    }
}

impl ConnectionsCommand {
    pub(super) fn call(&self) -> Call {
        match self {
            Self::List { account_id, page } => {
                page.of("/api/admin/connections", &[("account_id", account_id.map(|id| id.to_string()))])
            }
            Self::Close { id } => Call::post(format!("/api/admin/connections/{id}/close"), json!({})),
        }
    }
}
