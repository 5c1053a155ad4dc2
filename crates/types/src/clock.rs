//! The clock is handed in, so that tests can hold it still and drive it over months.

use crate::Time;

/// Tells the time of day.
pub trait Clock: Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> Time;
}

/// The machine's clock. Made once, in the binary, and handed to whoever needs the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Time {
        Time::from_jiff(jiff::Timestamp::now())
    }
}
