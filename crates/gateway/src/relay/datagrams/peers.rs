//! Whom a client has sent datagrams to: only they may answer. A bounded table; where it is full the
//! quarter that was not sent to for longest is forgotten.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// The most peers of one association.
const MOST: usize = 1024;
/// How many are forgotten at once.
const FORGOTTEN: usize = MOST / 4;
/// For how long it is believed that a peer may be reached: rights to destinations change with the
/// directory, and asking costs more than a datagram.
const BELIEVED: Duration = Duration::from_secs(1);

/// The peers of one association.
#[derive(Debug, Default)]
pub(super) struct Peers {
    table: HashMap<SocketAddr, Peer>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    checked: Instant,
    sent: Instant,
}

impl Peers {
    /// Whether the client has sent to it.
    pub(super) fn know(&self, peer: SocketAddr) -> bool {
        self.table.contains_key(&peer)
    }

    /// The client sends to it. `check` says whether it may; it is not asked for every datagram.
    pub(super) fn sends<E>(
        &mut self,
        to: SocketAddr,
        now: Instant,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(peer) = self.table.get_mut(&to)
            && now.saturating_duration_since(peer.checked) < BELIEVED
        {
            peer.sent = now;
            return Ok(());
        }
        if let Err(no) = check() {
            self.table.remove(&to);
            return Err(no);
        }
        if self.table.len() >= MOST && !self.table.contains_key(&to) {
            self.forget_some();
        }
        self.table.insert(to, Peer { checked: now, sent: now });
        Ok(())
    }

    fn forget_some(&mut self) {
        let mut sent: Vec<Instant> = self.table.values().map(|peer| peer.sent).collect();
        let (_, threshold, _) = sent.select_nth_unstable(FORGOTTEN);
        let threshold = *threshold;
        self.table.retain(|_, peer| peer.sent > threshold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], u16::try_from(number).unwrap()))
    }

    #[test]
    fn the_table_is_bounded_and_forgets_whom_nothing_was_sent_to_for_longest() {
        let mut peers = Peers::default();
        let start = Instant::now();
        for number in 1..=10 * MOST {
            let now = start + Duration::from_millis(number as u64);
            peers.sends(peer(1), now, || Ok::<_, ()>(())).unwrap();
            peers.sends(peer(number), now, || Ok::<_, ()>(())).unwrap();
            assert!(peers.table.len() <= MOST);
            assert!(peers.know(peer(number)));
        }
        assert!(peers.know(peer(1)), "it was sent to all the time");
        assert!(!peers.know(peer(2)));
        assert!(peers.table.len() > MOST / 2);
    }

    #[test]
    fn a_peer_is_looked_at_anew_after_a_while_and_forgotten_where_it_may_not_be_reached_any_more() {
        let mut peers = Peers::default();
        let start = Instant::now();
        assert_eq!(peers.sends(peer(1), start, || Err("closed")), Err("closed"));
        assert!(!peers.know(peer(1)));
        assert_eq!(peers.sends(peer(1), start, || Ok::<_, &str>(())), Ok(()));
        let soon = start + BELIEVED / 2;
        assert_eq!(peers.sends(peer(1), soon, || Err("not asked")), Ok(()));
        assert_eq!(peers.sends(peer(1), start + BELIEVED, || Err("closed")), Err("closed"));
        assert!(!peers.know(peer(1)));
    }
}
