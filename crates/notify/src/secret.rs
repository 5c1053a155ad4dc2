//! The secret that a webhook's receiver and we share.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

/// What every secret begins with, so that it is known for one wherever it turns up.
const PREFIX: &str = "whsec_";
/// The least and the most bytes of a key, as the Standard Webhooks scheme has them.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Not a webhook secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook secret; it is whsec_ and 24 to 64 bytes in base64")]
pub struct BadSecret;

/// The secret of a webhook: `whsec_` and a key of 24 to 64 bytes in base64. Never printed.
#[derive(Clone)]
pub struct WebhookSecret {
    text: SecretString,
    key: SecretSlice<u8>,
}

impl WebhookSecret {
    /// Makes a secret of random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self::new(bytes.to_vec())
    }

    /// Understands a secret as it was shown and kept.
    ///
    /// # Errors
    /// [`BadSecret`], which does not repeat what was given.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let key = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
        let key = STANDARD.decode(key).map_err(|_| BadSecret)?;
        if KEY_BYTES.contains(&key.len()) { Ok(Self::new(key)) } else { Err(BadSecret) }
    }

    /// The secret's text: to be shown to its owner once, and to be sealed.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// What messages are signed with.
    pub(crate) fn key(&self) -> &[u8] {
        self.key.expose_secret()
    }

    fn new(key: Vec<u8>) -> Self {
        let text = format!("{PREFIX}{}", STANDARD.encode(&key));
        Self { text: text.into(), key: key.into() }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_understood_again() {
        let made = WebhookSecret::from_random([7; 32]);
        let read = WebhookSecret::parse(made.expose()).unwrap();
        assert_eq!(read.key(), [7; 32]);
        assert_eq!(read.expose(), made.expose());
    }

    #[test]
    fn refuses_what_is_no_secret() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
        for good in [24, 32, 64] {
            assert!(WebhookSecret::parse(&of(good)).is_ok(), "{good}");
        }
        let unpadded = of(32).trim_end_matches('=').to_owned();
        let without = STANDARD.encode([1; 32]);
        for bad in
            ["", "whsec_", "whsec_????", &of(23), &of(65), &unpadded, &without, &format!("{} ", of(32))]
        {
            assert_eq!(WebhookSecret::parse(bad).err(), Some(BadSecret), "{bad:?}");
        }
    }

    #[test]
    fn is_never_printed() {
        let secret = WebhookSecret::from_random([7; 32]);
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
    }
}
