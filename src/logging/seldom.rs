//! Lines that whoever can reach a port, or register a phone, could fill the log with.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets a line about one thing through once in a while, and lines about few things at a time.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    most: usize,
    said: Mutex<HashMap<String, Instant>>,
}

impl Seldom {
    /// The same thing at most once in `every`, and at most `most` different things in that time.
    pub fn new(every: Duration, most: usize) -> Self {
        Self {
            every,
            most,
            said: Mutex::default(),
        }
    }

    /// Whether a line about this may be written now.
    pub fn is_due(&self, about: &str, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| now.saturating_duration_since(*at) < self.every);
        if said.len() >= self.most || said.contains_key(about) {
            return false;
        }
        said.insert(about.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_said_once_in_a_while_and_never_many_at_once() {
        let (seldom, start) = (Seldom::new(Duration::from_secs(60), 3), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(seldom.is_due("a", at(0)));
        assert!(!seldom.is_due("a", at(59)));
        let many = (0..1_000).filter(|n| seldom.is_due(&n.to_string(), at(30))).count();
        assert_eq!(many, 2, "three in all");
        assert!(seldom.is_due("a", at(60)), "its minute is over");
        assert!(!seldom.is_due("b", at(60)));
        assert!(seldom.is_due("b", at(90)));
    }
}
