//! The wall clock, and times as operators read them, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, PrimitiveDateTime};

use crate::types::{UnixMicros, UnixSeconds};

/// A time in seconds since 1970.
pub fn unix(time: SystemTime) -> UnixSeconds {
    unix_ms(time) / 1000
}

/// A time in milliseconds since 1970; 0 for any before.
pub fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// The time that is so many seconds after 1970; `None` for one before, or too far away.
pub fn from_unix(seconds: UnixSeconds) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// The wall clock, in seconds since 1970.
pub fn unix_now() -> UnixSeconds {
    now_ms() / 1000
}

/// Microseconds since 1970, now.
pub fn unix_micros() -> UnixMicros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixMicros::try_from(since.unwrap_or_default().as_micros()).unwrap_or(UnixMicros::MAX)
}

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    unix_ms(SystemTime::now())
}

/// A duration in milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-11-24 16:01:11.042` for milliseconds since 1970.
pub fn stamp(at_ms: i64) -> String {
    let at = date(at_ms);
    format!("{}.{:03}", shown(at), at.millisecond())
}

/// A date in the calendar. Any time that a clock can show has one; the journal's file may hold anything.
fn date(at_ms: i64) -> OffsetDateTime {
    let last = if at_ms < 0 {
        PrimitiveDateTime::MIN
    } else {
        PrimitiveDateTime::MAX
    };
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).unwrap_or(last.assume_utc())
}

fn shown(at: OffsetDateTime) -> String {
    let (hour, minute, second) = at.to_hms();
    format!(
        "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}",
        at.year(),
        u8::from(at.month()),
        at.day()
    )
}

/// A span in the unit that is read most easily: `12 ms`, `3.4 s`, `5 min`, `2 h`, `9 days`.
pub fn span(ms: i64) -> String {
    let tenths = |unit: i64| format!("{}.{}", ms / unit, ms % unit * 10 / unit);
    match ms {
        ..0 => format!("-{}", span(ms.saturating_neg().max(1))),
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{} s", tenths(1000)),
        60_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// A time in seconds since 1970, as `2026-11-24 16:01:11`.
pub fn to_the_second(seconds: i64) -> String {
    shown(date(seconds.saturating_mul(1000)))
}

/// The day of a time, as `2026-11-24`.
pub fn day(at: SystemTime) -> String {
    let at = date(unix_ms(at));
    format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day())
}

/// A text that ends in ` at` and seconds since 1970 with the time in words: `BadDeviceToken at 2026-11-24 16:01:11
/// UTC`.
pub fn with_date(text: &str) -> String {
    match text.rsplit_once(" at ") {
        Some((what, at)) if at.len() >= 9 && at.bytes().all(|b| b.is_ascii_digit()) => match at.parse() {
            Ok(seconds) => format!("{what} at {} UTC", to_the_second(seconds)),
            Err(_) => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_calendar_dates() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_001, "2000-02-29 00:00:00.001"),
            (1_795_536_071_042, "2026-11-24 16:01:11.042"),
            (-1, "1969-12-31 23:59:59.999"),
        ] {
            assert_eq!(stamp(ms), text);
        }
        assert!(!stamp(i64::MIN).is_empty() && !stamp(i64::MAX).is_empty());
    }

    #[test]
    fn seconds_since_1970_are_calendar_dates_to_the_second() {
        assert_eq!(to_the_second(0), "1970-01-01 00:00:00");
        assert_eq!(to_the_second(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(to_the_second(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(to_the_second(1_735_689_599), "2024-12-31 23:59:59");
    }

    #[test]
    fn seconds_since_1970_become_a_date_and_other_text_stays() {
        assert_eq!(
            with_date("BadDeviceToken at 1795536071"),
            "BadDeviceToken at 2026-11-24 16:01:11 UTC"
        );
        for text in ["", "BadDeviceToken", "look at 7", "x at 99999999999999999999"] {
            assert_eq!(with_date(text), text);
        }
    }

    #[test]
    fn spans_have_the_unit_of_their_size() {
        let spans = [999, 1000, 61_000, 7_300_000, 172_800_000, -30, i64::MIN].map(span);
        assert_eq!(spans[..6], ["999 ms", "1.0 s", "1 min", "2 h", "2 days", "-30 ms"]);
    }
}
