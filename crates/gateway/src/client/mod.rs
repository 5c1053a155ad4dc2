//! What is spoken with clients: each protocol yields requests, and says to its client what came of them.

mod certs;
mod connection;
mod conversation;
mod established;
mod greet;
mod http1;
mod http2;
mod refuse;
mod server;
mod socks;
mod tls;

pub(crate) use certs::Certificates;
pub use certs::{CertificateError, CertificateFiles};
pub(crate) use connection::Client;
pub(crate) use conversation::converse;
pub(crate) use server::{ProtocolSettings, Server};
