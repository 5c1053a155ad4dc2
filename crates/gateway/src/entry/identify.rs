//! Who is calling: looked up in the newest directory, by credentials or by the peer's address. Failed
//! logins are counted, and answered the later the more there were.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tollgate_types::{Clock, Directory, Refusal, without_case};
use tollgate_wire::username;

use crate::entry::attempts::{Allowed, Attempts, Login};
use crate::entry::caller::{Caller, Proof, TurnedAway};
use crate::entry::entrance::Entrance;
use crate::entry::{metered, statics};
use crate::limits::CurrentLimits;
use crate::stats::Stats;

/// What identifying needs: who may enter, and which logins have failed lately.
pub(crate) struct Logins {
    pub(crate) directory: watch::Receiver<Arc<Directory>>,
    pub(crate) attempts: Attempts,
    pub(crate) limits: CurrentLimits,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Who is calling. The answer to a failed login is held back for a while.
pub(crate) async fn identify(
    logins: &Logins,
    proof: &Proof,
    peer: IpAddr,
    entrance: Entrance,
) -> Result<Caller, TurnedAway> {
    let name = match (proof, entrance) {
        (Proof::Address, _) => return recognise(logins, proof, peer, entrance),
        (Proof::Malformed, _) => "",
        (Proof::Credentials { user, .. }, Entrance::Metered(_)) => username::name(user),
        (Proof::Credentials { user, .. }, Entrance::Static(_)) => user.as_str(),
    };
    let login = logins.attempts.login(peer, (without_case(name), matches!(entrance, Entrance::Static(_))));
    let (answer, delay) = log_in(logins, login, proof, peer, entrance);
    if logins.attempts.hold_back(delay).await {
        logins.stats.logins_delayed.fetch_add(1, Ordering::Relaxed);
    }
    answer
}

/// What a login comes to, and how long the answer is held back.
fn log_in(
    logins: &Logins,
    login: Login,
    proof: &Proof,
    peer: IpAddr,
    entrance: Entrance,
) -> (Result<Caller, TurnedAway>, Duration) {
    let (now, limits) = (Instant::now(), logins.limits.now());
    let allowed = logins.attempts.check(login, &limits, now);
    if allowed == Allowed::No {
        return (Err(too_many_attempts()), limits.failed_login_delay);
    }
    let answer = recognise(logins, proof, peer, entrance);
    match &answer {
        Ok(_) => logins.attempts.succeeded(login, &limits, now),
        Err(no) if no.failed_login => {
            let delay = logins.attempts.failed(login, &limits, now);
            let is_seen = allowed == Allowed::Yes;
            return if is_seen { (answer, delay) } else { (Err(too_many_attempts()), delay) };
        }
        Err(_) => {}
    }
    (answer, Duration::ZERO)
}

/// Looks a caller up in the newest picture.
fn recognise(logins: &Logins, proof: &Proof, peer: IpAddr, entrance: Entrance) -> Result<Caller, TurnedAway> {
    let directory = logins.directory.borrow().clone();
    match entrance {
        Entrance::Metered(port_type) => metered::identify(&directory, proof, peer, port_type),
        Entrance::Static(local) => statics::identify(&directory, local, proof, peer, logins.clock.now()),
    }
}

fn too_many_attempts() -> TurnedAway {
    let detail = "too many failed logins from this address".to_owned();
    TurnedAway { refusal: Refusal::TooManyAttempts, detail, who: None, failed_login: false }
}
