//! Limits log lines that anybody who can reach a port, or register a phone, could fill the log with.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Limits how often a line about one thing is written, and about how many things.
#[derive(Debug)]
pub struct RateLimit {
    every: Duration,
    most: usize,
    times: u8,
    said: Mutex<HashMap<String, Repetition>>,
}

/// The lines about one thing.
#[derive(Debug)]
struct Repetition {
    /// When the first was written.
    since: Instant,
    times: u8,
}

impl RateLimit {
    /// Allows one line about each thing in `every`, about at most `most` things.
    pub fn new(every: Duration, most: usize) -> Self {
        Self {
            every,
            most,
            times: 1,
            said: Mutex::default(),
        }
    }

    /// Allows so many lines about each thing in that time, instead of one.
    #[must_use]
    pub fn times(mut self, times: u8) -> Self {
        self.times = times;
        self
    }

    /// Whether a line about this may be written now.
    pub fn is_due(&self, about: &str, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |s: &Repetition| now.saturating_duration_since(s.since) < self.every;
        if let Some(s) = said.get_mut(about).filter(|s| is_recent(s)) {
            let is_due = s.times < self.times;
            s.times += u8::from(is_due);
            return is_due;
        }
        if said.len() >= self.most {
            said.retain(|_, s| is_recent(s));
        }
        let has_room = said.len() < self.most;
        if has_room {
            let first = Repetition { since: now, times: 1 };
            said.insert(about.to_owned(), first);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_said_once_in_a_while_and_never_many_at_once() {
        let (rate_limit, start) = (RateLimit::new(Duration::from_secs(60), 3), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(rate_limit.is_due("a", at(0)));
        assert!(!rate_limit.is_due("a", at(59)));
        let many = (0..1_000).filter(|n| rate_limit.is_due(&n.to_string(), at(30))).count();
        assert_eq!(many, 2, "three in all");
        assert!(rate_limit.is_due("a", at(60)), "its minute is over");
        assert!(!rate_limit.is_due("b", at(60)));
        assert!(rate_limit.is_due("b", at(90)));
    }

    #[test]
    fn a_thing_may_be_said_several_times() {
        let (rate_limit, start) = (RateLimit::new(Duration::from_secs(60), 1).times(3), Instant::now());
        let said = |seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..10).filter(|_| rate_limit.is_due("a", now)).count()
        };
        assert_eq!([said(0), said(59), said(60)], [3, 0, 3]);
    }
}
