//! What every handler may ask for, and the settings that bound it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tollgate_core::Core;
use tollgate_types::Cidr;

use crate::cors::Origins;
use crate::endpoints::Endpoints;
use crate::limits::Limits;
use crate::live::Live;
use crate::refused_keys::{RefusedKeyCounts, RefusedKeys};

/// The settings of the API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The operator's token.
    pub admin_token: AdminToken,
    /// Calls per minute that one API key may make, and failed logins per minute that one peer
    /// address may; 0 = no limit.
    pub calls_per_minute: u32,
    /// How much of a request's body is read.
    pub bounds: Bounds,
    /// What customers are told of the gateway's addresses.
    pub endpoints: Endpoints,
    /// The origins whose pages may call from a browser.
    pub cors_origins: Origins,
    /// The fronts whose `X-Forwarded-For` says whom a call comes from.
    pub forwarded_from: Vec<Cidr>,
}

impl Settings {
    /// The usual settings with this operator's token.
    pub fn new(admin_token: AdminToken) -> Self {
        Self {
            admin_token,
            calls_per_minute: 0,
            bounds: Bounds::default(),
            endpoints: Endpoints::default(),
            cors_origins: Origins::default(),
            forwarded_from: Vec::new(),
        }
    }
}

/// How much of a request's body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The longest that a body may take to arrive.
    pub body_time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { body_bytes: 1 << 20, body_time: Duration::from_secs(10) }
    }
}

/// The operator's token, kept as its hash only.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// Remembers a token.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether this is the token. Takes the same time wherever the two differ.
    pub(crate) fn is(&self, presented: &str) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        self.0.ct_eq(&presented).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// What the router needs. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    pub(crate) core: Core,
    pub(crate) live: Arc<dyn Live>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) refused_keys: Arc<RefusedKeys>,
    pub(crate) settings: Arc<Settings>,
}

impl ApiState {
    /// Puts together the jobs, the live view of the gateways and the settings.
    pub fn new(core: Core, live: Arc<dyn Live>, settings: Settings) -> Self {
        let limits = Limits::new(settings.calls_per_minute);
        let refused_keys = Arc::new(RefusedKeys::default());
        Self { core, live, limits: Arc::new(limits), refused_keys, settings: Arc::new(settings) }
    }

    /// Returns how many keys were refused since the process started.
    pub fn refused_keys(&self) -> RefusedKeyCounts {
        self.refused_keys.counts()
    }
}

impl FromRef<ApiState> for Core {
    fn from_ref(state: &ApiState) -> Self {
        state.core.clone()
    }
}

impl FromRef<ApiState> for Arc<dyn Live> {
    fn from_ref(state: &ApiState) -> Self {
        state.live.clone()
    }
}

impl FromRef<ApiState> for Bounds {
    fn from_ref(state: &ApiState) -> Self {
        state.settings.bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_never_shown() {
        let token = AdminToken::new("secret");
        assert!(token.is("secret") && !token.is("Secret") && !token.is(""));
        assert_eq!(format!("{token:?}"), "AdminToken(…)");
    }
}
