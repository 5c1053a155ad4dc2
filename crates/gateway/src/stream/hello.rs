//! The first message of a TLS handshake, read before it is decided how it goes on: what a client would
//! like to speak is in it.

use std::io;
use std::sync::Arc;

use rustix::net::{RecvFlags, recv};
use rustls::ServerConfig;
use rustls::server::{Accepted, AcceptedAlert, Acceptor, ClientHello};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::stream::once;
use crate::stream::tls::{HANDSHAKE_BYTES, Out, TlsSide};

/// The most that is read from the socket at once.
const READ: usize = 4096;

/// A client whose hello has been read.
pub(crate) struct Hello {
    socket: TcpStream,
    /// Read from the socket behind the hello.
    unread: Vec<u8>,
    accepted: Accepted,
}

impl Hello {
    /// Reads a client's hello. `early` was read from the socket before. Bounded in bytes; whoever waits
    /// for it bounds it in time.
    ///
    /// # Errors
    /// The connection failed, or its bytes are no hello, which the client has been told by an alert; with
    /// the socket, on which the alert may still have to arrive.
    pub(crate) async fn read(socket: TcpStream, early: Vec<u8>) -> Result<Self, (io::Error, TcpStream)> {
        let (mut acceptor, mut unread, mut read) = (Acceptor::default(), early, 0);
        loop {
            read += unread.len();
            match understand(&mut acceptor, &mut unread, &socket) {
                Ok(Some(accepted)) => return Ok(Self { socket, unread, accepted }),
                Ok(None) if read > HANDSHAKE_BYTES => {
                    return Err((io::Error::other("the hello is too long"), socket));
                }
                Ok(None) => {}
                Err(error) => return Err((error, socket)),
            }
            if let Err(error) = fill(&socket, &mut unread).await {
                return Err((error, socket));
            }
        }
    }

    /// Returns what the client has said.
    pub(crate) fn said(&self) -> ClientHello<'_> {
        self.accepted.client_hello()
    }

    /// Goes on with the handshake by `config`.
    ///
    /// # Errors
    /// The client speaks no TLS that goes here, which it has been told by an alert; with the socket, on which
    /// that may still have to arrive.
    pub(crate) fn go_on(self, config: Arc<ServerConfig>) -> Result<TlsSide, (io::Error, TcpStream)> {
        match self.accepted.into_connection(config) {
            Ok(tls) => Ok(TlsSide::new(self.socket, self.unread, tls.into())),
            Err(refused) => Err((alerted(refused, &self.socket), self.socket)),
        }
    }
}

/// Gives what has been read to the acceptor until it has a hello; the rest stays in `unread`.
fn understand(
    acceptor: &mut Acceptor,
    unread: &mut Vec<u8>,
    socket: &TcpStream,
) -> io::Result<Option<Accepted>> {
    while !unread.is_empty() {
        let mut rest = unread.as_slice();
        acceptor.read_tls(&mut rest)?;
        let taken = unread.len() - rest.len();
        unread.drain(..taken);
        let accepted = acceptor.accept().map_err(|refused| alerted(refused, socket))?;
        if accepted.is_some() || taken == 0 {
            return Ok(accepted);
        }
    }
    Ok(None)
}

/// Tells the client why its handshake fails, as far as the socket takes it just now.
fn alerted((error, mut alert): (rustls::Error, AcceptedAlert), socket: &TcpStream) -> io::Error {
    // Who cannot be told is gone.
    let _ = alert.write_all(&mut Out(socket));
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Reads what comes next.
async fn fill(socket: &TcpStream, unread: &mut Vec<u8>) -> io::Result<()> {
    let mut room = [0; READ];
    loop {
        socket.readable().await?;
        let read =
            once(socket, Interest::READABLE, READ, || Ok(recv(socket, &mut room[..], RecvFlags::empty())?.0));
        match read {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                unread.extend_from_slice(room.get(..read).unwrap_or_default());
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
