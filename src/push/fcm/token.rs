//! Google's access token: one per service account, shared by every app that uses it and renewed ahead of time.
//!
//! The grant is one signed JWT and one POST (RFC 7523 section 2.1; Google, "Using OAuth 2.0 for server to server
//! applications"). The crates that do it were looked at: docs/ARCHITECTURE.md says why none is used.
//!
//! Races, and the test for each in tests/push.rs: many pushes find no token at once
//! (`parallel_pushes_share_one_access_token`); the token ages while pushes go on
//! (`access_token_is_renewed_ahead_of_time`).

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::push::app::App;
use crate::push::clock::{Clock, Now};
use crate::push::payload::preset::unix;
use crate::push::setup::SetupError;
use crate::push::transport::line::{Tls, code, describe, lost, read_body};
use crate::push::transport::reply;
use crate::push::transport::retry::{Try, header_retry_after};
use crate::types::Secret;
use crate::types::push::{KeptBy, PushError};

/// The only scope that sending needs.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A token with less than this left is renewed in the background while it is still used.
const RENEW_AHEAD: Duration = Duration::from_secs(300);
/// A token with less than this left is not used any more: it could end on the way.
const TOO_LATE: Duration = Duration::from_secs(10);
/// Longest that we wait for Google. Less than a try, so that the pushes that wait see what failed.
const ASK_LIMIT: Duration = Duration::from_millis(2_500);
/// How long Google's tokens live.
const USUAL_LIFETIME: Duration = Duration::from_secs(3600);
/// After a failure the waiting pushes share its outcome instead of asking again one after another.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// The service account file, as Google writes it.
#[derive(Deserialize)]
struct AccountFile {
    project_id: String,
    #[serde(default)]
    private_key_id: Option<String>,
    private_key: String,
    client_email: String,
    token_uri: String,
}

/// A service account's access token and how to get the next one.
pub(crate) struct AccessTokens {
    account: Account,
    client: Client,
    clock: Clock,
    state: Mutex<State>,
    /// Held by the one that asks Google.
    asking: tokio::sync::Mutex<()>,
}

#[derive(PartialEq, Eq)]
struct Account {
    project: String,
    email: String,
    key_id: Option<String>,
    key: Secret,
    token_uri: Url,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failed: Option<(Now, Failure)>,
    serial: u64,
    /// A renewal ahead of time is under way.
    renewing: bool,
}

#[derive(Clone)]
pub(crate) struct Token {
    pub header: HeaderValue,
    serial: u64,
    /// Lifetime, counted from the moment before we asked.
    asked: Now,
    lifetime: Duration,
}

/// Why there is no token; becomes the outcome of the push that needed it.
#[derive(Clone)]
pub(crate) enum Failure {
    Misconfigured(String),
    Passing {
        kept_by: KeptBy,
        reason: String,
        retry_after: Option<Duration>,
    },
}

impl From<Failure> for Try {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Misconfigured(reason) => Try::Refused(PushError::Misconfigured { reason }),
            Failure::Passing {
                kept_by,
                reason,
                retry_after,
            } => Try::Passing {
                kept_by,
                reason,
                retry_after,
            },
        }
    }
}

impl From<Failure> for PushError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Misconfigured(reason) => Self::Misconfigured { reason },
            Failure::Passing { kept_by, reason, .. } => Self::Exhausted { kept_by, reason },
        }
    }
}

impl Token {
    /// Tells one token from the next, for [`AccessTokens::renewed`].
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    fn left(&self, now: Now) -> Duration {
        let age = now.monotonic.saturating_duration_since(self.asked.monotonic);
        let wall = now.wall.duration_since(self.asked.wall).unwrap_or_default();
        self.lifetime.saturating_sub(age.max(wall))
    }
}

