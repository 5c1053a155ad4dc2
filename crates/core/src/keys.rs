//! Keys: one master key, and what is derived from it for sealing, hashing and comparing.
//!
//! What must be shown again (sub-accounts' passwords, API keys, exits' credentials) is sealed with
//! XChaCha20-Poly1305 under a derived key, bound to what it belongs to. API keys are found by a
//! keyed hash; account passwords are argon2id. A stolen database alone says nothing.

use std::fmt;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use tollgate_store as store;
use tollgate_types::PasswordKey;

use crate::Error;

/// The form of what [`Keys::seal`] makes: the first byte, so that another form can follow.
const SEALED_V1: u8 = 1;

/// Bytes of an XChaCha20 nonce.
pub(crate) const NONCE: usize = 24;

/// The name under which a database keeps the proof of its master key.
const CANARY: &str = "master_key_proof";

/// Everything derived from the master key.
pub struct Keys {
    sealing: XChaCha20Poly1305,
    api_keys: [u8; 32],
    passwords: PasswordKey,
    canary: String,
}

impl Keys {
    /// Derives all keys from the master key.
    pub fn new(master: &[u8; 32]) -> Self {
        let derive = |purpose: &str| hmac(master, purpose.as_bytes());
        Self {
            sealing: XChaCha20Poly1305::new(&derive("tollgate sealing v1").into()),
            api_keys: derive("tollgate api keys v1"),
            passwords: PasswordKey::new(derive("tollgate proxy passwords v1")),
            canary: URL_SAFE_NO_PAD.encode(derive("tollgate master key proof v1")),
        }
    }

    /// The key under which proxy passwords are compared.
    pub fn password_key(&self) -> &PasswordKey {
        &self.passwords
    }

    /// The keyed hash under which an API key is found.
    pub fn api_key_hash(&self, key: &str) -> [u8; 32] {
        hmac(&self.api_keys, key.as_bytes())
    }

