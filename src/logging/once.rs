//! Oddities of phones and calls, each of which is named once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tracing::warn;

use super::rate_limit::RateLimit;
use crate::types::Aor;

/// Most texts that are remembered; above that, all are forgotten.
const REMEMBERED: usize = 4096;
/// Most lines about one AOR in a minute, and most AORs: phones and callers choose the texts.
const LINES_PER_AOR: u8 = 8;
const MOST_AORS: usize = 250;

/// The texts that have been logged.
#[derive(Debug)]
pub struct Once {
    said: HashSet<(Aor, String)>,
    lines: RateLimit,
}

impl Default for Once {
    fn default() -> Self {
        Self {
            said: HashSet::new(),
            lines: RateLimit::new(Duration::from_secs(60), MOST_AORS).times(LINES_PER_AOR),
        }
    }
}

impl Once {
    /// Whether this is the first time; from now on it is not.
    pub fn is_new(&mut self, about: (Aor, String)) -> bool {
        if self.said.len() > REMEMBERED {
            self.said.clear();
        }
        self.said.insert(about)
    }

    /// Logs those that are new.
    pub fn warn(&mut self, aor: &Aor, warnings: Vec<String>) {
        let now = Instant::now();
        let whose = aor.to_string();
        for warning in warnings {
            let about = (aor.clone(), warning);
            if !self.said.contains(&about) && self.lines.is_due(&whose, now) {
                warn!(%aor, "{}", about.1);
                self.is_new(about);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::tests::capture;

    /// How many lines `aors` AORs with `texts` texts each cause, each sent twice.
    fn lines(aors: usize, texts: usize) -> usize {
        let logged = capture(|| {
            let mut once = Once::default();
            for _ in 0..2 {
                for aor in 0..aors {
                    let aor = Aor::new(format!("{aor}"), "fs.test");
                    once.warn(&aor, (0..texts).map(|text| format!("text {text}")).collect());
                }
            }
        });
        logged.lines().count()
    }

    #[test]
    fn texts_are_named_once_and_neither_one_aor_nor_many_fill_the_log() {
        assert_eq!(lines(1, 1), 1);
        assert_eq!(lines(1, 1_000), usize::from(LINES_PER_AOR));
        assert_eq!(lines(1_000, 1), MOST_AORS);
    }
}
