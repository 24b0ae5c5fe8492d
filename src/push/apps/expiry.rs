//! When to warn an operator that a certificate expires.

/// Days before the end; each is announced once.
const WARN_AT_DAYS: [i64; 6] = [60, 30, 14, 7, 3, 1];
/// In seconds.
pub(crate) const DAY: i64 = 86_400;

/// The warning of [`WARN_AT_DAYS`] that is due with `left` seconds to go, 0 for the end itself; `said` is the last one
/// given.
pub(crate) fn due(left: i64, said: Option<i64>) -> Option<i64> {
    let due = if left <= 0 {
        0
    } else {
        WARN_AT_DAYS.into_iter().rev().find(|days| left <= days * DAY)?
    };
    said.is_none_or(|said| due < said).then_some(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_is_given_once_while_the_days_run_out() {
        let (mut said, mut given) = (None, Vec::new());
        for hour in (-48..24 * 90).rev() {
            if let Some(days) = due(hour * 3600, said) {
                said = Some(days);
                given.push((days, hour));
            }
        }
        let expected: Vec<_> = [60, 30, 14, 7, 3, 1, 0].map(|days| (days, days * 24)).to_vec();
        assert_eq!(given, expected);
    }

    #[test]
    fn daemon_that_starts_late_says_only_what_holds_now() {
        assert_eq!(due(20 * DAY, None), Some(30));
        assert_eq!(due(20 * DAY, Some(30)), None);
        assert_eq!(due(61 * DAY, None), None);
        assert_eq!(due(-5, Some(1)), Some(0));
        assert_eq!(due(-5, Some(0)), None);
    }
}
