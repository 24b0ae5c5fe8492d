//! Rate limits: how often a phone may be woken, and by whom.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::ordered_hash::ordered_hash;
use crate::types::Moment;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts events in the current minute. A fixed window: at most twice the limit in any 60 seconds, in 16 bytes.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub struct Window {
    since: Option<Moment>,
    count: u32,
}

impl Window {
    /// Counts one more event, unless that were more than `most` in this minute. 0 means no limit.
    pub fn admit(&mut self, now: Moment, most: u32) -> bool {
        if most == 0 {
            return true;
        }
        if self.since.is_none_or(|since| now.since(since) >= MINUTE) {
            *self = Self {
                since: Some(now),
                count: 0,
            };
        }
        if self.count >= most {
            return false;
        }
        self.count += 1;
        true
    }

    /// Whether its minute is over.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.since.is_none_or(|since| now.since(since) >= MINUTE)
    }
}

/// One window per name, swept when it grows.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    windows: HashMap<String, Window>,
    sweep_at: usize,
}

impl Hash for Windows {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { windows, sweep_at } = self;
        ordered_hash(windows, state);
        sweep_at.hash(state);
    }
}

impl Windows {
    /// Counts one more event for a name, unless that were more than `most` in its minute. 0 means no limit.
    pub fn admit(&mut self, now: Moment, name: &str, most: u32) -> bool {
        if most == 0 {
            return true;
        }
        if self.windows.len() >= self.sweep_at.max(1024) {
            self.windows.retain(|_, w| !w.is_over(now));
            self.sweep_at = self.windows.len() * 2;
        }
        match self.windows.get_mut(name) {
            Some(window) => window.admit(now, most),
            None => self.windows.entry(name.to_owned()).or_default().admit(now, most),
        }
    }
}

/// One window per caller's number and called domain: a caller who exceeds the limit at one tenant can still reach
/// another's phones.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    windows: Windows,
    /// The name to look up; kept, so that a lookup allocates nothing.
    name: String,
}

impl Hash for Callers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            windows,
            // Written before it is read.
            name: _,
        } = self;
        windows.hash(state);
    }
}

impl Callers {
    /// Whether this caller may cause one more push. Callers without a number are not limited: they share none.
    pub fn admit(&mut self, now: Moment, number: &str, domain: &str, most: u32) -> bool {
        let nobody = ["", "anonymous", "unknown", "unavailable", "restricted", "private"];
        if nobody.iter().any(|n| n.eq_ignore_ascii_case(number)) {
            return true;
        }
        self.name.clear();
        self.name.extend([domain, " ", number]);
        self.windows.admit(now, &self.name, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn the_limit_holds_for_a_minute_and_no_longer() {
        let mut w = Window::default();
        assert!(w.admit(at(0), 2) && w.admit(at(1), 2));
        assert!(!w.admit(at(59), 2));
        assert!(w.admit(at(60), 2));
    }

    #[test]
    fn callers_are_counted_apart_and_forgotten_after_their_minute() {
        let mut callers = Callers::default();
        for n in 0..100_000 {
            assert!(callers.admit(at(n / 100), &n.to_string(), "a.example", 1));
        }
        assert!(!callers.admit(at(999), "99999", "a.example", 1));
        assert!(
            callers.admit(at(999), "99999", "b.example", 1),
            "another tenant's domain"
        );
        assert!(
            callers.windows.windows.len() < 20_000,
            "{} of 100,000 kept",
            callers.windows.windows.len()
        );
    }
}
