//! Rights and caps: an identified caller gets a ticket or a refusal. The ticket owns every guard of
//! the connection, so that dropping it undoes all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_types::{Refusal, StaticProxyId, SubAccountId, WhitelistId};

use crate::funds::Funds;
use crate::identify::Caller;
use crate::live::{Admission, LiveConnection};

/// Proof of admission.
pub(crate) struct Ticket {
    pub(crate) caller: Caller,
    /// What every byte goes on.
    pub(crate) funds: Funds,
    /// The connection among the live ones.
    pub(crate) live: LiveConnection,
    pub(crate) _place: Place,
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    SubAccount(SubAccountId),
    Whitelist(WhitelistId),
    Static(StaticProxyId),
}

/// How many connections each caller has.
#[derive(Debug)]
pub(crate) struct Places {
    most: u32,
    taken: Mutex<HashMap<Who, u32>>,
}

/// One of a caller's connections; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    who: Who,
}

impl Places {
    /// At most so many for each caller; 0 = no limit.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// The caller has as many as he may.
    pub(crate) fn take(self: &Arc<Self>, caller: &Caller) -> Result<Place, Refusal> {
        let who = match &caller.admission {
            Admission::Credentials(sub_account, _) => Who::SubAccount(*sub_account),
            Admission::Whitelist(entry) => Who::Whitelist(*entry),
            Admission::Static(entry, _) => Who::Static(entry.id),
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(who).or_insert(0);
        if self.most != 0 && *count >= self.most {
            return Err(Refusal::TooManyConnections);
        }
        *count += 1;
        Ok(Place { places: self.clone(), who })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.who) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_types::{AccountId, Payer, ProxyType};
    use tollgate_wire::username::RouteParams;

    use super::*;
    use crate::identify::Service;

    #[test]
    fn a_caller_has_no_more_places_than_allowed_and_gets_them_back() {
        let places = Arc::new(Places::new(2));
        let payer =
            Payer { account: AccountId::new(1), sub_account: None, proxy_type: ProxyType::Residential };
        let caller = |id| Caller {
            admission: Admission::Whitelist(WhitelistId::new(id)),
            username: String::new(),
            service: Service::Metered { payer, route: RouteParams::default() },
        };
        let first = places.take(&caller(1));
        let second = places.take(&caller(1));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(places.take(&caller(1)).err(), Some(Refusal::TooManyConnections));
        assert!(places.take(&caller(2)).is_ok());
        drop(first);
        assert!(places.take(&caller(1)).is_ok());
    }
}