/// RFC 7523 section 3.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl AccessTokens {
    /// Reads a service account file and checks that its key signs.
    pub(crate) fn new(app: &App, file: &Path, tls: &Tls, clock: Clock) -> Result<Self, SetupError> {
        let text = SetupError::read(app, file, files::text)?;
        let problem = |what: &str| SetupError::file(app, file, what);
        // The parser's message can quote the file; its line and column cannot.
        let raw: AccountFile = serde_json::from_str(&text).map_err(|e| {
            problem(&format!(
                "not a service account key (project_id, private_key, client_email, token_uri): line {}",
                e.line()
            ))
        })?;
        let token_uri = Url::parse(&raw.token_uri).ok().filter(|u| u.scheme() == "https");
        let is_project = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
        if !is_project(&raw.project_id) {
            return Err(problem("project_id is letters, digits and hyphens"));
        }
        let tokens = Self {
            account: Account {
                project: raw.project_id,
                email: raw.client_email,
                key_id: raw.private_key_id,
                key: Secret::new(files::with_line_ends(&raw.private_key)),
                token_uri: token_uri.ok_or_else(|| problem("token_uri is not an https URL"))?,
            },
            client: tls
                .client_for_one_request()
                .map_err(|e| SetupError::app(app, &format!("TLS: {}", describe(e))))?,
            clock,
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        };
        tokens
            .assertion(tokens.clock.now())
            .map_err(|_| problem("private_key is not an RSA key (PEM, PKCS #8)"))?;
        Ok(tokens)
    }

    /// The Firebase project that the account belongs to.
    pub(crate) fn project(&self) -> &str {
        &self.account.project
    }

    /// Whether two files are the same account's.
    pub(crate) fn is_for(&self, other: &Self) -> bool {
        self.account == other.account
    }

    /// The token to use now; asks Google when there is none, and ahead of time in the background.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<Token, Failure> {
        let now = self.clock.now();
        if let Some(token) = self.kept(now) {
            if token.left(now) < RENEW_AHEAD && !std::mem::replace(&mut self.state().renewing, true) {
                let (tokens, serial) = (Arc::clone(self), token.serial);
                tokio::spawn(async move {
                    if let Err(failure) = tokens.renewed(serial).await {
                        tokens.log(&failure);
                    }
                    tokens.state().renewing = false;
                });
            }
            return Ok(token);
        }
        let serial = self.state().serial;
        self.renewed(serial).await
    }

    /// Google did not take this token though its time is not over: it was revoked, and no push uses it any more.
    pub(crate) fn refused(&self, token: &Token) {
        let mut state = self.state();
        if state.token.as_ref().is_some_and(|kept| kept.serial == token.serial) {
            state.token = None;
        }
    }

    /// A token newer than `refused`, which Google did not take (or which is about to end).
    pub(crate) async fn renewed(&self, refused: u64) -> Result<Token, Failure> {
        let _asking = self.asking.lock().await;
        let asked = self.clock.now();
        {
            let state = self.state();
            // Somebody else asked while this one waited.
            if let Some(token) = &state.token
                && state.serial > refused
                && token.left(asked) > TOO_LATE
            {
                return Ok(token.clone());
            }
            if let Some((at, failure)) = &state.failed
                && asked.monotonic.saturating_duration_since(at.monotonic) < FAILURE_HOLDS
            {
                return Err(failure.clone());
            }
        }
        let asking = tokio::time::timeout(ASK_LIMIT, self.ask(asked)).await;
        let answer = asking.unwrap_or_else(|_| {
            Err(Failure::Passing {
                kept_by: KeptBy::NoAnswer,
                reason: "no access token in time".into(),
                retry_after: None,
            })
        });
        let mut state = self.state();
        match answer {
            Ok((header, lifetime)) => {
                state.serial += 1;
                let token = Token {
                    header,
                    serial: state.serial,
                    asked,
                    lifetime,
                };
                state.token = Some(token.clone());
                state.failed = None;
                Ok(token)
            }
            Err(failure) => {
                state.failed = Some((self.clock.now(), failure.clone()));
                Err(failure)
            }
        }
    }

    fn log(&self, failure: &Failure) {
        let (Failure::Misconfigured(reason) | Failure::Passing { reason, .. }) = failure;
        tracing::warn!(project = self.account.project, reason, "no access token from Google");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, now: Now) -> Option<Token> {
        self.state().token.clone().filter(|t| t.left(now) > TOO_LATE)
    }

    async fn ask(&self, now: Now) -> Result<(HeaderValue, Duration), Failure> {
        let assertion = self.assertion(now).map_err(Failure::Misconfigured)?;
        // Both values are URL-safe but for the grant's colons.
        let form = format!("grant_type={}&assertion={assertion}", GRANT.replace(':', "%3A"));
        let request = self
            .client
            .post(self.account.token_uri.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let passing = |error| match lost(error) {
            Try::Refused(PushError::Misconfigured { reason }) => Failure::Misconfigured(reason),
            Try::Refused(error) => Failure::Misconfigured(error.to_string()),
            Try::Passing {
                kept_by,
                reason,
                retry_after,
            } => Failure::Passing {
                kept_by,
                reason,
                retry_after,
            },
            other => Failure::Misconfigured(format!("{other:?}")),
        };
        let response = request.send().await.map_err(passing)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response).await.map_err(passing)?;
        if status == StatusCode::OK {
            return granted(&body);
        }
        let reason = format!("access token: {status} {}", refused(&body));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = header_retry_after(&headers, now.wall);
            return Err(Failure::Passing {
                kept_by: KeptBy::Busy {
                    status: status.as_u16(),
                },
                reason,
                retry_after,
            });
        }
        Err(Failure::Misconfigured(reason))
    }

    fn assertion(&self, now: Now) -> Result<String, String> {
        let iat = unix(now.wall);
        let claims = Claims {
            iss: &self.account.email,
            scope: SCOPE,
            aud: self.account.token_uri.as_str(),
            iat,
            // Google's longest.
            exp: iat + 3600,
        };
        let header = Header {
            kid: self.account.key_id.clone(),
            ..Header::new(Algorithm::RS256)
        };
        let key = EncodingKey::from_rsa_pem(self.account.key.expose().as_bytes());
        key.and_then(|key| jsonwebtoken::encode(&header, &claims, &key))
            .map_err(|_| "the service account's key does not sign".to_owned())
    }
}

