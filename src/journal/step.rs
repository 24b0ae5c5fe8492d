//! One row of the journal, read back.

use serde::Serialize;
use serde_json::{Map, Value};

use super::words;
use crate::engine::StepKind;
use crate::store::older_journal;
use crate::types::Aor;
use crate::types::push::PushErrorKind;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepRow {
    pub at_ms: i64,
    pub aor: Aor,
    pub step: String,
    pub detail: Map<String, Value>,
    /// The fswake that wrote it; empty if the store is not shared.
    pub daemon: String,
    /// The FreeSWITCH that holds the call; empty if it has no name.
    pub node: String,
}

/// One step of a wake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelineStep {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// Milliseconds since the call was held.
    pub after_ms: i64,
    /// Its name, one of those that docs/ARCHITECTURE.md lists.
    pub step: String,
    /// Which step that is; `None` for one of a later version.
    #[serde(skip)]
    pub kind: Option<StepKind>,
    /// The device it is about: `provider:app:fingerprint`, or `binding` for a phone without a token.
    pub device: Option<String>,
    /// The same in words, fit for a terminal.
    pub words: String,
    /// The fswake that wrote it, if that is another one than the call's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon: Option<String>,
    /// The FreeSWITCH that it happened at, if that is another one than the call's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its details as they were written.
    pub detail: Map<String, Value>,
}

/// A token that a provider called gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedToken {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// The device's label.
    pub device: String,
    /// The provider's reason.
    pub reason: String,
}

impl TimelineStep {
    /// Reads an entry of a call that was held at a time, by a daemon, on a node.
    pub(super) fn of(entry: StepRow, held_at_ms: i64, daemon: Option<&str>, node: Option<&str>) -> Self {
        let other = |name: String, than: Option<&str>| named(name).filter(|name| Some(name.as_str()) != than);
        let device = entry.detail.get("device").and_then(Value::as_str);
        let kind = StepKind::from_word(&entry.step);
        Self {
            at_ms: entry.at_ms,
            after_ms: entry.at_ms.saturating_sub(held_at_ms),
            device: device.map(str::to_owned),
            words: words::of(kind, &entry.detail),
            daemon: other(entry.daemon, daemon),
            node: other(entry.node, node),
            kind,
            step: entry.step,
            detail: entry.detail,
        }
    }

    /// A detail that is text; empty if missing.
    pub fn text(&self, name: &str) -> &str {
        self.detail.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A detail that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.detail.get(name).and_then(Value::as_u64)
    }

    /// The error of a push.
    pub(super) fn push_error(&self) -> PushErrorKind {
        push_error(&self.detail)
    }

    /// Whether a push that was "taken" was only written to the log.
    pub(super) fn is_only_logged(&self) -> bool {
        words::is_only_logged(&self.detail)
    }
}

/// A name; `None` without one.
pub(super) fn named(name: String) -> Option<String> {
    Some(name).filter(|name| !name.is_empty())
}

/// The error of a push, from the details of its step.
pub(super) fn push_error(detail: &Map<String, Value>) -> PushErrorKind {
    let text = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default();
    let status = detail.get("status").and_then(Value::as_u64);
    let status = status.and_then(|status| u16::try_from(status).ok());
    PushErrorKind::from_code(text("code"), status)
        .unwrap_or_else(|| older_journal::error_kind(text("class"), text("reason")))
}

/// The first step of a kind.
pub(super) fn first(steps: &[TimelineStep], kind: StepKind) -> Option<&TimelineStep> {
    steps.iter().find(|step| step.kind == Some(kind))
}
