//! Notices: where an account wants its events sent, and sending them.

use tollgate_store::jobs::Claimed;

use crate::{Core, Error};

/// Delivers an account's next event on one channel.
pub(crate) async fn deliver(_: &Core, job: &Claimed) -> Result<(), Error> {
    Err(Error::Internal(format!("{} is not built yet", job.kind)))
}