/// What a refusal says: RFC 6749 section 5.2, or Google's own form in the same field (`google.rpc.Status`).
fn refused(body: &[u8]) -> String {
    let refusal = reply::read(body);
    let own = &refusal["error"];
    let error = code(reply::text(&refusal, "error")).or_else(|| code(reply::text(own, "status")));
    let mut said = error.unwrap_or("no error code").to_owned();
    let words = [(&refusal, "error_description"), (own, "message")];
    let words = words.map(|(object, field)| reply::description(reply::text(object, field)));
    if let Some(words) = words.into_iter().flatten().next() {
        let _ = write!(said, " ({words})");
    }
    said
}

/// Reads a grant (RFC 6749 section 5.1). A lifetime that is not told is Google's usual one: should it be shorter, the first push that is
/// refused brings the next token.
fn granted(body: &[u8]) -> Result<(HeaderValue, Duration), Failure> {
    let unusable = || Failure::Misconfigured("access token: the reply of token_uri is not a grant".into());
    let grant = reply::read(body);
    let token = Some(reply::text(&grant, "access_token")).filter(|token| !token.is_empty());
    let header = format!("Bearer {}", token.ok_or_else(unusable)?);
    let mut header = HeaderValue::from_str(&header).map_err(|_| unusable())?;
    header.set_sensitive(true);
    let lifetime = reply::number(&grant, "expires_in").map_or(USUAL_LIFETIME, |seconds| {
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    });
    Ok((header, lifetime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_keeps_its_description_whatever_its_other_fields_are() {
        for (body, said) in [
            (
                r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
                "invalid_grant (Invalid JWT Signature.)",
            ),
            (
                r#"{"error_description":"Account not found","error":null}"#,
                "no error code (Account not found)",
            ),
            (
                r#"{"error":400,"error_description":"Account not found"}"#,
                "no error code (Account not found)",
            ),
            (
                r#"{"error":"invalid_grant","error_description":{"a":1}}"#,
                "invalid_grant",
            ),
            (r#"{"error":"invalid_grant","error_description":null}"#, "invalid_grant"),
            (
                r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}"#,
                "PERMISSION_DENIED (Permission denied)",
            ),
            ("<html>", "no error code"),
            ("[]", "no error code"),
        ] {
            assert_eq!(refused(body.as_bytes()), said, "{body}");
        }
    }

    #[test]
    fn grant_is_read_however_its_lifetime_is_written() {
        let read = |body: &str| granted(body.as_bytes()).ok().map(|(_, lifetime)| lifetime.as_secs());
        for (lifetime, seconds) in [
            (r#","expires_in":3599"#, 3599),
            (r#","expires_in":"1200""#, 1200),
            (r#","expires_in":null"#, 3600),
            (r#","expires_in":-1"#, 0),
            ("", 3600),
        ] {
            assert_eq!(
                read(&format!(r#"{{"access_token":"t"{lifetime},"token_type":7}}"#)),
                Some(seconds)
            );
        }
        for none in [
            "",
            "{}",
            r#"{"access_token":null}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":"a\nb"}"#,
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
