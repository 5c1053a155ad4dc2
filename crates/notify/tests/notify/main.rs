//! Both senders against peers that are kind, slow, confused and hostile. Everything listens on
//! loopback.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;
mod mail;
mod relay;
mod webhooks;
