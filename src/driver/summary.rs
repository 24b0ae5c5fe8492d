//! The log's line for each call.

use tracing::info;

use crate::engine::{Routing, Summary};

/// The one line per call.
pub(super) fn summarize(s: &Summary) {
    // Tenths of a millisecond.
    let tenths = |t: std::time::Duration| (t.as_secs_f64() * 10_000.0).round() / 10.0;
    let ms = |time: Option<std::time::Duration>| time.map(tenths);
    info!(
        call.id = %s.call,
        aor = %s.aor,
        outcome = s.result.as_str(),
        devices = s.devices,
        pushes = s.pushes,
        legs = s.legs,
        answered_by = s.answered_by.as_deref().unwrap_or("-"),
        held_ms = tenths(s.held),
        call_to_push_ms = ms(s.call_to_push),
        push_to_register_ms = ms(s.push_to_register),
        register_to_invite_ms = ms(s.register_to_invite),
        "{}",
        if s.routing == Routing::Request { "wake over" } else { "call over" }
    );
}
