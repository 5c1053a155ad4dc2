//! In place of `capacity.rs` where the control plane's rooms are not built in.

use anyhow::{Result, bail};

use crate::args::Sizes;
use crate::measure::Figure;

/// Says how to get the figures.
#[expect(clippy::unused_async, reason = "it stands in for one that waits")]
pub(crate) async fn measure(_url: &str, sizes: &Sizes) -> Result<Vec<Figure>> {
    bail!("needs `--features settle` to settle {} reports", sizes.reports)
}
