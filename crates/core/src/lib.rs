//! What people ask for, one file each: open an account, list an address, buy a package, lease
//! bytes, settle what was used.
//!
//! Every job has the same rhythm: **claim → load → decide (pure) → write → commit**, in one
//! transaction of the store that runs to its end whoever stops waiting for it.

mod error;

pub use error::{Conflict, Error, Noun, Rule};
