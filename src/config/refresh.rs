//! `refresh-before` and `refresh-gap` of an app.

use std::time::Duration;

use super::app::Section;
use super::raw;
use super::values::{CheckResult, duration};
use crate::engine::policy::Refresh;
use crate::push::app::Credentials;

impl Section<'_> {
    /// When its phones are asked to register again; off unless `refresh-before` is written.
    pub(super) fn refresh(&self, credentials: &Credentials, raw: &raw::AppTable) -> CheckResult<Option<Refresh>> {
        let gap = raw.refresh_gap.as_deref();
        let Some(before) = raw.refresh_before.as_deref() else {
            return match gap {
                Some(gap) => self.wrong(
                    "refresh-gap",
                    gap,
                    "refresh-before as well: without it nothing is refreshed",
                ),
                None => Ok(None),
            };
        };
        if matches!(credentials, Credentials::Http(profiles) if profiles.im.is_none()) {
            return self.wrong("refresh-before", before, "[app.im] as well: refresh pushes go there");
        }
        let time = |key, written, default, min, max| duration(self.at, &self.key(key), written, default, min, max);
        let least = Duration::from_secs(20 * 60);
        Ok(Some(Refresh {
            before: time("refresh-before", Some(before), Duration::ZERO, "10s", "1h")?,
            gap: time("refresh-gap", gap, least, "1m", "7d")?,
        }))
    }
}
