//! Whether and when to try again. The policy is pure; `Wait` applies it to one push.
//!
//! A call push is of use for as long as the caller waits and no longer, so the wait is the only limit on the number
//! of tries, and each try is bounded so that a provider that accepts and never answers cannot eat the wait.

use std::borrow::Cow;
use std::future::Future;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use crate::jitter;
use crate::types::push::{KeptBy, PushError, PushReceipt};

/// The longest that one try may take, connecting included.
pub const TRY_LIMIT: Duration = Duration::from_secs(3);
/// Pause after the first failure, before jitter.
pub const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The most tries without a pause.
const AT_ONCE: u32 = 4;
/// Longest pause that we choose ourselves.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long to pause after the `failures`th failure, or `None` when the wait (`left`) would be over by then.
///
/// Doubles from [`FIRST_PAUSE`] to [`LONGEST_PAUSE`]; `jitter` in 0..1 picks from its upper half, so that the pushes
/// that failed together do not come back together. A provider's `Retry-After` is never cut short.
pub fn pause(failures: u32, retry_after: Option<Duration>, jitter: f64, left: Duration) -> Option<Duration> {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let ours = doubled.min(LONGEST_PAUSE).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
    let pause = ours.max(retry_after.unwrap_or_default());
    (pause < left).then_some(pause)
}

/// Reads `Retry-After` (RFC 9110 section 10.2.3): seconds or a date.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    value.parse().map(Duration::from_secs).ok().or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(now).unwrap_or_default())
    })
}

/// The `Retry-After` of a reply, if it has one that can be read.
pub(crate) fn header_retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// The outcome of one try.
#[derive(Debug)]
pub(crate) enum Try {
    Taken {
        provider_id: Option<String>,
        status: u16,
    },
    Refused(PushError),
    /// It may work later.
    TransientFailure(TransientFailure),
    /// The cause was removed (a new provider token): try again without a pause.
    Again {
        reason: String,
        /// Whether the connection cannot be used for it.
        on_new_connection: bool,
    },
}

/// A failure that may pass.
#[derive(Clone, Debug)]
pub(crate) struct TransientFailure {
    pub kept_by: KeptBy,
    pub reason: String,
    pub retry_after: Option<Duration>,
    /// A connection that was open broke: the first time, the push is sent again on a new one without a pause.
    pub has_broken: bool,
}

impl TransientFailure {
    /// Nothing came back in time.
    pub(crate) fn no_answer(reason: &str) -> Self {
        Self {
            kept_by: KeptBy::NoAnswer,
            reason: reason.to_owned(),
            retry_after: None,
            has_broken: false,
        }
    }

    /// The provider answers that it takes the push later, if at all.
    pub(crate) fn answered(kept_by: KeptBy, code: &str, headers: &HeaderMap, now: SystemTime) -> Self {
        let status = kept_by.answered().unwrap_or_default();
        Self {
            kept_by,
            reason: format!("{status} {code}"),
            retry_after: header_retry_after(headers, now),
            has_broken: false,
        }
    }
}

impl From<TransientFailure> for PushError {
    fn from(TransientFailure { kept_by, reason, .. }: TransientFailure) -> Self {
        Self::Exhausted { kept_by, reason }
    }
}

impl Try {
    /// The provider rejects the push, by a code that adds nothing to its status.
    pub(crate) fn refused(status: u16, code: String) -> Self {
        Self::Refused(match status {
            401 | 403 => PushError::credentials(code),
            _ => PushError::Rejected {
                status,
                reason: code,
                topic: None,
            },
        })
    }

    /// The error of one that is not repeated and was not taken.
    pub(crate) fn into_error(self) -> Option<PushError> {
        match self {
            Self::Taken { .. } => None,
            Self::Refused(error) => Some(error),
            Self::TransientFailure(passing) => Some(passing.into()),
            Self::Again { reason, .. } => Some(TransientFailure::no_answer(&reason).into()),
        }
    }
}

/// The tries of one push, inside its wait.
#[derive(Debug)]
pub(crate) struct Wait {
    deadline: Instant,
    try_limit: Duration,
    attempts: u32,
    /// Of these, how many were repeated without a pause.
    at_once: u32,
    last: (KeptBy, Cow<'static, str>),
}

impl Wait {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self::with_tries_of(TRY_LIMIT, ttl)
    }

