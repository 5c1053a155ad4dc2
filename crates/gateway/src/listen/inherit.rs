//! Listening sockets that were bound by whoever started the program, and that stay open when it
//! ends: who comes meanwhile waits in their queue, for the next run or for another gateway that has
//! the same sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Sockets that are not yet anybody's port, each with where it listens.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(SocketAddr, TcpListener)>);

impl Inherited {
    /// Takes them over, ready for an async runtime. They must be listening.
    ///
    /// # Errors
    /// The system will not say where one listens, or have it not block.
    pub fn new(sockets: Vec<TcpListener>) -> io::Result<Self> {
        let ready = |socket: TcpListener| {
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?, socket))
        };
        sockets.into_iter().map(ready).collect::<io::Result<_>>().map(Self)
    }

    /// The one that listens on an address.
    pub fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let index = self.0.iter().position(|(listening, _)| is_same(*listening, address))?;
        Some(self.0.swap_remove(index).1)
    }

    /// Those that listen on every address of the machine, each with its port.
    pub(crate) fn take_everywhere(&mut self) -> Vec<(u16, TcpListener)> {
        let everywhere = self.0.extract_if(.., |(listening, _)| listening.ip().is_unspecified());
        everywhere.map(|(listening, socket)| (listening.port(), socket)).collect()
    }

    /// Closes what nobody has taken, and says so: clients would wait there for nothing, for the
    /// socket itself stays open where it was inherited from.
    pub fn close(self) {
        for (address, _) in self.0 {
            tracing::warn!(%address, "an inherited socket is closed, for no setting has this address");
        }
    }
}

/// Whether two addresses are one, however IPv4 is written.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip().to_canonical() == other.ip().to_canonical() && one.port() == other.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_by_where_they_listen_and_once() {
        let sockets = ["127.0.0.1:0", "0.0.0.0:0", "127.0.0.1:0"].map(|at| TcpListener::bind(at).unwrap());
        let [first, everywhere, third] = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
        let mut inherited = Inherited::new(sockets.into()).unwrap();
        let mapped = format!("[::ffff:127.0.0.1]:{}", third.port()).parse().unwrap();
        assert_eq!(inherited.take(mapped).unwrap().local_addr().unwrap(), third);
        assert!(inherited.take(third).is_none(), "it was taken");
        let ports: Vec<u16> = inherited.take_everywhere().into_iter().map(|(port, _)| port).collect();
        assert_eq!(ports, [everywhere.port()]);
        assert!(inherited.take(first).is_some());
    }
}
