//! The wall clock, and times as operators read them, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::types::UnixSeconds;

/// A time in seconds since 1970.
pub fn unix(time: SystemTime) -> UnixSeconds {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The wall clock, in seconds since 1970.
pub fn unix_now() -> UnixSeconds {
    now_ms() / 1000
}

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// `2026-11-24 16:01:11.042` for milliseconds since 1970.
pub fn stamp(at_ms: i64) -> String {
    let (days, ms) = (at_ms.div_euclid(86_400_000), at_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let seconds = ms / 1000;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        ms % 1000
    )
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar (Hinnant, `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    // Any time that a clock can show is far inside these limits; the file may hold anything.
    let days = days.clamp(-100_000_000, 100_000_000) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
    let text = stamp(seconds.saturating_mul(1000));
    text.split('.').next().unwrap_or_default().to_owned()
}

/// A text that ends in ` at` and seconds since 1970 with the time in words: `BadDeviceToken at 2026-11-24 16:01:11 UTC`.
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
