//! What every job needs: the store, the clock, the zone, the keys.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, watch};
use tollgate_store::Db;
use tollgate_types::{Clock, Directory, Time, Zone};

use crate::Error;
use crate::courier::{Courier, NoCourier};
use crate::keys::Keys;

/// The control plane's rooms share one of these; cloning it is cheap.
#[derive(Clone)]
pub struct Core {
    shared: Arc<Shared>,
}

struct Shared {
    db: Db,
    clock: Arc<dyn Clock>,
    zone: Zone,
    keys: Keys,
    policy: Policy,
    rng: Mutex<StdRng>,
    directory: watch::Sender<Arc<Directory>>,
    directory_changed: Notify,
    courier: OnceLock<Arc<dyn Courier>>,
    /// One refresh at a time: an older picture never follows a newer one.
    refreshing: tokio::sync::Mutex<()>,
}

/// What the operator's settings decide here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Private and loopback addresses may be whitelisted.
    pub allow_private_whitelist: bool,
    /// For how long an expired static proxy can still be renewed before its address is leased to
    /// others, and for how long an address rests that was given back.
    pub static_grace: Duration,
    /// Ports that the platform itself listens on: no static proxy can be reached there.
    pub reserved_ports: Vec<u16>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            allow_private_whitelist: false,
            static_grace: Duration::from_secs(72 * 3600),
            reserved_ports: Vec::new(),
        }
    }
}

impl Core {
    /// Puts together what jobs need; nothing is asked of the store. `seed` starts the random generator.
    pub(crate) fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        zone: Zone,
        keys: Keys,
        policy: Policy,
        seed: [u8; 32],
    ) -> Self {
        let (directory, _) = watch::channel(Arc::new(Directory::empty(keys.password_key().clone())));
        let shared = Shared {
            db,
            clock,
            zone,
            keys,
            policy,
            rng: Mutex::new(StdRng::from_seed(seed)),
            directory,
            directory_changed: Notify::new(),
            courier: OnceLock::new(),
            refreshing: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The store.
    pub fn db(&self) -> &Db {
        &self.shared.db
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// The platform's time zone.
    pub fn zone(&self) -> &Zone {
        &self.shared.zone
    }

    /// The keys that everything secret is sealed and hashed with.
    pub fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    /// What the operator's settings decide.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// Has notices taken out of the house by this one. The first to be employed stays.
    pub fn employ(&self, courier: Arc<dyn Courier>) {
        let _ = self.shared.courier.set(courier);
    }

    /// Who takes notices out of the house.
    pub(crate) fn courier(&self) -> &dyn Courier {
        self.shared.courier.get().map_or(&NoCourier, |courier| &**courier)
    }

    /// The picture that gateways are shown, and every later one.
    pub fn directory(&self) -> watch::Receiver<Arc<Directory>> {
        self.shared.directory.subscribe()
    }

    /// Seals a secret under a new nonce; `owner` names what it belongs to, and is needed again to open it.
    ///
    /// # Errors
    /// [`Error::Internal`] where it is too long to be sealed.
    pub(crate) fn seal(&self, owner: &str, secret: &str) -> Result<Vec<u8>, Error> {
        self.keys().seal(self.random(), owner, secret)
    }

    /// Returns `N` random bytes.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut rng = self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; N];
        rng.fill(&mut bytes[..]);
        bytes
    }

    /// A name that nothing else has: 128 random bits in hexadecimal.
    pub(crate) fn random_reference(&self) -> String {
        self.random::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Shows gateways a new picture.
    pub(crate) fn show(&self, directory: Directory) {
        self.shared.directory.send_replace(Arc::new(directory));
    }

    /// Has the directory looked at again at once; called after a commit that published to it.
    pub(crate) fn directory_changed(&self) {
        self.shared.directory_changed.notify_one();
    }

    /// The right to show the next picture.
    pub(crate) async fn refreshing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.refreshing.lock().await
    }

    pub(crate) async fn until_directory_changed(&self) {
        self.shared.directory_changed.notified().await;
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("db", self.db()).finish_non_exhaustive()
    }
}
