//! Opening for business.

use std::sync::Arc;

use tollgate_store::Db;
use tollgate_types::{Clock, Zone};

use crate::{Core, Error, Keys, Policy, directory, keys};

impl Core {
    /// Opens for business on a store: proves that the keys are this store's, and loads the
    /// directory. `seed` starts the random generator.
    ///
    /// # Errors
    /// [`Error::Internal`] where the master key is not the one that this store was made with, and
    /// those of the store.
    pub async fn open(
        db: Db,
        clock: Arc<dyn Clock>,
        zone: Zone,
        keys: Keys,
        policy: Policy,
        seed: [u8; 32],
    ) -> Result<Self, Error> {
        let core = Self::new(db, clock, zone, keys, policy, seed);
        let asked = core.clone();
        core.db().write(move |tx| keys::prove_in(tx, asked.keys())).await?;
        directory::load(&core).await?;
        Ok(core)
    }
}
