//! The provider that only logs: it writes what it would send.

use crate::types::push::{About, CallPush, NotificationPush, PushKind, PushReceipt, PushRequest};
use crate::types::{Printable, PushToken};

/// Logs one push, which always works; tokens only as fingerprints.
pub(crate) fn push(app: &str, req: &PushRequest) -> PushReceipt {
    match &req.about {
        About::Call(call) => log_call(app, req, call),
        About::Notification(notification) => log_notification(app, req, notification),
    }
    PushReceipt {
        provider_id: None,
        status: 0,
        attempts: 1,
    }
}

fn log_call(app: &str, req: &PushRequest, call: &CallPush) {
    let reason = match call.kind {
        PushKind::Cancel(reason) => Some(reason.as_str()),
        PushKind::Call | PushKind::MissedCall => None,
    };
    tracing::info!(
        app,
        kind = req.about.purpose().as_str(),
        reason,
        call.id = %call.call,
        aor = %req.callee,
        sip_call_id = %Printable(&call.sip_call_id),
        caller_number = %Printable(&call.caller_number),
        caller_name = %Printable(&call.caller_name),
        provider = %Printable(req.to.provider.name()),
        app_id = %Printable(&req.to.app),
        call_token = req.to.tokens.call().map(PushToken::fingerprint),
        remote_token = req.to.tokens.remote().map(PushToken::fingerprint),
        ttl = ?req.ttl,
        "would push"
    );
}

/// A payload is the sender's text: if it has one of the device's tokens, the log gets the fingerprint instead.
fn log_notification(app: &str, req: &PushRequest, notification: &NotificationPush) {
    let mut payload = notification.payload.to_json();
    for token in [req.to.tokens.call(), req.to.tokens.remote()].into_iter().flatten() {
        if !token.expose().is_empty() {
            payload = payload.replace(token.expose(), &token.fingerprint());
        }
    }
    tracing::info!(
        app,
        kind = req.about.purpose().as_str(),
        r#type = notification.token_type.as_str(),
        aor = %req.callee,
        payload = %Printable(&payload),
        provider = %Printable(req.to.provider.name()),
        app_id = %Printable(&req.to.app),
        token = req.to.token_for(notification.token_type).map(PushToken::fingerprint),
        ttl = ?req.ttl,
        "would push"
    );
}