    /// Seals a secret; `owner` names what it belongs to, and is needed again to open it. `nonce` is random
    /// and never used twice.
    ///
    /// # Errors
    /// [`Error::Internal`] where it is too long to be sealed.
    pub(crate) fn seal(&self, nonce: [u8; NONCE], owner: &str, secret: &str) -> Result<Vec<u8>, Error> {
        let payload = Payload { msg: secret.as_bytes(), aad: owner.as_bytes() };
        let sealed = self.sealing.encrypt(&XNonce::from(nonce), payload);
        let sealed =
            sealed.map_err(|_| Error::Internal(format!("the secret of {owner} cannot be sealed")))?;
        Ok([&[SEALED_V1][..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for the same owner.
    ///
    /// # Errors
    /// [`Error::Internal`] where it was sealed for another, under another key, or was altered.
    pub(crate) fn open(&self, owner: &str, sealed: &[u8]) -> Result<SecretString, Error> {
        let broken = || Error::Internal(format!("the secret of {owner} cannot be opened"));
        let body = sealed.strip_prefix(&[SEALED_V1]).ok_or_else(broken)?;
        let (nonce, text) = body.split_first_chunk::<NONCE>().ok_or_else(broken)?;
        let payload = Payload { msg: text, aad: owner.as_bytes() };
        let opened = self.sealing.decrypt(&XNonce::from(*nonce), payload).map_err(|_| broken())?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| broken())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// A new API key: 256 random bits behind a prefix that secret scanners can look for.
pub(crate) fn new_api_key(random: [u8; 32]) -> String {
    format!("tg_{}", URL_SAFE_NO_PAD.encode(random))
}

/// The argon2id hash of an account's password, made on a thread that may take its time.
pub(crate) async fn hash_password(salt: [u8; 16], password: SecretString) -> Result<String, Error> {
    let hashing = move || {
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
        let hash = argon.hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
        hash.map(|hash| hash.to_string())
    };
    let hashed = tokio::task::spawn_blocking(hashing).await;
    match hashed {
        Ok(Ok(hash)) => Ok(hash),
        Ok(Err(error)) => Err(Error::Internal(format!("a password cannot be hashed: {error}"))),
        Err(error) => Err(Error::Internal(format!("hashing a password was interrupted: {error}"))),
    }
}

/// Proves that the master key is the one that this store was made with; the first to open a store
/// leaves the proof.
///
/// # Errors
/// [`Error::Internal`] where it is another one.
pub(crate) fn prove_in(tx: &mut store::Tx<'_>, keys: &Keys) -> Result<(), Error> {
    store::directory::set_meta(tx, CANARY, &keys.canary)?;
    match store::directory::meta(tx, CANARY)?.as_ref() == Some(&keys.canary) {
        true => Ok(()),
        false => Err(Error::Internal(
            "the master key is not the one that this database was made with; \
             restore the data directory's master-key file or TOLLGATE_MASTER_KEY"
                .into(),
        )),
    }
}

/// What a database says of a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: nobody has opened it with a key.
    None,
    /// That it was made with this one.
    Same,
    /// That it was made with another one: nothing sealed in it can be opened.
    Other,
}

/// What the database of a transaction says of these keys.
///
/// # Errors
/// Those of the store.
pub fn proof_in(tx: &mut store::Tx<'_>, keys: &Keys) -> Result<Proof, Error> {
    Ok(match store::directory::meta(tx, CANARY)? {
        None => Proof::None,
        Some(proof) if proof == keys.canary => Proof::Same,
        Some(_) => Proof::Other,
    })
}

fn hmac(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length, so this branch is never left by the other side.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    mac.update(data);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_testkit::{FakeClock, TestDb, database};
    use tollgate_types::Zone;

    use super::*;
    use crate::{Core, Policy};

    const OWNER: &str = "exits.password";

    async fn core() -> (TestDb, Core) {
        let database = TestDb::sqlite();
        let clock = Arc::new(FakeClock::new(database::NOW));
        let keys = Keys::new(&[7; 32]);
        let core = Core::open(database.open(), clock, Zone::UTC, keys, Policy::default(), [1; 32]).await;
        (database, core.unwrap())
    }

    #[tokio::test]
    async fn a_sealed_secret_opens_for_its_owner_under_its_key_only() {
        let (_database, core) = core().await;
        let sealed = core.seal(OWNER, "hunter2 пароль").unwrap();
        assert_eq!(core.keys().open(OWNER, &sealed).unwrap().expose_secret(), "hunter2 пароль");
        assert!(core.keys().open("accounts.api_key:ann", &sealed).is_err(), "another owner");
        assert!(Keys::new(&[8; 32]).open(OWNER, &sealed).is_err(), "another master key");
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"), "it is not to be read");
        let again = core.seal(OWNER, "hunter2 пароль").unwrap();
        assert_ne!(sealed, again, "the same secret does not look the same twice");
    }

    #[tokio::test]
    async fn a_database_tells_its_master_key_from_others() {
        let database = TestDb::sqlite();
        let db = database.open();
        let asked = |key: [u8; 32]| db.read(move |tx| proof_in(tx, &Keys::new(&key)));
        assert_eq!(asked([7; 32]).await, Ok(Proof::None));
        db.close().await;
        let (database, core) = core().await;
        let asked = |key: [u8; 32]| core.db().read(move |tx| proof_in(tx, &Keys::new(&key)));
        assert_eq!((asked([7; 32]).await, asked([8; 32]).await), (Ok(Proof::Same), Ok(Proof::Other)));
        drop(database);
    }

    #[tokio::test]
    async fn a_damaged_secret_does_not_open() {
        let (_database, core) = core().await;
        let sealed = core.seal(OWNER, "secret").unwrap();
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(core.keys().open(OWNER, &damaged).is_err(), "byte {at}");
            assert!(core.keys().open(OWNER, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    async fn api_keys_have_their_form_and_differ() {
        let (_database, core) = core().await;
        let (one, other) = (new_api_key(core.random()), new_api_key(core.random()));
        assert_ne!(one, other);
        let body = one.strip_prefix("tg_").unwrap();
        assert_eq!(body.len(), 43);
        assert!(body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
    }

    #[tokio::test]
    async fn a_password_is_hashed_with_argon2id() {
        let (_database, core) = core().await;
        let hash = hash_password(core.random(), "secret-1".to_owned().into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verified = |password: &[u8]| {
            use argon2::password_hash::PasswordVerifier;
            Argon2::default().verify_password(password, hash.as_str()).is_ok()
        };
        assert!(verified(b"secret-1") && !verified(b"secret-2"));
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own_and_none_is_shown() {
        let keys = Keys::new(&[7; 32]);
        let tag = keys.password_key().tag(b"tg_x");
        assert_ne!(&keys.api_key_hash("tg_x"), tag.as_bytes());
        assert_ne!(keys.api_key_hash("tg_x"), Keys::new(&[8; 32]).api_key_hash("tg_x"));
        assert_eq!(format!("{keys:?}"), "Keys(…)");
    }
}
