//! The marks before a static proxy's expiry at which it is renewed, or its customer reminded.

use std::time::Duration;

use tollgate_types::Time;

const HOUR: Duration = Duration::from_secs(3600);

/// How long before its expiry a proxy is looked at, the longest first.
const MARKS: [Duration; 3] = [HOUR.saturating_mul(72), HOUR.saturating_mul(24), HOUR];

/// The next mark, strictly after now.
pub(super) fn next(expires_at: Time, now: Time) -> Option<Time> {
    MARKS.into_iter().map(|before| expires_at.minus(before)).find(|mark| *mark > now)
}

/// Whether the first mark has been reached.
pub(super) fn reached(expires_at: Time, now: Time) -> bool {
    now >= expires_at.minus(MARKS[0])
}

/// Whether what is due at a moment is due for one of the marks at which customers are reminded:
/// the last one is too close for that.
pub(super) fn reminds(expires_at: Time, due_at: Time) -> bool {
    due_at < expires_at.minus(MARKS[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_met_once() {
        let expires_at = Time::from_micros(1_767_225_600_000_000);
        let before = |hours: u32| expires_at.minus(HOUR * hours);
        assert_eq!(next(expires_at, before(100)), Some(before(72)));
        assert_eq!(next(expires_at, before(72)), Some(before(24)));
        assert_eq!(next(expires_at, before(30)), Some(before(24)));
        assert_eq!(next(expires_at, before(24)), Some(before(1)));
        assert_eq!(next(expires_at, before(1)), None);
        assert_eq!(next(expires_at, expires_at), None);
        assert!(reached(expires_at, before(72)) && !reached(expires_at, before(73)));
        assert!(reminds(expires_at, before(72)) && reminds(expires_at, before(24)));
        assert!(!reminds(expires_at, before(1)));
    }
}
