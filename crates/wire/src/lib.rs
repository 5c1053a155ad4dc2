//! Bytes to meaning and back: what a proxy client, an origin or an upstream proxy says on the wire.
//!
//! Everything here is pure: `&[u8]` in, values out, never a socket, never a clock. A parser looks at
//! what has arrived so far and says [`Parsed::Need`] or [`Parsed::Done`]; where the bytes cannot become
//! a message any more it says so at once. Nothing ambiguous is ever repaired: it is refused.
//!
//! The rooms of a connection, in the order it meets them: [`proxy_protocol`] hears of whom a front
//! speaks for, [`sniff`] tells the protocol, [`socks5`],
//! [`socks4`] or [`http`] understands the request and its [`target`], [`basic`] and [`username`] say who is asking,
//! [`body`] knows where a message ends, and [`refusal`] turns a reasoned no into bytes.

pub mod basic;
pub mod body;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod proxy_protocol;
pub mod refusal;
pub mod sniff;
pub mod socks4;
pub mod socks5;
pub mod target;
pub mod username;

/// What became of the bytes that have arrived so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// They are the beginning of a message: read more and ask again.
    Need,
    /// A whole message, and how many bytes of the buffer it took.
    Done(T, usize),
}

impl<T> Parsed<T> {
    /// The same, with the message turned into something else.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Parsed<U> {
        match self {
            Self::Need => Parsed::Need,
            Self::Done(message, consumed) => Parsed::Done(f(message), consumed),
        }
    }
}
