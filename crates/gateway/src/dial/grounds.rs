//! The addresses and ports that belong to static proxies here, which no customer is connected to.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tollgate_types::Directory;

use crate::socket;

/// What belongs to static proxies here: their addresses, and the ports that are open for them.
#[derive(Debug)]
pub(crate) struct Grounds {
    directory: watch::Receiver<Arc<Directory>>,
    open: Mutex<HashSet<u16>>,
}

impl Grounds {
    /// No port is open yet.
    pub(crate) fn new(directory: watch::Receiver<Arc<Directory>>) -> Self {
        Self { directory, open: Mutex::default() }
    }

    /// Whether an address is a static proxy's, on this gateway or another one, or is served by one
    /// of the open ports.
    pub(crate) fn contain(&self, address: SocketAddr) -> bool {
        let is_proxy = self.directory.borrow().static_at(address).is_some();
        is_proxy || (self.is_open(address.port()) && socket::is_local(address.ip()))
    }

    fn is_open(&self, port: u16) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(&port)
    }

    /// Has exactly these ports be open.
    pub(crate) fn set_open(&self, ports: HashSet<u16>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = ports;
    }
}
