//! The groups S5 and HP of hostile requests, sent as raw bytes to the real program. Every case
//! carries the number of its row; `docs/hostile.md` says for each row where it is tested.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod lab;
mod reach;
mod requests;
mod responses;
mod socks5;
mod upstreams;
