//! Firebase Cloud Messaging, HTTP v1.
//!
//! Source: Firebase, REST reference of `projects.messages:send` and "FCM error codes".

mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::push::app::{App, Credentials};
use crate::push::clock::Clock;
use crate::push::fcm::token::AccessTokens;
use crate::push::payload::{Composer, FcmPush};
use crate::push::setup::SetupError;
use crate::push::transport::line::{Line, Tls, code, lost, read_body};
use crate::push::transport::probe::Proof;
use crate::push::transport::reply;
use crate::push::transport::retry::{Try, Wait, header_retry_after};
use crate::types::push::{KeptBy, PushError, PushOutcome, PushRequest};

const BASE: &str = "https://fcm.googleapis.com";
/// What a probe has checked and never sent.
const NOBODYS_MESSAGE: &str = r#"{"validate_only":true,"message":{"topic":"fswake-doctor","data":{"probe":"1"},"android":{"priority":"HIGH","ttl":"0s"}}}"#;

/// One app's sender.
pub(crate) struct Fcm {
    name: String,
    url: String,
    base: String,
    composer: Composer,
    line: Line,
    pub account: Account,
    clock: Clock,
}

impl Fcm {
    /// Reads the app's service account. `accounts` are those of other apps: one account has one token.
    pub(crate) fn new(app: &App, accounts: &[Account], clock: Clock) -> Result<Self, SetupError> {
        let Credentials::FcmServiceAccount { file } = &app.credentials else {
            return Err(SetupError::app(app, "fcm needs a service account file"));
        };
        let tls = Tls::new(app, None)?;
        let tokens = Arc::new(AccessTokens::new(app, file, &tls, clock.clone())?);
        let account = Account {
            tokens,
            way: (app.ca_file.clone(), app.proxy.clone()),
        };
        let account = accounts
            .iter()
            .find(|a| a.is_same(&account))
            .cloned()
            .unwrap_or(account);
        let base = SetupError::base_url(app, BASE)?;
        Ok(Self {
            name: app.name.clone(),
            url: format!("{base}/v1/projects/{}/messages:send", account.tokens.project()),
            base,
            composer: Composer::new(&app.payload, &app.provider).map_err(|e| SetupError::app(app, &e.to_string()))?,
            line: Line::new(app, tls)?,
            account,
            clock,
        })
    }

    /// Delivers one push, or says why not, within its wait.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let wait = Wait::new(req.patience());
        let push = self.composer.fcm(req, self.clock.now().wall)?;
        let renewed = AtomicBool::new(false);
        let once = |client, left| self.once(client, &push, left, &renewed);
        self.line.deliver(&self.name, req, wait, once).await
    }

    /// Gets the access token and opens the connection, so that the first call finds both.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        let (token, connected) = tokio::join!(self.account.tokens.current(), self.line.open(&self.name, &self.base));
        token.map_err(PushError::from)?;
        connected
    }

    /// Has Google check a message to nobody's topic, without sending it.
    pub(crate) async fn probe(&self) -> (Result<Proof, PushError>, Option<SystemTime>) {
        let mut renewed = false;
        loop {
            let token = match self.account.tokens.current().await {
                Ok(token) => token,
                Err(failure) => return (Err(failure.into()), None),
            };
            let asked = self.line.ask(&self.name, |client| {
                client
                    .post(&self.url)
                    .header("authorization", token.header.clone())
                    .header("content-type", "application/json")
                    .body(NOBODYS_MESSAGE)
            });
            let reply = match asked.await {
                Ok(reply) => reply,
                Err(error) => return (Err(error), None),
            };
            // Revoked: one new token tells.
            if reply.status == 401 && !std::mem::replace(&mut renewed, true) {
                self.account.tokens.refused(&token);
                continue;
            }
            let outcome = if reply.status == 200 {
                Ok(Proof::Taken("validate_only accepted"))
            } else {
                let tried = classify(reply.status, &reply.headers, &reply.body, self.clock.now().wall);
                tried.into_error().map_or(Ok(Proof::Taken("accepted")), Err)
            };
            return (outcome, reply.date());
        }
    }

    async fn once(&self, client: Client, push: &FcmPush, left: Duration, renewed: &AtomicBool) -> Try {
        let token = match self.account.tokens.current().await {
            Ok(token) => token,
            Err(failure) => return failure.into(),
        };
        let request = client
            .post(&self.url)
            .header("authorization", token.header.clone())
            .header("content-type", "application/json")
            .body(push.body(left).to_string());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return lost(error),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match read_body(response).await {
            Ok(body) => body,
            Err(error) => return lost(error),
        };
        if status == StatusCode::OK {
            return Try::Taken {
                provider_id: message_name(&body),
                status: status.as_u16(),
            };
        }
        let tried = classify(status.as_u16(), &headers, &body, self.clock.now().wall);
        match &tried {
            // Revoked, or the account's keys changed: one new token tells. Not for the app's own APNs key at Google.
            Try::Refused(PushError::Misconfigured { reason })
                if status == StatusCode::UNAUTHORIZED
                    && reason != "THIRD_PARTY_AUTH_ERROR"
                    && !renewed.load(Ordering::Relaxed) =>
            {
                self.account.tokens.refused(&token);
                match self.account.tokens.renewed(token.serial()).await {
                    Ok(_) => {
                        renewed.store(true, Ordering::Relaxed);
                        Try::Again { reason: reason.clone() }
                    }
                    // Asked for again by the next try, if there may be one.
                    Err(failure) => failure.into(),
                }
            }
            Try::Refused(PushError::TokenBad { reason }) if reason == "SENDER_ID_MISMATCH" => {
                tracing::warn!(
                    app = self.name,
                    project = self.account.tokens.project(),
                    token = push.token.fingerprint(),
                    "the phone's token belongs to another Firebase project than the app's service account"
                );
                tried
            }
            _ => tried,
        }
    }
}

