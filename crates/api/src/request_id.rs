//! Names for requests, so that a complaint and a line in the log can be brought together.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Differs from process to process, so that ids of two processes are told apart.
static PROCESS: LazyLock<u32> = LazyLock::new(|| (RandomState::new().hash_one("tollgate") >> 32) as u32);

static LAST: AtomicU64 = AtomicU64::new(0);

/// The name of one request: of the process, and its number within it. No secret.
pub(crate) struct RequestId(String);

impl RequestId {
    pub(crate) fn fresh() -> Self {
        Self(format!("{:08x}-{}", *PROCESS, LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
