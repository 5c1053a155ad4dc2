//! Signatures by the Standard Webhooks scheme: HMAC-SHA-256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tollgate_types::Time;

use crate::{MessageId, WebhookSecret};

/// The signature of a message, `v1,` and base64, as `webhook-signature` carries it. `at` is when
/// the attempt is made: receivers refuse what is more than minutes old.
pub fn sign(secret: &WebhookSecret, id: &MessageId, at: Time, body: &str) -> String {
    format!("v1,{}", STANDARD.encode(mac(secret.key(), &format!("{id}.{}.{body}", seconds(at)))))
}

/// A time as `webhook-timestamp` carries it: whole seconds since the epoch.
pub(crate) fn seconds(at: Time) -> i64 {
    at.micros().div_euclid(1_000_000)
}

fn mac(key: &[u8], message: &str) -> [u8; 32] {
    // HMAC takes keys of any length, so this branch is never left by the other side.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_schemes_own_example_does() {
        // The example of the Standard Webhooks specification's libraries.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = MessageId::new("msg_p5jXN8AQM9LWM0D4loKWxJek").unwrap();
        let at = Time::from_micros(1_614_265_330_999_999);
        let signature = sign(&secret, &id, at, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
