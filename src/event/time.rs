//! Event time: nanoseconds since the epoch, and the civil calendar without a time zone library.

use std::fmt;

const NANOS: i64 = 1_000_000_000;

/// An instant, in nanoseconds since 1970-01-01T00:00:00Z (years 1677 to 2262).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every event.
    pub const MIN: Self = Self(i64::MIN);

    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From seconds since the epoch; saturates outside the range.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS))
    }

    /// From milliseconds since the epoch; saturates outside the range.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS)
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant moved by nanoseconds, saturating.
    #[must_use]
    pub const fn plus(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to this instant, saturating.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339 (`2026-11-21T10:00:00.5+01:00`); a blank or `t` may stand for `T`.
    /// `None` when it is not such a time or has no zone.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let (civil, rest) = Civil::parse_iso(text)?;
        Some(civil.at_offset(parse_offset(rest)?))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many digits of the fraction as are needed.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::from_timestamp(*self);
        write!(
            out,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
        )?;
        match civil.nanos {
            0 => {}
            nanos if nanos % 1_000_000 == 0 => write!(out, ".{:03}", nanos / 1_000_000)?,
            nanos if nanos % 1_000 == 0 => write!(out, ".{:06}", nanos / 1_000)?,
            nanos => write!(out, ".{nanos:09}")?,
        }
        out.write_str("Z")
    }
}

/// A date and time of day as written, without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// For example 2026.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60 (a leap second counts as the next second).
    pub second: u8,
    /// Nanoseconds of the second.
    pub nanos: u32,
}

impl Civil {
    /// Whether such a day and time exist.
    pub fn is_valid(&self) -> bool {
        (1..=12).contains(&self.month)
            && self.day >= 1
            && self.day <= days_in_month(self.year, self.month)
            && self.hour < 24
            && self.minute < 60
            && self.second <= 60
    }

    /// The instant, if the clock that wrote it stood `offset` seconds east of UTC.
    pub fn at_offset(&self, offset: i32) -> Timestamp {
        let days = days_from_civil(self.year, self.month, self.day);
        let seconds = days * 86_400
            + i64::from(self.hour) * 3_600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
            - i64::from(offset);
        Timestamp::from_seconds(seconds).plus(i64::from(self.nanos))
    }

    /// The date and time of day in UTC.
    pub fn from_timestamp(time: Timestamp) -> Self {
        let seconds = time.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        Self {
            year,
            month,
            day,
            hour: (of_day / 3_600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
            nanos: time.nanos().rem_euclid(NANOS) as u32,
        }
    }

    /// Reads `YYYY-MM-DD?HH:MM:SS[.,fraction]` (any of `T`, `t`, blank between) and gives what
    /// follows. `None` when the text does not start so or no such time exists.
    pub fn parse_iso(text: &str) -> Option<(Self, &str)> {
        let bytes = text.as_bytes();
        let digits = |range: std::ops::Range<usize>| -> Option<u32> {
            bytes.get(range)?.iter().try_fold(0_u32, |sum, byte| {
                byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'))
            })
        };
        let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
        let separated =
            is(4, b"-/") && is(7, b"-/") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
        if !separated {
            return None;
        }
        let mut civil = Self {
            year: digits(0..4)? as i32,
            month: digits(5..7)? as u8,
            day: digits(8..10)? as u8,
            hour: digits(11..13)? as u8,
            minute: digits(14..16)? as u8,
            second: digits(17..19)? as u8,
            nanos: 0,
        };
        let mut rest = text.get(19..)?;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if count > 0 {
                civil.nanos = parse_fraction(fraction.get(..count)?);
                rest = fraction.get(count..)?;
            }
        }
        civil.is_valid().then_some((civil, rest))
    }
}

/// The digits after the point as nanoseconds; what is finer is cut.
fn parse_fraction(digits: &str) -> u32 {
    let (mut nanos, mut scale) = (0, 100_000_000);
    for digit in digits.bytes().take(9) {
        nanos += u32::from(digit - b'0') * scale;
        scale /= 10;
    }
    nanos
}

/// `Z`, `+01:00`, `+0100` or `+01`, with nothing behind it, in seconds east of UTC.
fn parse_offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = match digits.len() {
        2 => (number, 0),
        4 => (number / 100, number % 100),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since the epoch, after Howard Hinnant, "chrono-compatible low-level date algorithms".
fn days_from_civil(year: i32, month: u8, day: u8) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i32, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u8;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u8, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_and_rejects_what_is_no_time() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-21T22:00:00.5Z", 1_795_298_400_500_000_000),
            ("2024-02-29T23:59:59.123456789Z", 1_709_251_199_123_456_789),
            ("1969-12-31T23:59:59Z", -1_000_000_000),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), Some(Timestamp(nanos)), "{text}");
        }
        assert_eq!(
            Timestamp::parse_rfc3339("2026-11-21T22:00:00+05:30").map(|time| time.to_string()),
            Some("2026-11-21T16:30:00Z".to_owned())
        );
        assert_eq!(Timestamp(1_500_000_000).to_string(), "1970-01-01T00:00:01.500Z");
        for bad in [
            "",
            "2026-02-30T00:00:00Z",
            "2026-11-21T22:00:00",
            "2026-11-21",
            "2026-11-21T25:00:00Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn civil_dates_round_trip_over_eight_centuries() {
        for day in (-200_000..200_000).step_by(97) {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
        }
    }
}
