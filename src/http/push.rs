//! A push on request.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};

use super::devices::parse_aor;
use super::{ProblemDetails, Site};
use crate::clock::unix_now;
use crate::engine::command::Nobody;
use crate::engine::{Audience, Delivery, DeviceDelivery, Notification};
use crate::types::push::Payload;
use crate::types::{TokenType, UnixSeconds};

/// The request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushBody {
    aor: String,
    #[serde(rename = "type")]
    token_type: Option<String>,
    app: Option<String>,
    #[serde(default)]
    payload: serde_json::Map<String, serde_json::Value>,
}

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    sent: usize,
    /// Why it was for no device at all, if it was.
    nobody: Option<&'static str>,
    devices: Vec<Device>,
}

#[derive(Debug, Serialize)]
struct Device {
    #[serde(rename = "device")]
    label: String,
    sent: bool,
    status: Option<u16>,
    provider_id: Option<String>,
    problem: Option<String>,
}

/// Pushes to one user's devices, and answers when the providers have answered.
pub(super) async fn send(
    State(site): State<Arc<Site>>,
    asked: Result<Json<PushBody>, JsonRejection>,
) -> Result<Json<Answer>, ProblemDetails> {
    let Json(asked) = asked?;
    let delivery = site.control.notify(asked.notification(unix_now())?).await?;
    Ok(Json(Answer::from(delivery)))
}

impl PushBody {
    pub(crate) fn notification(self, at: UnixSeconds) -> Result<Notification, ProblemDetails> {
        let token_type = self.token_type.as_deref().unwrap_or("im");
        let token_type = TokenType::from_name(token_type)
            .ok_or_else(|| ProblemDetails::wrong(r#"type: "voip" or "im" (the default)"#))?;
        let payload = serde_json::Value::Object(self.payload).to_string();
        let payload = Payload::parse(&payload).map_err(|error| ProblemDetails::wrong(error.to_string()))?;
        Ok(Notification {
            aor: parse_aor(&self.aor)?,
            token_type,
            app: self.app.filter(|app| !app.is_empty()).map(Arc::from),
            payload: Arc::new(payload),
            audience: Audience::All,
            by: "http",
            at,
        })
    }
}

impl From<Delivery> for Answer {
    fn from(delivery: Delivery) -> Self {
        let devices: Vec<Device> = delivery.devices.into_iter().map(Device::from).collect();
        Self {
            nobody: delivery.nobody.map(Nobody::as_str),
            sent: devices.iter().filter(|device| device.sent).count(),
            devices,
        }
    }
}

impl From<DeviceDelivery> for Device {
    fn from(delivered: DeviceDelivery) -> Self {
        let label = delivered.device.to_string();
        match delivered.outcome {
            Ok(receipt) if receipt.is_only_logged() => Self {
                label,
                sent: false,
                status: None,
                provider_id: None,
                problem: Some("its app only writes to the log: no provider was asked".to_owned()),
            },
            Ok(receipt) => Self {
                label,
                sent: true,
                status: Some(receipt.status),
                provider_id: receipt.provider_id,
                problem: None,
            },
            Err(why) => Self {
                label,
                sent: false,
                status: None,
                provider_id: None,
                problem: Some(why.to_string()),
            },
        }
    }
}