/// An account and the way to its token server; apps share a token when both are the same.
#[derive(Clone)]
pub(crate) struct Account {
    tokens: Arc<AccessTokens>,
    way: (Option<std::path::PathBuf>, Option<String>),
}

impl Account {
    fn is_same(&self, other: &Self) -> bool {
        self.way == other.way && self.tokens.is_for(&other.tokens)
    }
}

/// `projects/*/messages/{id}`; kept only if it is safe to log.
fn message_name(body: &[u8]) -> Option<String> {
    let sent = reply::read(body);
    let name = reply::text(&sent, "name");
    let safe = !name.is_empty() && name.len() <= 256 && name.bytes().all(|b| b.is_ascii_graphic());
    safe.then(|| name.to_owned())
}

/// `error` of a reply.
struct Refusal(Value);

impl Refusal {
    fn read(body: &[u8]) -> Self {
        Self(reply::read(body)["error"].take())
    }

    /// `google.firebase.fcm.v1.FcmError` has the code, `google.rpc.BadRequest` the fields; others are passed over.
    fn reason(&self) -> &str {
        let mut details = reply::list(&self.0, "details");
        let from_details = details.find_map(|d| code(reply::text(d, "errorCode")));
        from_details
            .or_else(|| code(reply::text(&self.0, "status")))
            .unwrap_or("no error code")
    }

    /// `INVALID_ARGUMENT` stands for a bad token and for a bad message alike. Only the first may set the token aside.
    ///
    /// The one place where text decides: for a malformed token Google sends no field, only this sentence.
    fn names_the_token(&self) -> bool {
        let violations = reply::list(&self.0, "details").flat_map(|d| reply::list(d, "fieldViolations"));
        let fields: Vec<&str> = violations.map(|v| reply::text(v, "field")).collect();
        if fields.is_empty() {
            return reply::text(&self.0, "message").contains("registration token");
        }
        fields.contains(&"message.token")
    }
}

