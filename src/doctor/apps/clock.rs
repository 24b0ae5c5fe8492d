//! This machine's clock, compared with the providers'.

use std::time::{Duration, SystemTime};

use crate::clock::span;
use crate::doctor::check::{APPS as FAMILY, Check};

/// A clock that is off by this much causes errors at some provider sooner or later; Apple refuses tokens from the
/// future.
const SKEW_NOTICED: Duration = Duration::from_secs(30);

const SKEW_REFUSED: Duration = Duration::from_secs(300);

pub(super) fn skew(here: SystemTime, there: SystemTime) -> Duration {
    here.duration_since(there).unwrap_or_else(|ahead| ahead.duration())
}

/// The provider that differs most; one that reports it without a date counts as well.
pub(super) fn clock(skews: &[Duration], told_by: &[String]) -> Option<Check> {
    let advice = "set it (NTP): providers refuse tokens that are signed in the past or the future";
    let most = skews.iter().max();
    if !told_by.is_empty() && most.is_none_or(|most| *most < SKEW_REFUSED) {
        let seen = format!(
            "is wrong: the provider of {} calls a token expired that was signed just now",
            told_by.join(", ")
        );
        return Some(Check::error(FAMILY, "clock", seen, advice));
    }
    let most = most?;
    let seen = format!(
        "differs from the providers' by {}",
        span(i64::try_from(most.as_millis()).unwrap_or(i64::MAX))
    );
    Some(if *most >= SKEW_REFUSED {
        Check::error(FAMILY, "clock", seen, advice)
    } else if *most >= SKEW_NOTICED {
        Check::warning(FAMILY, "clock", seen, advice)
    } else {
        Check::ok(FAMILY, "clock", seen)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::CheckState;

    #[test]
    fn clock_is_judged_by_the_provider_that_agrees_least() {
        let states = |seconds: &[u64]| {
            let skews: Vec<_> = seconds.iter().copied().map(Duration::from_secs).collect();
            clock(&skews, &[]).map(|check| check.state)
        };
        assert_eq!(states(&[]), None);
        assert_eq!(states(&[0, 2]), Some(CheckState::Ok));
        assert_eq!(states(&[1, 31]), Some(CheckState::Warning));
        assert_eq!(states(&[301, 0]), Some(CheckState::Error));
        // A fresh token that is "expired" shows it without a date.
        let told = clock(&[], &["ios".into()]).unwrap();
        assert_eq!(told.state, CheckState::Error);
        assert!(
            told.seen.contains("the provider of ios calls a token expired"),
            "{told:?}"
        );
    }
}
