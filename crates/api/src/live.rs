//! What only running gateways know: open connections, and how the exits are doing. The binary plugs
//! it in.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tollgate_types::{AccountId, Bytes, ConnectionId, ExitId, ProxyType, StaticProxyId, SubAccountId, Time};
use utoipa::ToSchema;

/// The live view of the gateways.
pub trait Live: Send + Sync {
    /// Every open connection.
    fn connections(&self) -> Vec<LiveConnection>;

    /// Cuts a connection. Says whether there was one of that id.
    fn close(&self, id: i64) -> bool;

    /// How the exits are doing; one that no gateway has used yet may be missing.
    fn exits(&self) -> Vec<ExitStatus>;
}

/// One open connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveConnection {
    /// Its id, to be named when it is to be closed.
    pub id: ConnectionId,
    /// Whose it is.
    pub account: AccountId,
    /// The sub-account that opened it; `None` where its address admitted it, and for static proxies.
    pub sub_account: Option<SubAccountId>,
    /// The static proxy that it goes through, where it is one.
    pub static_proxy: Option<StaticProxyId>,
    /// The user name of the sub-account or the static proxy; empty where its address admitted it.
    pub username: String,
    /// Where it comes from.
    pub client: SocketAddr,
    /// Where it goes to: `host:port`, as it was asked for.
    pub target: String,
    /// Through which exit; 0 where it leaves from a static proxy's own address.
    pub exit: ExitId,
    /// Of which type of traffic; of a static proxy, the type that its addresses are like.
    pub proxy_type: ProxyType,
    /// Since when.
    pub since: Time,
    /// Bytes from the client so far.
    pub sent: Bytes,
    /// Bytes to the client so far.
    pub received: Bytes,
}

/// How an exit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// Which.
    pub id: ExitId,
    /// Whether connections are sent through it.
    pub healthy: bool,
    /// How long connecting through it has been taking; `None` where nothing was measured.
    pub latency: Option<Duration>,
    /// How many connections it carries now.
    pub connections: u32,
    /// Of the attempts to connect within about the last minute, those that failed by the exit itself,
    /// in per cent; `None` without attempts.
    pub failure_percent: Option<u32>,
    /// What went wrong last with the exit itself, however long ago.
    pub last_error: Option<ExitError>,
    /// Why it is left out, and since when; `None` while it is not.
    pub left_out: Option<(LeftOutReason, Time)>,
}

/// What goes wrong with an exit itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitError {
    /// It cannot be connected to.
    Unreachable,
    /// It does not answer in time.
    Silent,
    /// It does not take the user name and password.
    LoginRefused,
    /// It breaks off, or does not speak its protocol.
    Broken,
    /// The local address to leave from cannot be used.
    NoLocalAddress,
}

/// Why an exit is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// It failed several times in a row.
    Failures,
    /// It fails far more often than the others.
    Outlier,
}

/// No gateway at all: for processes that run only the API, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGateway;

impl Live for NoGateway {
    fn connections(&self) -> Vec<LiveConnection> {
        Vec::new()
    }

    fn close(&self, _: i64) -> bool {
        false
    }

    fn exits(&self) -> Vec<ExitStatus> {
        Vec::new()
    }
}
