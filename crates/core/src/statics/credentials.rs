//! What a static proxy is entered by: made anew for every lease of an address.

use secrecy::SecretString;
use tollgate_store::statics::proxies::Credentials;

use crate::{Core, Error};

/// What user names are made of, behind an `s`.
const NAME: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// What passwords are made of.
const PASSWORD: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What orders are called.
const ORDER_NO: &[u8] = b"0123456789ABCDEF";

/// So many credentials, made on a thread that may take its time.
pub(super) async fn make(core: &Core, count: usize) -> Result<Vec<Credentials>, Error> {
    let core = core.clone();
    let making = move || (0..count).map(|_| one(&core)).collect();
    match tokio::task::spawn_blocking(making).await {
        Ok(made) => made,
        Err(error) => Err(Error::Internal(format!("making credentials was interrupted: {error}"))),
    }
}

fn one(core: &Core) -> Result<Credentials, Error> {
    let (username, password) = (format!("s{}", word(core, NAME, 9)), word(core, PASSWORD, 16));
    Ok(Credentials {
        password_sealed: core.seal(&owner(&username), &password)?,
        password_tag: core.keys().password_key().tag(password.as_bytes()),
        username,
    })
}

/// A proxy's password in the clear.
pub(super) fn open(core: &Core, username: &str, sealed: &[u8]) -> Result<SecretString, Error> {
    core.keys().open(&owner(username), sealed)
}

/// A name for an order: 48 random bits.
pub(super) fn order_no(core: &Core) -> String {
    word(core, ORDER_NO, 12)
}

/// What a proxy's password is sealed for. Its name never changes.
fn owner(username: &str) -> String {
    format!("static_proxies.password:{username}")
}

/// So many letters of an alphabet, each as likely as any other.
fn word(core: &Core, alphabet: &[u8], length: usize) -> String {
    // Bytes beyond the last whole alphabet would favour its first letters: they are passed over.
    let whole = 256 - 256 % alphabet.len();
    let mut word = String::with_capacity(length);
    while word.len() < length {
        let fair = core.random::<32>().into_iter().map(usize::from).filter(|byte| *byte < whole);
        let letters = fair.map(|byte| char::from(alphabet[byte % alphabet.len()]));
        word.extend(letters.take(length - word.len()));
    }
    word
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use secrecy::ExposeSecret;
    use tollgate_testkit::{FakeClock, TestDb, database};
    use tollgate_types::Zone;

    use super::*;
    use crate::{Keys, Policy};

    async fn core() -> (TestDb, Core) {
        let database = TestDb::sqlite();
        let clock = Arc::new(FakeClock::new(database::NOW));
        let keys = Keys::new(&[7; 32]);
        let core = Core::open(database.open(), clock, Zone::UTC, keys, Policy::default(), [1; 32]).await;
        (database, core.unwrap())
    }

    #[tokio::test]
    async fn credentials_have_their_form_differ_and_open_for_their_own_name_only() {
        let (_database, core) = core().await;
        let made = make(&core, 100).await.unwrap();
        let names: std::collections::BTreeSet<_> = made.iter().map(|one| &one.username).collect();
        assert_eq!(names.len(), 100);
        for one in &made {
            let password = open(&core, &one.username, &one.password_sealed).unwrap();
            let (name, password) = (one.username.as_bytes(), password.expose_secret());
            assert!(name.len() == 10 && name[0] == b's' && name[1..].iter().all(|b| NAME.contains(b)));
            assert!(password.len() == 16 && password.bytes().all(|b| PASSWORD.contains(&b)));
            assert!(one.password_tag == core.keys().password_key().tag(password.as_bytes()));
            assert!(open(&core, "s000000000", &one.password_sealed).is_err(), "another name");
        }
        let number = order_no(&core);
        assert!(number.len() == 12 && number.bytes().all(|b| ORDER_NO.contains(&b)), "{number}");
    }

    #[tokio::test]
    async fn every_letter_is_as_likely_as_any_other() {
        let (_database, core) = core().await;
        let mut seen = BTreeMap::<char, u32>::new();
        for letter in word(&core, PASSWORD, 62_000).chars() {
            *seen.entry(letter).or_default() += 1;
        }
        // A thousand of each are expected; the standard deviation is 32.
        assert_eq!(seen.len(), 62);
        assert!(seen.values().all(|count| (800..1200).contains(count)), "{seen:?}");
    }
}
