//! The names that a client's datagrams go to. A bounded table, and bounded datagrams that wait for
//! an answer: those for other destinations go on meanwhile.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::stats::Dropped;

/// The most names of one association.
const MOST: usize = 64;
/// The most questions on their way for one association.
const MOST_ASKED: usize = 8;
/// The most datagrams that wait for answers, and the most bytes in them.
const MOST_WAITING: usize = 64;
const MOST_WAITING_BYTES: usize = 1 << 16;
/// How long an answer is kept here. The resolver keeps it for as long as its servers say.
const KEPT: Duration = Duration::from_secs(30);
/// How long it is kept that there was none.
const FAILURE_KEPT: Duration = Duration::from_secs(2);

/// The names of one association, as the client writes them.
#[derive(Debug, Default)]
pub(super) struct Names {
    table: HashMap<Box<[u8]>, Name>,
    asked: usize,
    waiting: usize,
    waiting_bytes: usize,
}

#[derive(Debug)]
enum Name {
    /// A question is on its way; these wait for it.
    Asked(Vec<Waiting>),
    /// It was answered; good until then.
    Answered(Result<IpAddr, Dropped>, Instant),
}

/// A datagram that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) port: u16,
    pub(super) payload: Vec<u8>,
}

/// What to do with a datagram to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it there.
    Send(IpAddr),
    /// Nothing: it waits.
    Waits,
    /// Ask for the name; it waits.
    Ask,
    /// Drop it.
    Drop(Dropped),
}

impl Names {
    /// A datagram to a name has come.
    pub(super) fn look_up(&mut self, name: &[u8], port: u16, payload: &[u8], now: Instant) -> Verdict {
        let has_room = self.waiting < MOST_WAITING
            && self.waiting_bytes.saturating_add(payload.len()) <= MOST_WAITING_BYTES;
        match self.table.get_mut(name) {
            Some(Name::Answered(answer, until)) if now < *until => match answer {
                Ok(ip) => Verdict::Send(*ip),
                Err(why) => Verdict::Drop(*why),
            },
            Some(Name::Asked(queue)) if has_room => {
                queue.push(Waiting { port, payload: payload.to_vec() });
                self.waits(payload.len());
                Verdict::Waits
            }
            Some(Name::Asked(_)) => Verdict::Drop(Dropped::Busy),
            Some(Name::Answered(..)) | None if has_room && self.asked < MOST_ASKED => {
                self.make_room(name, now);
                let queue = vec![Waiting { port, payload: payload.to_vec() }];
                self.table.insert(name.into(), Name::Asked(queue));
                self.asked += 1;
                self.waits(payload.len());
                Verdict::Ask
            }
            Some(Name::Answered(..)) | None => Verdict::Drop(Dropped::Busy),
        }
    }

    /// The answer has come; gives back what waited for it.
    pub(super) fn answered(
        &mut self,
        name: &[u8],
        answer: Result<IpAddr, Dropped>,
        now: Instant,
    ) -> Vec<Waiting> {
        let kept = if answer.is_ok() { KEPT } else { FAILURE_KEPT };
        let Some(entry) = self.table.get_mut(name) else { return Vec::new() };
        let Name::Asked(queue) = std::mem::replace(entry, Name::Answered(answer, now + kept)) else {
            return Vec::new();
        };
        self.asked = self.asked.saturating_sub(1);
        self.waiting = self.waiting.saturating_sub(queue.len());
        let bytes = queue.iter().map(|waiting| waiting.payload.len()).sum();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        queue
    }

    fn waits(&mut self, bytes: usize) {
        self.waiting += 1;
        self.waiting_bytes += bytes;
    }

    /// Forgets what is out of date where the table is full, or else any name that is not asked for.
    fn make_room(&mut self, name: &[u8], now: Instant) {
        if self.table.len() < MOST || self.table.contains_key(name) {
            return;
        }
        self.table.retain(|_, name| match name {
            Name::Asked(_) => true,
            Name::Answered(_, until) => now < *until,
        });
        if self.table.len() >= MOST {
            let answered = self.table.iter().find(|(_, name)| matches!(name, Name::Answered(..)));
            if let Some(name) = answered.map(|(name, _)| name.clone()) {
                self.table.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn datagrams_wait_for_one_question_and_the_answer_is_kept_for_a_while() {
        let (mut names, now) = (Names::default(), Instant::now());
        assert_eq!(names.look_up(b"a", 53, b"one", now), Verdict::Ask);
        assert_eq!(names.look_up(b"a", 54, b"", now), Verdict::Waits);
        let waited = names.answered(b"a", Ok(IP), now);
        assert_eq!(waited.iter().map(|waiting| waiting.port).collect::<Vec<_>>(), [53, 54]);
        assert_eq!((names.asked, names.waiting, names.waiting_bytes), (0, 0, 0));
        assert_eq!(names.look_up(b"a", 53, b"", now), Verdict::Send(IP));
        assert_eq!(names.look_up(b"a", 53, b"", now + KEPT), Verdict::Ask);
        names.answered(b"a", Err(Dropped::Unresolved), now);
        assert_eq!(names.look_up(b"a", 53, b"", now), Verdict::Drop(Dropped::Unresolved));
        assert_eq!(names.look_up(b"a", 53, b"", now + FAILURE_KEPT), Verdict::Ask);
    }

    #[test]
    fn questions_datagrams_and_names_are_bounded() {
        let (mut names, now) = (Names::default(), Instant::now());
        for name in 0..u8::try_from(MOST_ASKED).unwrap() {
            assert_eq!(names.look_up(&[name], 1, b"", now), Verdict::Ask);
        }
        assert_eq!(names.look_up(&[99], 1, b"", now), Verdict::Drop(Dropped::Busy));
        for _ in MOST_ASKED..MOST_WAITING {
            assert_eq!(names.look_up(&[0], 1, b"", now), Verdict::Waits);
        }
        assert_eq!(names.look_up(&[0], 1, b"", now), Verdict::Drop(Dropped::Busy));
        let mut names = Names::default();
        assert_eq!(names.look_up(b"a", 1, &vec![0; MOST_WAITING_BYTES], now), Verdict::Ask);
        assert_eq!(names.look_up(b"b", 1, b"x", now), Verdict::Drop(Dropped::Busy));
        for number in 0..10 * MOST {
            let name = number.to_be_bytes();
            names.answered(b"a", Ok(IP), now);
            assert_eq!(names.look_up(&name, 1, b"", now), Verdict::Ask);
            names.answered(&name, Ok(IP), now);
            assert!(names.table.len() <= MOST);
        }
    }
}