    /// The same with another limit for one try.
    pub(crate) fn with_tries_of(try_limit: Duration, ttl: Duration) -> Self {
        // A century means "no limit": adding Duration::MAX would overflow.
        let ttl = ttl.min(Duration::from_secs(100 * 365 * 86_400));
        Self {
            deadline: Instant::now() + ttl,
            try_limit,
            attempts: 0,
            at_once: 0,
            last: (KeptBy::Us, "no time left".into()),
        }
    }

    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Runs one try, bounded by the limit of a try and the wait; `None` when it did not end in time.
    pub(crate) async fn attempt(&mut self, once: impl Future<Output = Try>) -> Result<Option<Try>, PushError> {
        let left = self.left();
        if left.is_zero() {
            return Err(self.exhausted());
        }
        self.attempts += 1;
        Ok(tokio::time::timeout(self.try_limit.min(left), once).await.ok())
    }

    /// Waits for `ready`, at most as long as the push may. `ready` is fswake's own.
    pub(crate) async fn until<T>(
        &mut self,
        what: &'static str,
        ready: impl Future<Output = T>,
    ) -> Result<T, PushError> {
        self.last = (KeptBy::Us, what.into());
        tokio::time::timeout_at(self.deadline, ready)
            .await
            .map_err(|_| self.exhausted())
    }

    /// Ends the push, or pauses and lets it try again.
    pub(crate) async fn settle(&mut self, app: &str, tried: Try) -> Option<Result<PushReceipt, PushError>> {
        let (kept_by, reason, pause) = match tried {
            Try::Taken { provider_id, status } => {
                return Some(Ok(PushReceipt {
                    provider_id,
                    status,
                    attempts: self.attempts,
                }));
            }
            Try::Refused(error) => return Some(Err(error)),
            // Should the cause come back again and again, it is a failure like any other.
            Try::Again { reason, .. } if self.at_once < AT_ONCE => {
                self.at_once += 1;
                (KeptBy::NoAnswer, reason, Some(Duration::ZERO))
            }
            Try::Again { reason, .. } => {
                let pause = pause(self.attempts, None, jitter::fraction(), self.left());
                (KeptBy::NoAnswer, reason, pause)
            }
            Try::TransientFailure(TransientFailure {
                kept_by,
                reason,
                has_broken: true,
                ..
            }) if self.at_once == 0 => {
                self.at_once += 1;
                (kept_by, reason, Some(Duration::ZERO))
            }
            Try::TransientFailure(TransientFailure {
                kept_by,
                reason,
                retry_after,
                ..
            }) => {
                let pause = pause(self.attempts, retry_after, jitter::fraction(), self.left());
                (kept_by, reason, pause)
            }
        };
        tracing::debug!(app, attempt = self.attempts, reason, ?pause, "push not taken");
        self.last = (kept_by, reason.into());
        match pause {
            None => Some(Err(self.exhausted())),
            Some(pause) => {
                tokio::time::sleep(pause).await;
                None
            }
        }
    }

    fn exhausted(&self) -> PushError {
        let (kept_by, reason) = self.last.clone();
        PushError::Exhausted {
            kept_by,
            reason: reason.into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn pauses_double_up_to_a_limit_and_jitter_picks_from_the_upper_half() {
        let ms = |failures, jitter| pause(failures, None, jitter, LONG).unwrap().as_millis();
        assert_eq!([ms(1, 1.0), ms(2, 1.0), ms(3, 1.0), ms(9, 1.0)], [200, 400, 800, 2000]);
        assert_eq!([ms(1, 0.0), ms(2, 0.0), ms(u32::MAX, 0.0)], [100, 200, 1000]);
    }

    #[test]
    fn retry_after_is_obeyed_and_never_cut_short() {
        let five = Some(Duration::from_secs(5));
        assert_eq!(pause(1, five, 1.0, LONG), five);
        assert_eq!(
            pause(1, Some(Duration::ZERO), 0.0, LONG),
            Some(Duration::from_millis(100))
        );
        assert_eq!(pause(1, five, 0.0, Duration::from_secs(5)), None);
    }

    #[test]
    fn no_pause_reaches_past_the_wait() {
        assert_eq!(pause(1, None, 1.0, Duration::from_millis(200)), None);
        assert_eq!(pause(1, None, 0.0, Duration::ZERO), None);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:40 GMT", now),
            Some(Duration::from_secs(3))
        );
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
