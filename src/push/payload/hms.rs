//! A push in Huawei's form. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::types::PushToken;

/// Largest message, in bytes, tokens aside (Huawei, "Downlink messages").
pub(crate) const HMS_LIMIT: usize = 4096;
/// What the message has besides the payload, at most.
const FRAME: usize = 256;

/// A push to Push Kit, without the time that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmsPush {
    /// The only one of `message.token`.
    pub token: PushToken,
    /// The object in `message.data`, which is text.
    pub data: Map<String, Value>,
    /// Whether it is about a call that goes on: those have high urgency, in the scenario VOIP.
    pub is_urgent: bool,
    /// How long Huawei may keep it; `None`: until the wait ends.
    pub keep: Option<Duration>,
}

impl HmsPush {
    /// The request body with `android.ttl` = `left` in whole seconds.
    pub fn body(&self, left: Duration) -> Value {
        // Huawei's longest is 15 days.
        let ttl = self.keep.unwrap_or(left).as_secs().clamp(1, 1_296_000);
        let mut android = json!({ "urgency": "NORMAL", "ttl": format!("{ttl}s") });
        if self.is_urgent {
            android["urgency"] = "HIGH".into();
            android["category"] = "VOIP".into();
        }
        let data = Value::Object(self.data.clone()).to_string();
        json!({
            "validate_only": false,
            "message": { "data": data, "android": android, "token": [self.token.expose()] },
        })
    }

    /// Its size as Huawei counts it.
    pub(crate) fn size(&self) -> usize {
        let data = Value::Object(self.data.clone()).to_string();
        FRAME + Value::String(data).to_string().len()
    }
}
