//! The provider without credentials: writes what it would send.

use super::{PushKind, PushReceipt, PushRequest};
use crate::types::{Printable, PushToken};

/// Logs one push, which always works; tokens only as fingerprints.
pub(super) fn push(app: &str, req: &PushRequest) -> PushReceipt {
    let (kind, reason) = match req.kind {
        PushKind::Call => ("call", None),
        PushKind::Cancel(reason) => ("cancel", Some(reason.as_str())),
        PushKind::MissedCall => ("missed-call", None),
    };
    tracing::info!(
        app,
        kind,
        reason,
        call.id = %req.call,
        aor = %req.callee,
        sip_call_id = %Printable(&req.sip_call_id),
        caller_number = %Printable(&req.caller_number),
        caller_name = %Printable(&req.caller_name),
        provider = %Printable(req.to.provider.name()),
        app_id = %Printable(&req.to.app),
        call_token = req.to.call_token.as_ref().map(PushToken::fingerprint),
        remote_token = req.to.remote_token.as_ref().map(PushToken::fingerprint),
        ttl = ?req.ttl,
        "would push"
    );
    PushReceipt {
        provider_id: None,
        status: 200,
        attempts: 1,
    }
}
