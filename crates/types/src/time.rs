//! Time: microseconds since the Unix epoch in UTC, and days of the platform's time zone.

use std::fmt;
use std::time::Duration;

use jiff::civil;
use jiff::tz::{Offset, TimeZone};

/// Why a time or a zone was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not a date, nor a date and time, in one of the forms that are taken.
    #[error("not a date or time; use YYYY-MM-DD or YYYY-MM-DD HH:MM:SS")]
    Malformed,
    /// No such time zone.
    #[error("no time zone is called {0:?}; use an IANA name such as UTC or Asia/Shanghai")]
    UnknownZone(String),
}

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

impl Time {
    /// From microseconds since the epoch, as the store keeps it.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This much later; stays at the end of time rather than wrapping.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This much earlier.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero where it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `2026-03-01T12:00:00Z` (RFC 3339, UTC), with a fraction where there is one.
    pub fn rfc3339(self) -> String {
        self.to_jiff().to_string()
    }

    pub(crate) fn from_jiff(at: jiff::Timestamp) -> Self {
        Self(at.as_microsecond())
    }

    fn to_jiff(self) -> jiff::Timestamp {
        let most = jiff::Timestamp::MAX.as_microsecond();
        let least = jiff::Timestamp::MIN.as_microsecond();
        jiff::Timestamp::from_microsecond(self.0.clamp(least, most)).unwrap_or_default()
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff())
    }
}

/// A calendar day: days since 1970-01-01, in whichever zone it was asked of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// From days since 1970-01-01, as the store keeps it.
    pub const fn from_number(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// So many days later (earlier, where negative).
    pub const fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// `YYYY-MM-DD`. Other forms, a time behind the date among them, are refused.
    ///
    /// # Errors
    /// [`TimeError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        parse_date(text).map(Self::from_civil)
    }

    fn from_civil(date: civil::Date) -> Self {
        let epoch = civil::date(1970, 1, 1);
        Self(date.since((jiff::Unit::Day, epoch)).map_or(0, |span| span.get_days()))
    }

    fn to_civil(self) -> civil::Date {
        civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(self.0.clamp(-700_000, 2_900_000)))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_civil().fmt(f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_civil().fmt(f)
    }
}

/// The platform's time zone: what times are shown in, and whose days the trends count.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time, the default.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// A zone by its IANA name.
    ///
    /// # Errors
    /// [`TimeError::UnknownZone`].
    pub fn named(name: &str) -> Result<Self, TimeError> {
        TimeZone::get(name).map(Self).map_err(|_| TimeError::UnknownZone(name.to_owned()))
    }

    /// `YYYY-MM-DD HH:MM:SS`, as the contract shows times.
    pub fn show(&self, at: Time) -> String {
        let at = at.to_jiff().to_zoned_datetime(self.0.clone()).datetime();
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }

    /// The day that a moment falls on.
    pub fn day(&self, at: Time) -> Day {
        Day::from_civil(at.to_jiff().to_zoned_datetime(self.0.clone()).date())
    }

    /// The first moment of a day.
    pub fn start_of(&self, day: Day) -> Time {
        let start = day.to_civil().to_zoned_datetime(self.0.clone());
        start.map_or(Time(i64::MAX), |zoned| Time::from_jiff(zoned.timestamp()))
    }

    /// Understands a date, or a date and a time of day, in this zone (contract §2): a blank, a `T`
    /// or (as in the document's own samples) nothing between them, with or without seconds and
    /// their fraction. An offset from UTC behind it (`Z`, `+08:00`, `+0800`, `+08`) is converted.
    ///
    /// # Errors
    /// [`TimeError::Malformed`].
    pub fn parse(&self, text: &str) -> Result<Time, TimeError> {
        let text = text.trim();
        let (date, rest) = text.split_at_checked(10).ok_or(TimeError::Malformed)?;
        let date = parse_date(date)?;
        let rest = rest.strip_prefix(['T', 't', ' ']).unwrap_or(rest).trim_start();
        let (clock, offset) = split_offset(rest)?;
        let zone = offset.unwrap_or_else(|| self.0.clone());
        let at =
            date.to_datetime(if clock.is_empty() { civil::Time::midnight() } else { parse_clock(clock)? });
        let zoned = at.to_zoned_datetime(zone).map_err(|_| TimeError::Malformed)?;
        Ok(Time::from_jiff(zoned.timestamp()))
    }
}

/// The furthest that any place's clock is from UTC, in hours.
const FURTHEST_OFFSET: i32 = 14;

/// Splits a time of day from the offset behind it. A blank in the place of the sign, before `HH:MM`,
/// is the plus that a query string turns into a blank.
fn split_offset(text: &str) -> Result<(&str, Option<TimeZone>), TimeError> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Ok((clock.trim_end(), Some(TimeZone::UTC)));
    }
    let Some(at) = text.find(['+', '-', ' ']) else { return Ok((text, None)) };
    let (clock, offset) = text.split_at(at);
    let offset = offset.trim_start();
    let (sign, amount) = match (offset.strip_prefix('+'), offset.strip_prefix('-')) {
        (Some(east), _) => (1, east),
        (_, Some(west)) => (-1, west),
        (None, None) if offset.contains(':') => (1, offset),
        (None, None) => return Err(TimeError::Malformed),
    };
    let offset = Offset::from_seconds(sign * offset_seconds(amount)?).map_err(|_| TimeError::Malformed)?;
    Ok((clock, Some(TimeZone::fixed(offset))))
}