/// What a reply other than 200 asks for.
fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Try {
    let refusal = Refusal::read(body);
    let reason = refusal.reason().to_owned();
    match (reason.as_str(), status) {
        // Google gives no time.
        ("UNREGISTERED", _) => Try::Refused(PushError::TokenGone { since: None, reason }),
        ("SENDER_ID_MISMATCH", _) => Try::Refused(PushError::TokenBad { reason }),
        ("INVALID_ARGUMENT", _) if refusal.names_the_token() => Try::Refused(PushError::TokenBad { reason }),
        ("THIRD_PARTY_AUTH_ERROR", _) => Try::Refused(PushError::Misconfigured { reason }),
        ("QUOTA_EXCEEDED" | "UNAVAILABLE" | "INTERNAL", _) | (_, 429 | 500..=599) => Try::Passing {
            // "Sending limit exceeded for the message target": the phone's as often as the project's.
            kept_by: if reason == "QUOTA_EXCEEDED" {
                KeptBy::BusyForThis { status }
            } else {
                KeptBy::Busy { status }
            },
            reason: format!("{status} {reason}"),
            retry_after: header_retry_after(headers, now),
        },
        (_, 401 | 403) => Try::Refused(PushError::Misconfigured { reason }),
        _ => Try::Refused(PushError::Rejected { status, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, error: &str) -> String {
        let body = format!(r#"{{"error":{error}}}"#);
        match classify(status, &HeaderMap::new(), body.as_bytes(), SystemTime::now()) {
            Try::Refused(error) => error.to_string(),
            Try::Passing { reason, .. } => format!("passing: {reason}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn code_in_the_details_decides_before_the_status() {
        let detail = |code: &str| {
            format!(
                r#"{{"status":"NOT_FOUND","details":[{{"@type":"x"}},{{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}]}}"#
            )
        };
        assert_eq!(class(404, &detail("UNREGISTERED")), "token gone (UNREGISTERED)");
        assert_eq!(
            class(403, &detail("SENDER_ID_MISMATCH")),
            "token refused (SENDER_ID_MISMATCH)"
        );
        assert_eq!(class(401, &detail("THIRD_PARTY_AUTH_ERROR")), "THIRD_PARTY_AUTH_ERROR");
        assert_eq!(class(429, &detail("QUOTA_EXCEEDED")), "passing: 429 QUOTA_EXCEEDED");
        assert_eq!(class(503, &detail("UNAVAILABLE")), "passing: 503 UNAVAILABLE");
        assert_eq!(class(500, &detail("INTERNAL")), "passing: 500 INTERNAL");
    }

    #[test]
    fn not_found_without_fcms_own_code_drops_no_token() {
        assert_eq!(
            class(404, r#"{"status":"NOT_FOUND"}"#),
            "refused by the provider: 404 NOT_FOUND"
        );
        assert_eq!(class(404, "1"), "refused by the provider: 404 no error code");
        assert_eq!(class(403, r#"{"status":"PERMISSION_DENIED"}"#), "PERMISSION_DENIED");
    }

    #[test]
    fn oddly_typed_field_loses_no_other() {
        let odd = |detail: &str| {
            class(
                404,
                &format!(r#"{{"status":"NOT_FOUND","message":7,"details":{detail}}}"#),
            )
        };
        assert_eq!(
            odd(r#"[{"errorCode":null},7,null,{"errorCode":"UNREGISTERED"}]"#),
            "token gone (UNREGISTERED)"
        );
        assert_eq!(odd("null"), "refused by the provider: 404 NOT_FOUND");
        assert_eq!(
            odd(r#"{"errorCode":"UNREGISTERED"}"#),
            "refused by the provider: 404 NOT_FOUND"
        );
        assert_eq!(
            class(
                400,
                r#"{"code":"400","status":"INVALID_ARGUMENT","details":[{"fieldViolations":[7,{"field":"message.token"}]}]}"#
            ),
            "token refused (INVALID_ARGUMENT)"
        );
        assert_eq!(
            message_name(br#"{"name":"projects/a/messages/1","extra":[]}"#).as_deref(),
            Some("projects/a/messages/1")
        );
        assert_eq!(message_name(br#"{"name":7}"#), None);
    }

    #[test]
    fn invalid_argument_sets_the_token_aside_only_when_it_names_the_token() {
        let field = |field: &str| {
            format!(
                r#"{{"status":"INVALID_ARGUMENT","message":"the registration token","details":[{{"fieldViolations":[{{"field":"{field}"}}]}}]}}"#
            )
        };
        assert_eq!(class(400, &field("message.token")), "token refused (INVALID_ARGUMENT)");
        assert_eq!(
            class(400, &field("message.data[0].value")),
            "refused by the provider: 400 INVALID_ARGUMENT"
        );
        let text =
            r#"{"status":"INVALID_ARGUMENT","message":"The registration token is not a valid FCM registration token"}"#;
        assert_eq!(class(400, text), "token refused (INVALID_ARGUMENT)");
        let other = r#"{"status":"INVALID_ARGUMENT","message":"Invalid JSON payload received."}"#;
        assert_eq!(class(400, other), "refused by the provider: 400 INVALID_ARGUMENT");
    }
}
