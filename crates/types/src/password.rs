//! How a gateway checks proxy passwords without ever holding one.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The key under which password tags are made. Derived from the master key, so that a stolen
/// database alone says nothing about any password.
#[derive(Clone)]
pub struct PasswordKey([u8; 32]);

impl PasswordKey {
    /// Wraps a derived key.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The tag of a password: what is stored and compared in its place.
    pub fn tag(&self, password: &[u8]) -> PasswordTag {
        // HMAC takes keys of any length, so this branch is never left by the other side.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return PasswordTag([0; 32]);
        };
        mac.update(password);
        PasswordTag(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordKey(…)")
    }
}

/// A keyed hash (HMAC-SHA-256) of a proxy password. Equality takes the same time wherever two
/// tags differ.
#[derive(Clone, Copy)]
pub struct PasswordTag([u8; 32]);

impl PasswordTag {
    /// From a stored column; `None` where it is not 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As the store keeps it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for PasswordTag {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PasswordTag {}

impl fmt::Debug for PasswordTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordTag(…)")
    }
}
