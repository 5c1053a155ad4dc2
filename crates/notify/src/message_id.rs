//! The name of a message, the same in every attempt to deliver it.

use std::fmt;

/// The longest id, in bytes.
const MAX_BYTES: usize = 64;

/// Not an id that can stand in every header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message's id is 1 to 64 letters, digits, '-' and '_'")]
pub struct BadMessageId;

/// A message's id: 1 to 64 ASCII letters, digits, `-` and `_`. A receiver knows by it what he has
/// got already; it travels as `webhook-id`, and as the first half of an e-mail's `Message-ID`. (A
/// dot would make it ambiguous what a signature covers.)
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(String);

impl MessageId {
    /// Takes an id.
    ///
    /// # Errors
    /// [`BadMessageId`].
    pub fn new(id: impl Into<String>) -> Result<Self, BadMessageId> {
        let id = id.into();
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let good = !id.is_empty() && id.len() <= MAX_BYTES && id.bytes().all(known);
        if good { Ok(Self(id)) } else { Err(BadMessageId) }
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_can_stand_in_a_header_and_nothing_else() {
        for good in ["msg_1", "a", "E-0198f", &"x".repeat(64)] {
            assert!(MessageId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a b", "a\r\nb", "消息", "<a>", &"x".repeat(65)] {
            assert_eq!(MessageId::new(bad), Err(BadMessageId), "{bad:?}");
        }
    }
}
