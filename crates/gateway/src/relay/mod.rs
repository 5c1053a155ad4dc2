//! Bytes on their way between a client and a target: granted, throttled, counted.

mod bandwidth;
mod datagrams;
mod ending;
mod forward;
mod meter;
mod moved;
mod pipe;
mod tunnel;

pub(crate) use bandwidth::{Bucket, Throttle};
pub(crate) use datagrams::{Association, Destinations, Family, Outlet, relay_at};
pub(crate) use ending::{break_off, close_gently};
pub(crate) use forward::{Exchange, Exchanged};
pub(crate) use meter::{Broke, Meter};
pub(crate) use moved::MovedBytes;
pub(crate) use tunnel::{Ended, relay};
