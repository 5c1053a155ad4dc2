//! Why a connection to a target could not be made, and whose failure that was.

use tollgate_types::Refusal;

use crate::dial::guard::Blocked;

/// What goes wrong with an exit itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitTrouble {
    /// It cannot be reached, or its address cannot be resolved.
    Unreachable,
    /// It did not answer in time.
    Silent,
    /// It does not let the gateway in: its user name or password, or its way of asking for them.
    LoginRefused,
    /// It broke off, or does not speak its protocol.
    Broken,
    /// The local address to leave from cannot be used.
    NoLocalAddress,
}

/// Whose failure it was, which decides whether another exit may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The exit's own. Counts against it; the next one is tried.
    Exit(ExitTrouble),
    /// The exit took the request and did not complete it, which may be the target's doing. Counts
    /// against the exit where others do better; the next one is tried, but a session stays where it
    /// is while the exit answers others.
    Doubtful(ExitTrouble),
    /// The target's (or the customer's): every exit would fail alike.
    Target,
    /// The upstream proxy says no without saying whose fault it is. Another exit may do better, but
    /// a session stays where it is.
    Unclear,
    /// None: the exits that were to be tried were full by then. Others may have room.
    Full,
}

/// A connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialError {
    pub(crate) refusal: Refusal,
    pub(crate) detail: String,
    pub(crate) blame: Blame,
}

impl DialError {
    pub(crate) fn new(blame: Blame, refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal, detail: detail.into(), blame }
    }
}

impl From<Blocked> for DialError {
    fn from(blocked: Blocked) -> Self {
        Self::new(Blame::Target, blocked.refusal, blocked.detail)
    }
}

/// Why a name gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// There is no such name, or it has no address, or no server would say.
    Failed,
    /// No answer in time.
    Timeout,
}
