//! A line of the journal: a step that becomes text only when it is written.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::engine::Step;
use crate::engine::step::DetailValue;
use crate::types::{Aor, CallId};

/// One line in the life of a wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The call, if it is about one.
    pub call: Option<CallId>,
    /// The AOR.
    pub aor: Aor,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// The FreeSWITCH that holds the call; empty if it has no name.
    pub node: Arc<str>,
    /// What.
    pub step: Step,
}

impl JournalEntry {
    /// The step's details as one JSON object.
    pub fn detail(&self) -> String {
        detail(&self.step)
    }
}

/// A step's details as one JSON object.
pub fn detail(step: &Step) -> String {
    // Text and numbers under fswake's own names: always valid JSON.
    serde_json::to_string(&Details(step)).unwrap_or_default()
}

struct Details<'a>(&'a Step);

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(None)?;
        let mut written = Ok(());
        self.0.each_detail(|name, value| {
            if written.is_ok() {
                written = match value {
                    DetailValue::Text(text) => object.serialize_entry(name, text),
                    DetailValue::Number(number) => object.serialize_entry(name, &number),
                    DetailValue::None => Ok(()),
                };
            }
        });
        written?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_one_json_object_whatever_the_network_says() {
        let step = Step::LegEnded {
            device: "apns:a:0badcafe".into(),
            cause: "\"}\n\u{0}".into(),
            sip: 503,
            after: std::time::Duration::from_millis(7),
        };
        assert_eq!(
            detail(&step),
            r#"{"device":"apns:a:0badcafe","cause":"\"}\n\u0000","sip":503,"ms":7}"#
        );
        assert_eq!(detail(&Step::ConnectionLost {}), "{}");
        let unpushed = Step::DeviceRegistered {
            device: "binding".into(),
            how: crate::engine::RegisterKind::Fresh,
            user_agent: "".into(),
            since_push: None,
        };
        assert_eq!(
            detail(&unpushed),
            r#"{"device":"binding","how":"fresh","user-agent":""}"#
        );
    }
}
