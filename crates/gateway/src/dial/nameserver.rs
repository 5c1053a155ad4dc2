//! Questions to name servers: the system's (`/etc/resolv.conf`, `/etc/hosts`), or those that the
//! settings name. What is kept of the answers, and for how long, is decided in [`crate::dial::resolve`].

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::{Instant, timeout};

use crate::dial::error::ResolveError;

/// The most addresses that are taken of one answer.
const MAX_ADDRESSES: usize = 16;
/// An answer that asks not to be kept is kept for a moment nevertheless, so that a crowd asks once.
const KEEP_AT_LEAST: Duration = Duration::from_secs(1);
/// A published answer may ask to be kept for days; a moved target must be found within minutes.
const KEEP_AT_MOST: Duration = Duration::from_secs(300);
/// For how long a name that has no address is believed not to have one.
const KEEP_ABSENCE_AT_MOST: Duration = Duration::from_secs(30);
/// For how long that is believed where the answer does not say.
const KEEP_ABSENCE: Duration = Duration::from_secs(5);
/// For how long nobody is asked again after a failure (RFC 9520 §3.2 wants a second at least).
const KEEP_FAILURE: Duration = Duration::from_secs(1);

/// What there is to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// What the name servers said of one family: addresses, perhaps none, and for how long that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) addresses: Result<Vec<IpAddr>, ResolveError>,
    pub(crate) keep: Duration,
}

impl Told {
    /// Nothing, within the time there was.
    pub(crate) fn nothing() -> Self {
        Self { addresses: Err(ResolveError::Timeout), keep: KEEP_FAILURE }
    }
}

/// For how long name servers are asked without EDNS that did not take it.
const WITHOUT_EDNS: Duration = Duration::from_secs(600);

/// The name servers.
pub(crate) struct NameServers {
    /// Asks with an OPT record (EDNS, RFC 6891).
    resolver: TokioResolver,
    /// Asks without one.
    plain: TokioResolver,
    /// How long a question with EDNS may go unanswered before it is also put without.
    patience: Duration,
    /// Until when no question carries EDNS, because the servers did not take it.
    plain_until: Mutex<Option<Instant>>,
}

type Answered = Result<Lookup, NetError>;

impl NameServers {
    /// These servers; the system's where there are none. `at_once` questions fit at a time, each of
    /// which is given up after `timeout`.
    ///
    /// # Errors
    /// The system's configuration cannot be read.
    pub(crate) fn new(servers: &[SocketAddr], timeout: Duration, at_once: usize) -> Result<Self, NetError> {
        let build = |edns| {
            let mut builder = match servers {
                [] => TokioResolver::builder_tokio()?,
                servers => {
                    let servers = servers.iter().copied().map(name_server).collect();
                    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                }
            };
            adjust(builder.options_mut(), timeout, at_once);
            builder.options_mut().edns0 = edns;
            builder.build()
        };
        let patience = timeout / 4;
        Ok(Self { resolver: build(true)?, plain: build(false)?, patience, plain_until: Mutex::default() })
    }

    /// Asks for the addresses of one family.
    pub(crate) async fn ask(&self, name: &str, family: Family) -> Told {
        let record = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        let Some(name) = absolute(name) else {
            return Told { addresses: Err(ResolveError::Failed), keep: KEEP_FAILURE };
        };
        match self.lookup(&name, record).await {
            Ok(lookup) => {
                let left = lookup.valid_until().saturating_duration_since(std::time::Instant::now());
                let addresses = lookup.answers().iter().filter_map(|record| record.data.ip_addr());
                Told {
                    addresses: Ok(addresses.take(MAX_ADDRESSES).collect()),
                    keep: left.clamp(KEEP_AT_LEAST, KEEP_AT_MOST),
                }
            }
            Err(error) => failed(&error),
        }
    }

    /// Asks with EDNS, and without where that is not taken or not answered for a while (RFC 6891 §7).
    /// Servers that answer only without are asked without from then on, for a while.
    async fn lookup(&self, name: &Name, record: RecordType) -> Answered {
        if self.plain_lasts() {
            return self.plain.lookup(name.clone(), record).await;
        }
        let mut with = pin!(self.resolver.lookup(name.clone(), record));
        let mut without = pin!(self.plain.lookup(name.clone(), record));
        match timeout(self.patience, with.as_mut()).await {
            Ok(answer) if !is_edns_not_taken(&answer) => return answer,
            Ok(_) => return self.note(without.await),
            Err(_) => {}
        }
        tokio::select! {
            answer = with.as_mut() => {
                if is_definite(&answer) { answer } else { self.note(without.await) }
            }
            answer = without.as_mut() => {
                if is_definite(&answer) { self.note(answer) } else { with.await }
            }
        }
    }

    /// Notes that an answer came to a question without EDNS, and none to the one with it.
    fn note(&self, answer: Answered) -> Answered {
        if is_definite(&answer) {
            tracing::debug!("the name servers answer without EDNS only");
            *self.lock() = Some(Instant::now() + WITHOUT_EDNS);
        }
        answer
    }

    fn plain_lasts(&self) -> bool {
        self.lock().is_some_and(|until| Instant::now() < until)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.plain_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the name as a question carries it: absolute, so that the machine's own search list stays out
/// of customers' names, and label by label as it stands. Read as text, hickory-proto would refuse
/// underscores within a label and hyphens at its beginning, which hosts do have.
fn absolute(name: &str) -> Option<Name> {
    Name::from_labels(name.split('.').map(str::as_bytes)).ok()
}

fn adjust(options: &mut ResolverOpts, timeout: Duration, at_once: usize) {
    // Two tries fit into the deadline.
    options.timeout = timeout / 2;
    options.attempts = 1;
    // Answers are kept in a form that is ready for use, once.
    options.cache_size = 0;
    // Both families of every question, over one connection where answers are too large for UDP.
    options.max_active_requests = at_once.saturating_mul(2);
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// Whether the servers say that there are such records, or none.
fn is_definite(answer: &Answered) -> bool {
    matches!(answer, Ok(_) | Err(NetError::Dns(DnsError::NoRecordsFound(_))))
}

/// Whether a server says that it does not understand a question with EDNS.
fn is_edns_not_taken(answer: &Answered) -> bool {
    use ResponseCode::{BADVERS, FormErr, NotImp};
    matches!(answer, Err(NetError::Dns(DnsError::ResponseCode(FormErr | NotImp | BADVERS))))
}

fn failed(error: &NetError) -> Told {
    match error {
        // There is no such name, or it has no address of the family.
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let said = none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
            let keep = said.unwrap_or(KEEP_ABSENCE).clamp(KEEP_AT_LEAST, KEEP_ABSENCE_AT_MOST);
            Told { addresses: Ok(Vec::new()), keep }
        }
        NetError::Timeout => Told::nothing(),
        _ => Told { addresses: Err(ResolveError::Failed), keep: KEEP_FAILURE },
    }
}
