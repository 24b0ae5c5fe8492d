//! Wall-clock times in the forms that FreeSWITCH prints.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01.
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is after 1970");
    u64::try_from(since.as_micros()).expect("the clock is before the year 500000")
}

struct Civil {
    year: u64,
    month: usize,
    day: u64,
    weekday: usize,
    hms: (u64, u64, u64),
}

/// Howard Hinnant's civil_from_days, for dates after 1970.
fn civil(micros: u64) -> Civil {
    let secs = micros / 1_000_000;
    let days = secs / 86_400;
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    Civil {
        year: yoe + era * 400 + u64::from(month <= 2),
        month: usize::try_from(month).expect("a month"),
        day: doy - (153 * mp + 2) / 5 + 1,
        weekday: usize::try_from((days + 4) % 7).expect("a weekday"),
        hms: (secs % 86_400 / 3600, secs % 3600 / 60, secs % 60),
    }
}

/// `2026-11-23 03:15:44`.
pub(crate) fn local(micros: u64) -> String {
    let Civil {
        year,
        month,
        day,
        hms: (h, m, s),
        ..
    } = civil(micros);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}")
}

/// `Mon, 23 Nov 2026 03:15:44 GMT`.
pub(crate) fn gmt(micros: u64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let Civil {
        year,
        month,
        day,
        weekday,
        hms: (h, m, s),
    } = civil(micros);
    format!(
        "{}, {day:02} {} {year:04} {h:02}:{m:02}:{s:02} GMT",
        DAYS[weekday],
        MONTHS[month - 1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_freeswitchs_format() {
        assert_eq!(local(1_795_403_744_972_912), "2026-11-23 03:15:44");
        assert_eq!(gmt(1_795_403_744_972_912), "Mon, 23 Nov 2026 03:15:44 GMT");
    }
}
