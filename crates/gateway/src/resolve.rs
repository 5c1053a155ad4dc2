//! Names to addresses: the system's configuration (`/etc/resolv.conf`, `/etc/hosts`), one shared
//! bounded cache, a deadline for every question.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use tokio::time::timeout;
use tollgate_types::alternate_families;

/// The most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// Why a name gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// There is no such name, or it has no address, or no server would say.
    Failed,
    /// No answer in time.
    Timeout,
}

/// The resolver of a gateway.
pub(crate) struct Resolver {
    system: Option<TokioResolver>,
    fixed: HashMap<String, Vec<IpAddr>>,
    timeout: Duration,
}

impl Resolver {
    /// Reads the system's configuration. Where there is none that can be read, only `fixed` names
    /// (lower-case, answered without asking anybody) resolve.
    pub(crate) fn new(fixed: HashMap<String, Vec<IpAddr>>, cache_entries: u64, timeout: Duration) -> Self {
        let system = build(cache_entries, timeout)
            .inspect_err(
                |error| tracing::warn!(%error, "names cannot be resolved: no resolver configuration"),
            )
            .ok();
        Self { system, fixed, timeout }
    }

    /// The addresses of a name, in the order they should be tried: families alternate, the one of
    /// the first answer first.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub(crate) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(addresses) = self.fixed.get(name) {
            return Ok(addresses.clone());
        }
        let system = self.system.as_ref().ok_or(ResolveError::Failed)?;
        // The final dot keeps the machine's own search list out of customers' names.
        let lookup = system.lookup_ip(format!("{name}."));
        let found = timeout(self.timeout, lookup).await.map_err(|_| ResolveError::Timeout)?;
        let found = found.map_err(|error| match error {
            hickory_resolver::net::NetError::Timeout => ResolveError::Timeout,
            _ => ResolveError::Failed,
        })?;
        let addresses = alternate_families(found.iter().take(MAX_ADDRESSES));
        if addresses.is_empty() { Err(ResolveError::Failed) } else { Ok(addresses) }
    }
}

fn build(cache_entries: u64, timeout: Duration) -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = cache_entries;
    // Two tries fit into the deadline.
    options.timeout = timeout / 2;
    options.attempts = 1;
    // A published answer may ask to be kept for days; a moved target must be found within minutes.
    options.positive_max_ttl = Some(Duration::from_secs(300));
    options.negative_max_ttl = Some(Duration::from_secs(30));
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hosts_file_is_read() {
        let resolver = Resolver::new(HashMap::new(), 16, Duration::from_secs(5));
        let found = resolver.resolve("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
