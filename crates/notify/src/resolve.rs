//! Names to addresses: fixed ones first, then the system's configuration (`/etc/resolv.conf`,
//! `/etc/hosts`), with a small cache and a deadline for every question.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::proto::rr::Name;
use tokio::time::timeout;
use tollgate_types::alternate_families;

/// For one name to resolve.
const DNS_TIMEOUT: Duration = Duration::from_secs(5);
/// The most answers that are kept.
const CACHE_ENTRIES: u64 = 1024;
/// The longest that an answer is kept, whatever it asks for: a moved receiver is found within minutes.
const KEEP_AT_MOST: Duration = Duration::from_secs(300);
/// The longest that "there is no such name" is kept.
const KEEP_NO_AT_MOST: Duration = Duration::from_secs(30);
/// The most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// The name gave no address in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved;

/// Resolves the names of receivers and of the mail relay. Made once and shared, for its cache.
pub struct Resolver {
    system: Option<TokioResolver>,
    fixed: HashMap<String, Vec<IpAddr>>,
}

impl Resolver {
    /// Reads the system's configuration. The `fixed` names (lower-case, without a dot behind) are
    /// answered without asking anybody; where there is no configuration that can be read, only they
    /// resolve.
    pub fn new(fixed: HashMap<String, Vec<IpAddr>>) -> Self {
        let system = build().inspect_err(
            |error| tracing::warn!(%error, "names cannot be resolved: no resolver configuration"),
        );
        Self { system: system.ok(), fixed }
    }

    /// The addresses of a name, in the order they should be tried.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        if let Some(addresses) = self.fixed.get(name) {
            return Ok(alternate_families(addresses.iter().copied().take(MAX_ADDRESSES)));
        }
        let system = self.system.as_ref().ok_or(Unresolved)?;
        // An absolute name, so that the machine's own search list stays out of customers' names, and
        // label by label: read as text, underscores within a label would be refused.
        let name = Name::from_labels(name.split('.').map(str::as_bytes)).map_err(|_| Unresolved)?;
        let lookup = system.lookup_ip(name);
        let found = timeout(DNS_TIMEOUT, lookup).await.map_err(|_| Unresolved)?.map_err(|_| Unresolved)?;
        let addresses = alternate_families(found.iter().take(MAX_ADDRESSES));
        if addresses.is_empty() { Err(Unresolved) } else { Ok(addresses) }
    }
}

fn build() -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = CACHE_ENTRIES;
    // Two tries fit into the deadline.
    options.timeout = DNS_TIMEOUT / 2;
    options.attempts = 1;
    options.positive_max_ttl = Some(KEEP_AT_MOST);
    options.negative_max_ttl = Some(KEEP_NO_AT_MOST);
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fixed_names_and_the_hosts_file_are_known() {
        let fixed = HashMap::from([("hooks.test".to_owned(), vec!["127.0.0.9".parse().unwrap()])]);
        let resolver = Resolver::new(fixed);
        assert_eq!(resolver.resolve("hooks.test").await, Ok(vec!["127.0.0.9".parse().unwrap()]));
        let local = resolver.resolve("localhost").await.unwrap();
        assert!(local.iter().all(IpAddr::is_loopback), "{local:?}");
    }
}
