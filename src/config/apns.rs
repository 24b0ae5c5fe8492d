//! `apns-collapse-id`, `apns-expiration` and `apns-priority` of an app.

use std::collections::BTreeMap;
use std::time::Duration;

use super::app::Section;
use super::raw;
use super::values::{CheckResult, duration};
use crate::push::app::{ApnsPriority, ApnsRules, CollapseId, LONGEST_COLLAPSE_ID};
use crate::types::push::PushPurpose;

impl Section<'_> {
    /// The headers of its pushes to Apple, by what they are for.
    pub(super) fn apns_rules(&self, is_apns: bool, raw: &raw::AppTable) -> CheckResult<ApnsRules> {
        let mut rules = ApnsRules::default();
        for (key, purpose, text) in self.by_purpose("apns-collapse-id", is_apns, &raw.apns_collapse_id)? {
            let id = CollapseId::parse(text, purpose);
            let id = id.or_else(|error| self.wrong(&key, text, error.to_string()))?;
            if id.shortest() > LONGEST_COLLAPSE_ID {
                return self.wrong(&key, text, format!("at most {LONGEST_COLLAPSE_ID} bytes"));
            }
            rules.collapse_ids.retain(|(of, _)| *of != purpose);
            rules.collapse_ids.push((purpose, id));
        }
        for (key, purpose, written) in self.by_purpose("apns-expiration", is_apns, &raw.apns_expiration)? {
            let time = duration(self.at, &self.key(&key), Some(written), Duration::ZERO, "0s", "28d")?;
            rules.expirations.push((purpose, time));
        }
        for (key, purpose, written) in self.by_purpose("apns-priority", is_apns, &raw.apns_priority)? {
            let is_fixed = match purpose {
                PushPurpose::Call => Some("nothing: a call is pushed with 10, at once"),
                PushPurpose::Cancel | PushPurpose::Refresh => {
                    Some("nothing: Apple takes background pushes with priority 5 only")
                }
                PushPurpose::MissedCall | PushPurpose::Notification | PushPurpose::Voicemail => None,
            };
            if let Some(allowed) = is_fixed {
                return self.wrong(&key, written, allowed);
            }
            let Some(priority) = ApnsPriority::from_number(*written) else {
                return self.wrong(
                    &key,
                    written,
                    "10 (at once), 5 (when the battery allows) or 1 (never wakes the phone)",
                );
            };
            rules.priorities.push((purpose, priority));
        }
        Ok(rules)
    }

    /// The values of a table by purpose, each with its key.
    fn by_purpose<'v, T: std::fmt::Debug>(
        &self,
        table: &str,
        is_apns: bool,
        written: &'v BTreeMap<String, T>,
    ) -> CheckResult<Vec<(String, PushPurpose, &'v T)>> {
        if !is_apns && !written.is_empty() {
            return Err(self
                .at
                .plain(&self.key(table), "", "only with provider apns or apns.dev"));
        }
        let known = PushPurpose::ALL.map(PushPurpose::as_str).join(", ");
        let value = |(word, value): (&String, &'v T)| match PushPurpose::from_word(word) {
            Some(purpose) => Ok((format!("{table}.{word}"), purpose, value)),
            None => self.wrong(table, word, format!("a kind of push: {known}")),
        };
        written.iter().map(value).collect()
    }
}
