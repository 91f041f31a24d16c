//! Times as logs write them: without a zone, often without a year.

use crate::event::{Civil, Timestamp};
use jiff::tz::TimeZone;
use std::sync::Mutex;

const DAY: i64 = 86_400 * 1_000_000_000;
/// How far a line's clock may be ahead of ours before its year is taken to be the one before.
const AHEAD_MAX: i64 = DAY;
/// No zone lies further from UTC than this.
const OFFSET_MAX: i64 = 18 * 3_600 * 1_000_000_000;
/// The last 29th of February lies at most eight years back (1896 to 1904, 2096 to 2104).
const YEARS_BACK: i32 = 8;

/// What a header says about the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing.
    Absent,
    /// With its zone.
    Instant(Timestamp),
    /// Without a zone.
    Local(Civil),
    /// Without a zone and a year; the year in it is a placeholder.
    Yearless(Civil),
}

/// One hour of one zone in which the offset does not change.
#[derive(Debug)]
struct Hour {
    zone: TimeZone,
    /// Year, month, day, hour.
    civil: (i32, u8, u8, u8),
    offset: i32,
}

/// Turns written times into instants. Lines of one log share their hour, so that the time zone
/// library is asked once an hour and not once a line.
#[derive(Debug, Default)]
pub(super) struct ZoneCache {
    hour: Mutex<Option<Hour>>,
}

impl ZoneCache {
    /// The instant, if any; `received` settles the year where there is none.
    pub(super) fn instant(
        &self,
        written: Written,
        zone: &TimeZone,
        received: Timestamp,
    ) -> Option<Timestamp> {
        match written {
            Written::Absent => None,
            Written::Instant(time) => Some(time),
            Written::Local(civil) => Some(self.local(civil, zone)),
            Written::Yearless(civil) => self.nearest_past(civil, zone, received),
        }
    }

    /// The latest year that puts the time at most one day after `received`.
    fn nearest_past(
        &self,
        civil: Civil,
        zone: &TimeZone,
        received: Timestamp,
    ) -> Option<Timestamp> {
        let latest = received.plus(AHEAD_MAX);
        let newest = Civil::from_timestamp(latest).year + 1;
        (newest - YEARS_BACK..=newest).rev().find_map(|year| {
            let civil = Civil { year, ..civil };
            let near = civil.is_valid() && civil.at_offset(0).since(latest) <= OFFSET_MAX;
            near.then(|| self.local(civil, zone)).filter(|time| *time <= latest)
        })
    }

    fn local(&self, civil: Civil, zone: &TimeZone) -> Timestamp {
        if *zone == TimeZone::UTC {
            return civil.at_offset(0);
        }
        let key = (civil.year, civil.month, civil.day, civil.hour);
        // A worker that finds the lock taken asks the library itself instead of waiting.
        let Ok(mut hour) = self.hour.try_lock() else {
            return civil.at_offset(offset(civil, zone));
        };
        if let Some(known) = hour.as_ref().filter(|known| known.civil == key && known.zone == *zone)
        {
            return civil.at_offset(known.offset);
        }
        let first = offset(Civil { minute: 0, second: 0, nanos: 0, ..civil }, zone);
        let last = offset(Civil { minute: 59, second: 59, nanos: 0, ..civil }, zone);
        if first == last {
            *hour = Some(Hour { zone: zone.clone(), civil: key, offset: first });
            return civil.at_offset(first);
        }
        civil.at_offset(offset(civil, zone))
    }
}

/// Seconds east of UTC at a local time; of two answers (clocks set back) the earlier instant.
fn offset(civil: Civil, zone: &TimeZone) -> i32 {
    let second = civil.second.min(59);
    let local = jiff::civil::DateTime::new(
        civil.year as i16,
        civil.month as i8,
        civil.day as i8,
        civil.hour as i8,
        civil.minute as i8,
        second as i8,
        0,
    );
    let Ok(instant) = local.and_then(|local| zone.to_ambiguous_timestamp(local).compatible())
    else {
        return 0;
    };
    let utc = Civil { second, nanos: 0, ..civil }.at_offset(0).seconds();
    (utc - instant.as_second()) as i32
}

/// `Z`, `+01:00`, `+0100` or `+01`, with nothing behind it, in seconds east of UTC.
pub(super) fn offset_seconds(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let sign = match bytes {
        b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let two = |high: u8, low: u8| {
        (high.is_ascii_digit() && low.is_ascii_digit())
            .then(|| i32::from(high - b'0') * 10 + i32::from(low - b'0'))
    };
    let (hours, minutes) = match *bytes {
        [_, a, b] => (two(a, b)?, 0),
        [_, a, b, c, d] | [_, a, b, b':', c, d] => (two(a, b)?, two(c, d)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn civil(text: &str) -> Civil {
        Civil::parse_iso(text).unwrap().0
    }

    fn settle(written: Written, zone: &TimeZone, received: &str) -> String {
        let received = Timestamp::parse_rfc3339(received).unwrap();
        ZoneCache::default().instant(written, zone, received).unwrap().to_string()
    }

    #[test]
    fn the_year_is_the_latest_that_is_not_more_than_a_day_ahead() {
        let at = |text: &str| Written::Yearless(civil(text));
        for (line, received, wanted) in [
            ("2000-12-31T23:59:59", "2027-01-01T00:00:05Z", "2026-12-31T23:59:59Z"),
            ("2000-01-01T00:30:00", "2026-12-31T23:59:00Z", "2027-01-01T00:30:00Z"),
            ("2000-01-02T00:30:00", "2026-12-31T23:59:00Z", "2026-01-02T00:30:00Z"),
            ("2000-06-01T00:00:00", "2026-06-02T00:00:00Z", "2026-06-01T00:00:00Z"),
            ("2000-02-29T12:00:00", "2026-11-21T00:00:00Z", "2024-02-29T12:00:00Z"),
        ] {
            assert_eq!(settle(at(line), &TimeZone::UTC, received), wanted, "{line} {received}");
        }
    }

    #[test]
    fn zones_apply_with_their_summer_time_and_the_cache_changes_nothing() {
        let zone = TimeZone::get("Australia/Lord_Howe").unwrap();
        let cache = ZoneCache::default();
        for (local, wanted) in [
            ("2026-01-10T12:00:00", "2026-01-10T01:00:00Z"),
            ("2026-07-10T12:00:00", "2026-07-10T01:30:00Z"),
            ("2026-10-04T01:59:00", "2026-10-03T15:29:00Z"),
            // 02:00 to 02:30 do not exist on this day: the clock had not moved yet.
            ("2026-10-04T02:10:00", "2026-10-03T15:40:00Z"),
            ("2026-10-04T02:40:00", "2026-10-03T15:40:00Z"),
        ] {
            for _ in 0..2 {
                let time = cache.instant(Written::Local(civil(local)), &zone, Timestamp::default());
                assert_eq!(time.unwrap().to_string(), wanted, "{local}");
            }
        }
    }

    #[test]
    fn offsets_in_every_spelling() {
        for (text, wanted) in [
            ("Z", Some(0)),
            ("+05:30", Some(19_800)),
            ("-0800", Some(-28_800)),
            ("+02", Some(7_200)),
            ("+24:00", None),
            ("+1:00", None),
            ("CET", None),
            ("", None),
        ] {
            assert_eq!(offset_seconds(text), wanted, "{text}");
        }
    }
}
