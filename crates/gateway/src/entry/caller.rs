//! What a caller shows, who he turns out to be, or why he is turned away.

use std::sync::Arc;

use tollgate_types::{AccountId, Payer, Refusal, StaticEntry, SubAccountId};
use tollgate_wire::username::RouteParams;

use crate::entry::live::{Admission, Traffic};

/// What a request brought to show who it is from.
#[derive(Clone)]
pub(crate) enum Proof {
    /// User name, with routing parameters, and password.
    Credentials {
        /// As sent.
        user: String,
        /// As sent.
        password: Vec<u8>,
    },
    /// Something that was meant as credentials and is none. Never falls back to the whitelist.
    Malformed,
    /// Nothing: the peer's address decides.
    Address,
}

/// A caller, identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// By which right.
    pub(crate) admission: Admission,
    /// The proxy user name, without parameters; empty where the address was enough.
    pub(crate) username: String,
    /// What he is served with.
    pub(crate) service: Service,
}

/// What a caller is served with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Metered traffic, by whichever exit matches.
    Metered {
        /// Whose funds and limits are drawn on, for which kind of traffic.
        payer: Payer,
        /// Where the traffic should leave.
        route: RouteParams,
    },
    /// A static proxy's traffic, from its own address.
    Static(Arc<StaticEntry>),
}

impl Caller {
    /// Whose traffic it is.
    pub(crate) fn who(&self) -> (AccountId, Option<SubAccountId>) {
        match &self.service {
            Service::Metered { payer, .. } => (payer.account, payer.sub_account),
            Service::Static(entry) => (entry.account, None),
        }
    }

    /// Of which kind it is.
    pub(crate) fn traffic(&self) -> Traffic {
        match &self.service {
            Service::Metered { payer, .. } => Traffic::Metered(payer.proxy_type),
            Service::Static(entry) => Traffic::Static(entry.id, entry.static_type),
        }
    }
}

/// Why a caller was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TurnedAway {
    /// Under which name.
    pub(crate) refusal: Refusal,
    /// What exactly; never says whether it was the name or the password.
    pub(crate) detail: String,
    /// Who it was, where that is certain.
    pub(crate) who: Option<(AccountId, Option<SubAccountId>)>,
    /// Whether it counts as a failed login.
    pub(crate) failed_login: bool,
}

impl TurnedAway {
    /// Whether it is certain who the caller is: the password was right, or the address is listed. The
    /// caller may then be told why the request is refused.
    pub(crate) fn is_known(&self) -> bool {
        self.who.is_some() && !self.failed_login
    }
}

pub(crate) fn unknown(detail: &str, failed_login: bool) -> TurnedAway {
    TurnedAway { refusal: Refusal::AuthRequired, detail: detail.to_owned(), who: None, failed_login }
}
