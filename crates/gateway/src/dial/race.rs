//! Connecting to one of several addresses: the first, and where it stays silent for a moment the
//! next one beside it (RFC 8305 §5).
//!
//! Nothing is spawned: whoever gives up waiting gives up every attempt with it. One address, which
//! is what most targets have, costs no more than its connect.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::socket;

/// How long one address may stay silent before the next is tried beside it (RFC 8305 §5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Which address connections leave from that go straight to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Whichever the system chooses.
    Any,
    /// This one, which is configured on the machine.
    From(IpAddr),
    /// This one, configured or only routed.
    FromRouted(IpAddr),
}

impl Leave {
    /// The address.
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Any => None,
            Self::From(ip) | Self::FromRouted(ip) => Some(ip),
        }
    }

    /// Whether what leaves from there can get to an address.
    pub(crate) fn fits(self, target: IpAddr) -> bool {
        self.address().is_none_or(|ip| ip.is_ipv4() == target.is_ipv4())
    }

    /// A socket that leaves from there.
    ///
    /// # Errors
    /// The address cannot be used, or this process has no socket left.
    pub(crate) fn socket(self, is_v4: bool) -> io::Result<TcpSocket> {
        let socket = if is_v4 { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        match self {
            Self::Any => {}
            Self::From(ip) => socket::leave_from(&socket, ip)?,
            Self::FromRouted(ip) => socket::leave_from_any(&socket, ip)?,
        }
        Ok(socket)
    }
}

/// Connects to whichever address answers first.
///
/// # Errors
/// Why the last attempt failed.
pub(crate) async fn race(addresses: &[SocketAddr], leave: Leave) -> io::Result<TcpStream> {
    let stream = match addresses {
        [only] => connect(*only, leave).await?,
        several => first_of(several, |address| connect(address, leave)).await?,
    };
    socket::send_at_once(&stream);
    Ok(stream)
}

async fn connect(address: SocketAddr, leave: Leave) -> io::Result<TcpStream> {
    leave.socket(address.is_ipv4())?.connect(address).await
}

/// Starts one attempt after the other, the next when the ones before have failed or been silent for
/// a moment, until one succeeds.
async fn first_of<T, F>(addresses: &[SocketAddr], attempt: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut running: Vec<Pin<Box<F>>> = Vec::with_capacity(addresses.len());
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut waiting = addresses.iter().copied();
    while let Some(address) = waiting.next() {
        running.push(Box::pin(attempt(address)));
        if waiting.len() == 0 {
            break;
        }
        match timeout(NEXT_ADDRESS_AFTER, finished(&mut running)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => failure = error,
            Err(_) => {}
        }
    }
    while !running.is_empty() {
        match finished(&mut running).await {
            Ok(value) => return Ok(value),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The result of the attempt that ends next, which is taken out.
async fn finished<T, F>(running: &mut Vec<Pin<Box<F>>>) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    poll_fn(|context| {
        for index in 0..running.len() {
            if let Some(attempt) = running.get_mut(index)
                && let Poll::Ready(result) = attempt.as_mut().poll(context)
            {
                drop(running.swap_remove(index));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count).map(|port| SocketAddr::new([192, 0, 2, 1].into(), port)).collect()
    }

    /// What the address of each port does: answer or fail, after so many milliseconds.
    async fn run(does: &[(bool, u64)]) -> (Result<u16, io::ErrorKind>, u64) {
        let began = Instant::now();
        let attempt = |address: SocketAddr| {
            let (works, after) = does[usize::from(address.port()) - 1];
            async move {
                sleep(Duration::from_millis(after)).await;
                if works { Ok(address.port()) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
            }
        };
        let count = u16::try_from(does.len()).unwrap();
        let winner = first_of(&addresses(count), attempt).await.map_err(|error| error.kind());
        (winner, u64::try_from(began.elapsed().as_millis()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn s5_19_a_silent_address_costs_a_quarter_of_a_second_and_a_failed_one_nothing() {
        assert_eq!(run(&[(true, 20), (true, 1)]).await, (Ok(1), 20));
        assert_eq!(run(&[(true, 60_000), (true, 20)]).await, (Ok(2), 270));
        assert_eq!(run(&[(false, 20), (true, 20)]).await, (Ok(2), 40));
        assert_eq!(run(&[(false, 9_000), (false, 9_000), (true, 20)]).await, (Ok(3), 520));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_answers_late_still_wins_over_dead_ones() {
        assert_eq!(run(&[(true, 700), (false, 10), (true, 60_000)]).await, (Ok(1), 700));
        let refused = Err(io::ErrorKind::ConnectionRefused);
        assert_eq!(run(&[(false, 400), (false, 10), (false, 10)]).await, (refused, 400));
    }
}
