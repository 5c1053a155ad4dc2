//! What happens to static proxies by itself.

use tollgate_store::jobs::Claimed;

use crate::{Core, Error};

/// Renews a static proxy ahead of its end, or says that the end is near.
pub(crate) async fn renewal(_: &Core, job: &Claimed) -> Result<(), Error> {
    Err(Error::Internal(format!("{} is not built yet", job.kind)))
}

/// Ends a static proxy's time, and later gives its address back.
pub(crate) async fn expiry(_: &Core, job: &Claimed) -> Result<(), Error> {
    Err(Error::Internal(format!("{} is not built yet", job.kind)))
}

/// Gives a static proxy another address.
pub(crate) async fn replacement(_: &Core, job: &Claimed) -> Result<(), Error> {
    Err(Error::Internal(format!("{} is not built yet", job.kind)))
}

/// Sets an address free that has no proxy.
pub(crate) async fn release(_: &Core, job: &Claimed) -> Result<(), Error> {
    Err(Error::Internal(format!("{} is not built yet", job.kind)))
}
