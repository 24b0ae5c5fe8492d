//! Oddities of phones and calls, each of which is named once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tracing::warn;

use super::rate_limit::RateLimit;
use crate::types::Aor;

/// More than this are not remembered: then all are forgotten.
const REMEMBERED: usize = 4096;
/// So many lines are written about one AOR in a minute, and about so many AORs: the texts are the phones' and the
/// callers' own.
const LINES_PER_AOR: u8 = 8;
const MOST_AORS: usize = 250;

/// What has been named.
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
    /// Whether it had not been named; it counts as named from now on.
    pub fn is_new(&mut self, about: (Aor, String)) -> bool {
        if self.said.len() > REMEMBERED {
            self.said.clear();
        }
        self.said.insert(about)
    }

    /// Names them in the log.
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
