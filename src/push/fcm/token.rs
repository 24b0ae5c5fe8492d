//! Google's access token: one per service account, shared by every app that uses it and renewed ahead of time.
//!
//! The grant is one signed JWT and one POST (RFC 7523 section 2.1; Google, "Using OAuth 2.0 for server to server
//! applications"). The crates that do it were looked at: docs/ARCHITECTURE.md says why none is used.
//!
//! Races, and the test for each in tests/push: many pushes find no token at once
//! (`parallel_pushes_share_one_access_token`); the token ages while pushes go on
//! (`access_token_is_renewed_ahead_of_time`).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};

use crate::clock::unix;
use crate::files;
use crate::push::app::App;
use crate::push::clock::{Clock, Now};
use crate::push::fcm::grant::{grant, refusal};
use crate::push::setup::SetupError;
use crate::push::transport::reply::read_body;
use crate::push::transport::retry::{TransientFailure, Try, header_retry_after};
use crate::push::transport::tls::Tls;
use crate::types::Secret;
use crate::types::push::{Fault, KeptBy, PushError};

/// The only scope that sending needs.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A token with less than this left is renewed in the background while it is still used.
const RENEW_AHEAD: Duration = Duration::from_secs(300);
/// A token with less than this left is not used: it could expire on the way.
const TOO_LATE: Duration = Duration::from_secs(10);
/// Longest that we wait for Google. Less than a try, so that the pushes that wait see what failed.
const ASK_LIMIT: Duration = Duration::from_millis(2_500);
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
    account: ServiceAccount,
    client: Client,
    tls: Tls,
    clock: Clock,
    state: Mutex<TokenState>,
    /// Held by the one that asks Google.
    asking: tokio::sync::Mutex<()>,
}

#[derive(PartialEq, Eq)]
struct ServiceAccount {
    project: String,
    email: String,
    key_id: Option<String>,
    key: Secret,
    token_uri: Url,
}

#[derive(Default)]
struct TokenState {
    token: Option<AccessToken>,
    failed: Option<(Now, NoToken)>,
    serial: u64,
    /// A renewal ahead of time is under way.
    renewing: bool,
}

#[derive(Clone)]
pub(crate) struct AccessToken {
    pub header: HeaderValue,
    serial: u64,
    /// Lifetime, counted from the moment before we asked.
    asked: Now,
    lifetime: Duration,
}

/// Why there is no token; becomes the outcome of the push that needed it.
#[derive(Clone)]
pub(crate) enum NoToken {
    Refused(PushError),
    TransientFailure(TransientFailure),
}

impl From<NoToken> for Try {
    fn from(why: NoToken) -> Self {
        match why {
            NoToken::Refused(error) => Self::Refused(error),
            NoToken::TransientFailure(passing) => Self::TransientFailure(passing),
        }
    }
}

impl From<NoToken> for PushError {
    fn from(why: NoToken) -> Self {
        match why {
            NoToken::Refused(error) => error,
            NoToken::TransientFailure(passing) => passing.into(),
        }
    }
}

impl NoToken {
    fn credentials(reason: impl Into<String>) -> Self {
        Self::Refused(PushError::credentials(reason))
    }
}

impl AccessToken {
    /// Distinguishes one token from the next, for [`AccessTokens::renewed`].
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
            account: ServiceAccount {
                project: raw.project_id,
                email: raw.client_email,
                key_id: raw.private_key_id,
                key: Secret::new(files::with_line_ends(&raw.private_key)),
                token_uri: token_uri.ok_or_else(|| problem("token_uri is not an https URL"))?,
            },
            client: tls
                .client_for_one_request()
                .map_err(|error| Tls::unusable(app, error))?,
            tls: tls.clone(),
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

    /// The current token; asks Google if there is none, and ahead of time in the background.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<AccessToken, NoToken> {
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
    pub(crate) fn refused(&self, token: &AccessToken) {
        let mut state = self.state();
        if state.token.as_ref().is_some_and(|kept| kept.serial == token.serial) {
            state.token = None;
        }
    }

    /// A token newer than `refused`, which Google did not take (or which is about to end).
    pub(crate) async fn renewed(&self, refused: u64) -> Result<AccessToken, NoToken> {
        let _asking = self.asking.lock().await;
        let asked = self.clock.now();
        {
            let state = self.state();
            // Another push asked while this one waited.
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
            Err(NoToken::TransientFailure(TransientFailure::no_answer(
                "no access token in time",
            )))
        });
        let mut state = self.state();
        match answer {
            Ok((header, lifetime)) => {
                state.serial += 1;
                let token = AccessToken {
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

    fn log(&self, failure: &NoToken) {
        let reason = PushError::from(failure.clone()).to_string();
        tracing::warn!(project = self.account.project, reason, "no access token from Google");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, TokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, now: Now) -> Option<AccessToken> {
        self.state().token.clone().filter(|t| t.left(now) > TOO_LATE)
    }

    async fn ask(&self, now: Now) -> Result<(HeaderValue, Duration), NoToken> {
        let assertion = self.assertion(now).map_err(NoToken::credentials)?;
        // Both values are URL-safe but for the grant's colons.
        let form = format!("grant_type={}&assertion={assertion}", GRANT.replace(':', "%3A"));
        let request = self
            .client
            .post(self.account.token_uri.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let lost = |error| match self.tls.lost(error) {
            Try::TransientFailure(passing) => NoToken::TransientFailure(passing),
            Try::Refused(error) => NoToken::Refused(error),
            Try::Taken { .. } | Try::Again { .. } => NoToken::credentials("the connection was lost"),
        };
        let response = request.send().await.map_err(lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response).await.map_err(lost)?;
        if status == StatusCode::OK {
            return grant(&body)
                .ok_or_else(|| NoToken::credentials("access token: the reply of token_uri is not a grant"));
        }
        let (words, is_about_the_clock) = refusal(&body);
        let reason = format!("access token: {status} {words}");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = header_retry_after(&headers, now.wall);
            return Err(NoToken::TransientFailure(TransientFailure {
                kept_by: KeptBy::Busy {
                    status: status.as_u16(),
                },
                reason,
                retry_after,
            }));
        }
        let fault = if is_about_the_clock {
            Fault::Clock
        } else {
            Fault::Credentials
        };
        Err(NoToken::Refused(PushError::Misconfigured { fault, reason }))
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