/// `HH:MM`, `HHMM` or `HH`, as seconds.
fn offset_seconds(text: &str) -> Result<i32, TimeError> {
    let (hours, minutes) = text.split_at_checked(2).ok_or(TimeError::Malformed)?;
    let minutes = minutes.strip_prefix(':').filter(|minutes| !minutes.is_empty()).unwrap_or(minutes);
    let hours = digits(hours, 2)?;
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes, 2)? };
    let seconds = (hours * 60 + minutes) * 60;
    match minutes < 60 && seconds <= FURTHEST_OFFSET * 3600 {
        true => Ok(seconds),
        false => Err(TimeError::Malformed),
    }
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`.
fn parse_clock(text: &str) -> Result<civil::Time, TimeError> {
    let (whole, fraction) = text.split_once('.').map_or((text, ""), |(w, f)| (w, f));
    let mut parts = whole.split(':').map(|part| digits(part, 2));
    let hour = parts.next().ok_or(TimeError::Malformed)??;
    let minute = parts.next().ok_or(TimeError::Malformed)??;
    let second = parts.next().unwrap_or(Ok(0))?;
    let fraction_ok = fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || !fraction_ok {
        return Err(TimeError::Malformed);
    }
    let nanos = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().unwrap_or(0) };
    let small = |n: i32| i8::try_from(n).map_err(|_| TimeError::Malformed);
    civil::Time::new(small(hour)?, small(minute)?, small(second)?, nanos).map_err(|_| TimeError::Malformed)
}

fn parse_date(text: &str) -> Result<civil::Date, TimeError> {
    let mut parts = text.split('-');
    let mut next = |width| digits(parts.next().unwrap_or(""), width);
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    if parts.next().is_some() {
        return Err(TimeError::Malformed);
    }
    let year = i16::try_from(year).map_err(|_| TimeError::Malformed)?;
    let small = |n: i32| i8::try_from(n).map_err(|_| TimeError::Malformed);
    civil::Date::new(year, small(month)?, small(day)?).map_err(|_| TimeError::Malformed)
}

/// Exactly so many decimal digits.
fn digits(text: &str, width: usize) -> Result<i32, TimeError> {
    if text.len() != width || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeError::Malformed);
    }
    text.parse().map_err(|_| TimeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_and_understands_the_documents_own_samples() {
        let zone = Zone::UTC;
        for sample in [
            "2025-09-14 12:50:06",
            "2025-09-14T12:50:06.43",
            "2025-09-1412:50:06.43",
            "2025-09-14 12:50:06.43Z",
        ] {
            let at = zone.parse(sample).expect(sample);
            assert_eq!(zone.show(at), "2025-09-14 12:50:06", "{sample}");
        }
        assert_eq!(zone.show(zone.parse("2025-09-14").unwrap()), "2025-09-14 00:00:00");
    }

    #[test]
    fn offsets_are_converted() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        for text in [
            "2026-03-01T20:00:00+08:00",
            "2026-03-01 20:00:00 +08:00",
            "2026-03-01T20:00:00 08:00",
            "2026-03-01 20:00+0800",
            "2026-03-0120:00:00.5+08",
            "2026-03-01T06:30:00-05:30",
            "2026-03-01T12:00:00-00:00",
            "2026-03-01 12:00:00 Z",
        ] {
            assert_eq!(Zone::UTC.show(berlin.parse(text).expect(text)), "2026-03-01 12:00:00", "{text}");
        }
        let midnight = berlin.parse("2026-03-01+08:00").unwrap();
        assert_eq!(Zone::UTC.show(midnight), "2026-02-28 16:00:00");
        let eight = berlin.parse("2026-03-01 08:00").unwrap();
        assert_eq!(berlin.show(eight), "2026-03-01 08:00:00", "a time of day is no offset");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for bad in [
            "",
            "2025-9-1",
            "2025-02-30",
            "2025-09-14 25:00:00",
            "2025-09-14 1:2:3",
            "x",
            "2025-09-14 12:00:00x",
            "2025-09-14 12:00:00+15:00",
            "2025-09-14 12:00:00+08:60",
            "2025-09-14 12:00:00+8",
            "2025-09-14 12:00:00+08:",
            "2025-09-14 12:00:00+",
            "2025-09-14 12:00:00 08",
            "2025-09-14 12:00:00 08:00 09:00",
            "２025-09-14",
        ] {
            assert_eq!(Zone::UTC.parse(bad), Err(TimeError::Malformed), "{bad}");
        }
    }

    #[test]
    fn days_follow_the_zone() {
        let shanghai = Zone::named("Asia/Shanghai").unwrap();
        let late = Zone::UTC.parse("2026-03-01 16:30:00").unwrap();
        assert_eq!(Zone::UTC.day(late).to_string(), "2026-03-01");
        assert_eq!(shanghai.day(late).to_string(), "2026-03-02");
        assert_eq!(shanghai.start_of(shanghai.day(late)), Zone::UTC.parse("2026-03-01 16:00:00").unwrap());
        assert_eq!(Day::parse("2026-03-02").unwrap().plus_days(-1).to_string(), "2026-03-01");
    }
}
