//! Devices: what fswake knows of phones that can be pushed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::wakes::{page_size, read};
use super::{ProblemDetails, Site};
use crate::clock::with_date;
use crate::engine::view::{AorView, BindingView};
use crate::store::devices;
use crate::types::{Aor, Device, DeviceKey, PublicId, PushToken};

/// The most devices on a page.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    aor: Option<String>,
    after: Option<i64>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct DevicesPage {
    devices: Vec<DeviceJson>,
    /// Contacts, where one AOR was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bindings: Option<Vec<Binding>>,
    next: Option<i64>,
}

/// A device without its tokens.
#[derive(Debug, Serialize)]
pub(super) struct DeviceJson {
    id: String,
    aor: String,
    provider: String,
    app: String,
    /// The `[[app]]` that serves it.
    served_by: Option<String>,
    call_token: Option<String>,
    remote_token: Option<String>,
    user_agent: String,
    first_seen: i64,
    last_seen: i64,
    set_aside: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Binding {
    device: Option<String>,
    contact: String,
    expires_in_s: u64,
    heard_ago_s: Option<u64>,
}

/// One device with the contacts of its phone.
#[derive(Debug, Serialize)]
pub(super) struct WithBindings {
    #[serde(flatten)]
    device: DeviceJson,
    bindings: Vec<Binding>,
}

/// All devices, page by page, from the store; those of one AOR, from memory and with all its contacts.
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<DevicesPage>, ProblemDetails> {
    let Query(which) = which?;
    let limit = page_size(which.limit, MOST)?;
    if let Some(aor) = which.aor {
        let AorView { devices, bindings } = site.control.aor(parse_aor(&aor)?).await?;
        return Ok(Json(DevicesPage {
            devices: devices.iter().map(|d| shown(&site, d)).collect(),
            bindings: Some(bindings.into_iter().map(Binding::from).collect()),
            next: None,
        }));
    }
    let after = which.after.unwrap_or(0);
    let page = read(&site, move |store| Ok(devices::page(store.connection(), after, limit)?)).await?;
    Ok(Json(DevicesPage {
        devices: page.devices.iter().map(|d| shown(&site, d)).collect(),
        bindings: None,
        next: page.next,
    }))
}

/// One device.
pub(super) async fn show(
    State(site): State<Arc<Site>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<WithBindings>, ProblemDetails> {
    let (stored, key) = find(&site, &id?.0).await?;
    let AorView { devices, bindings } = site.control.aor(key.aor.clone()).await?;
    // Memory is newer than the store.
    let device = devices.into_iter().find(|d| d.key() == key).unwrap_or(stored.into());
    let own = bindings.into_iter().filter(|b| b.device.as_deref() == Some(&key));
    Ok(Json(WithBindings {
        device: shown(&site, &device),
        bindings: own.map(Binding::from).collect(),
    }))
}

/// Forgets one device: it is not pushed again until it registers again.
pub(super) async fn forget(
    State(site): State<Arc<Site>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ProblemDetails> {
    let (_, key) = find(&site, &id?.0).await?;
    if site.control.forget(key).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown())
    }
}

fn unknown() -> ProblemDetails {
    ProblemDetails::missing("no such device")
}

async fn find(site: &Site, id: &str) -> Result<(Device, DeviceKey), ProblemDetails> {
    let id: PublicId = id.parse().map_err(|_| unknown())?;
    let device = read(site, move |store| Ok(devices::find(store.connection(), id)?)).await?;
    let device = device.ok_or_else(unknown)?;
    let key = device.key();
    Ok((device, key))
}

/// `user@domain`; the user may hold an `@`, a domain cannot.
pub(super) fn parse_aor(text: &str) -> Result<Aor, ProblemDetails> {
    match text.rsplit_once('@') {
        Some((user, domain)) if !user.is_empty() && !domain.is_empty() => Ok(Aor::new(user, domain)),
        _ => Err(ProblemDetails::wrong("an AOR is written user@domain")),
    }
}

fn shown(site: &Site, device: &Device) -> DeviceJson {
    let served_by = site.pushers.serves(&device.push, &device.aor.domain);
    DeviceJson {
        id: device.key().public_id().to_string(),
        aor: device.aor.to_string(),
        provider: device.push.provider.name().to_owned(),
        app: device.push.app.to_string(),
        served_by: served_by.map(|name| name.to_string()),
        call_token: device.push.tokens.call().map(PushToken::fingerprint),
        remote_token: device.push.tokens.remote().map(PushToken::fingerprint),
        user_agent: device.user_agent.to_string(),
        first_seen: device.first_seen,
        last_seen: device.last_seen,
        set_aside: device.set_aside.as_deref().map(with_date),
    }
}

impl From<BindingView> for Binding {
    fn from(binding: BindingView) -> Self {
        let target = binding.target.as_str();
        Self {
            device: binding.device.map(|key| key.public_id().to_string()),
            // Parameters may hold a token.
            contact: target.split(';').next().unwrap_or_default().to_owned(),
            expires_in_s: binding.expires_in.as_secs(),
            heard_ago_s: binding.heard_ago.as_ref().map(Duration::as_secs),
        }
    }
}
