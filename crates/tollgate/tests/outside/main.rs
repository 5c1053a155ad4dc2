//! The built program, used from outside.

#![expect(clippy::expect_used, reason = "a test ends at the first thing that is not as it should be")]

mod backup;
mod common;
mod demo;
mod lost;
mod program;
