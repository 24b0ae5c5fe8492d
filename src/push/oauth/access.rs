//! Access tokens of OAuth 2.0: one for each account, shared by every app that uses it and renewed ahead of time.
//!
//! Races, and the test for each in tests/push: many pushes find no token at once
//! (`parallel_pushes_share_one_access_token`); the token ages while pushes go on
//! (`access_token_is_renewed_ahead_of_time`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};

use crate::push::app::App;
use crate::push::clock::{Clock, Now};
use crate::push::oauth::grant::{grant, refusal};
use crate::push::setup::SetupError;
use crate::push::transport::reply::read_body;
use crate::push::transport::retry::{TransientFailure, Try};
use crate::push::transport::tls::{Route, Tls};
use crate::types::push::{Fault, KeptBy, PushError};

/// A token with less than this left, and with less than a fifth of its lifetime, is renewed in the background while it is
/// still used.
const RENEW_AHEAD: Duration = Duration::from_secs(300);
/// A token with less than this left, and with less than a tenth of its lifetime, is not used: it could expire on the way.
const TOO_LATE: Duration = Duration::from_secs(10);
/// A token that was fetched less than this ago is used, however short its lifetime is: another would be no better.
const FRESH: Duration = Duration::from_secs(1);
/// After a provider has refused a token, the next refusal within this asks for no other: a client that may not push would
/// ask for a token with each push.
const REFUSALS_APART: Duration = Duration::from_secs(30);
/// The longest wait for the token server. Shorter than a try, so that waiting pushes report what failed.
const ASK_LIMIT: Duration = Duration::from_millis(2_500);
/// After a failure the waiting pushes share its outcome instead of asking again one after another.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// An account, and how its tokens are requested.
pub(crate) trait Account: PartialEq + Send + Sync + 'static {
    /// Its name in logs.
    fn name(&self) -> &str;
    /// The token server's URL.
    fn url(&self) -> &Url;
    /// The form that is posted there (RFC 6749 section 4).
    fn form(&self, now: Now) -> Result<String, String>;
}

/// An account's access token and how to get the next one.
pub(crate) struct AccessTokens<A> {
    pub account: A,
    client: Client,
    tls: Tls,
    clock: Clock,
    state: Mutex<TokenState>,
    /// Held while a token is fetched.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct TokenState {
    token: Option<AccessToken>,
    failed: Option<(Now, NoToken)>,
    serial: u64,
    /// The last token that was replaced because the provider had refused it, and when.
    refused: Option<(Now, u64)>,
    /// A renewal ahead of time is under way.
    renewing: bool,
}

#[derive(Clone)]
pub(crate) struct AccessToken {
    pub header: HeaderValue,
    /// Distinguishes one token from the next.
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
    fn left(&self, now: Now) -> Duration {
        let age = now.monotonic.saturating_duration_since(self.asked.monotonic);
        let wall = now.wall.duration_since(self.asked.wall).unwrap_or_default();
        self.lifetime.saturating_sub(age.max(wall))
    }

    /// Whether it is to be renewed while it is used.
    fn is_old(&self, now: Now) -> bool {
        self.left(now) < RENEW_AHEAD.min(self.lifetime / 5)
    }

    /// Whether it can be used.
    fn is_good(&self, now: Now) -> bool {
        let is_fresh = now.monotonic.saturating_duration_since(self.asked.monotonic) < FRESH;
        is_fresh || self.left(now) > TOO_LATE.min(self.lifetime / 10)
    }
}

impl<A: Account> AccessTokens<A> {
    /// The tokens of an account, before the first is fetched.
    pub(crate) fn new(app: &App, account: A, tls: &Tls, clock: Clock) -> Result<Self, SetupError> {
        Ok(Self {
            account,
            client: tls
                .client_for_one_request()
                .map_err(|error| Tls::unusable(app, error))?,
            tls: tls.clone(),
            clock,
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// Whether two are the same account's.
    pub(crate) fn is_for(&self, other: &Self) -> bool {
        self.account == other.account
    }

    /// The current token; asks the server if there is none, and ahead of time in the background.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<AccessToken, NoToken> {
        let now = self.clock.now();
        if let Some(token) = self.kept(now) {
            if token.is_old(now) && !std::mem::replace(&mut self.state().renewing, true) {
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
        self.renew(serial).await
    }

    /// [`AccessTokens::renewed`] in a task of its own: a push that gives up does not end the request that others wait for.
    async fn renew(self: &Arc<Self>, refused: u64) -> Result<AccessToken, NoToken> {
        let tokens = Arc::clone(self);
        let asking = tokio::spawn(async move { tokens.renewed(refused).await });
        asking
            .await
            .unwrap_or_else(|_| Err(NoToken::credentials("access token: the request was given up")))
    }

    /// The provider refused this token before it expired: it was revoked, and no further push uses it.
    pub(crate) fn refused(&self, token: &AccessToken) {
        let mut state = self.state();
        if state.token.as_ref().is_some_and(|kept| kept.serial == token.serial) {
            state.token = None;
        }
    }

    /// The provider refused this token: the push is tried again with the next one.
    pub(crate) async fn try_with_another(self: &Arc<Self>, refused: &AccessToken, reason: String) -> Try {
        if !self.may_replace(refused) {
            return Try::Refused(PushError::credentials(reason));
        }
        self.refused(refused);
        match self.renew(refused.serial).await {
            Ok(_) => Try::Again {
                reason,
                on_new_connection: false,
            },
            // The next try asks again.
            Err(failure) => failure.into(),
        }
    }

    /// Whether a refused token may be replaced by another: once, and then not for a while.
    fn may_replace(&self, refused: &AccessToken) -> bool {
        let now = self.clock.now();
        let mut state = self.state();
        // Another push has replaced it.
        if state.serial > refused.serial {
            return true;
        }
        let ago = |at: Now| now.monotonic.saturating_duration_since(at.monotonic);
        match state.refused {
            // Other pushes with the same token were refused at the same time.
            Some((_, serial)) if serial == refused.serial => true,
            Some((at, _)) if ago(at) < REFUSALS_APART => false,
            _ => {
                state.refused = Some((now, refused.serial));
                true
            }
        }
    }

    /// A token newer than `refused`, which the provider did not take (or which is about to end).
    async fn renewed(&self, refused: u64) -> Result<AccessToken, NoToken> {
        let _asking = self.asking.lock().await;
        let asked = self.clock.now();
        {
            let state = self.state();
            // Another push asked while this one waited.
            if let Some(token) = &state.token
                && state.serial > refused
                && token.is_good(asked)
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
        tracing::warn!(account = self.account.name(), reason, "no access token");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, TokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, now: Now) -> Option<AccessToken> {
        self.state().token.clone().filter(|token| token.is_good(now))
    }

    async fn ask(&self, now: Now) -> Result<(HeaderValue, Duration), NoToken> {
        let form = self.account.form(now).map_err(NoToken::credentials)?;
        let request = self
            .client
            .post(self.account.url().clone())
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
                .ok_or_else(|| NoToken::credentials("access token: the reply of the token server is not a grant"));
        }
        let (words, is_about_the_clock) = refusal(&body);
        let reason = format!("access token: {status} {words}");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let kept_by = KeptBy::Busy {
                status: status.as_u16(),
            };
            let answered = TransientFailure::answered(kept_by, &words, &headers, now.wall);
            return Err(NoToken::TransientFailure(TransientFailure { reason, ..answered }));
        }
        let fault = if is_about_the_clock {
            Fault::Clock
        } else {
            Fault::Credentials
        };
        Err(NoToken::Refused(PushError::Misconfigured { fault, reason }))
    }
}

/// An account's tokens and how the token server is reached; apps share a token when both are the same.
pub(crate) struct SharedTokens<A> {
    pub tokens: Arc<AccessTokens<A>>,
    route: Route,
}

impl<A> Clone for SharedTokens<A> {
    fn clone(&self) -> Self {
        Self {
            tokens: Arc::clone(&self.tokens),
            route: self.route.clone(),
        }
    }
}

impl<A: Account> SharedTokens<A> {
    /// The tokens of an account, or those that another app has of it.
    pub(crate) fn new(tls: &Tls, tokens: AccessTokens<A>, others: &[Self]) -> Self {
        let own = Self {
            tokens: Arc::new(tokens),
            route: tls.route().clone(),
        };
        let is_same = |other: &&Self| own.route == other.route && own.tokens.is_for(&other.tokens);
        others.iter().find(is_same).cloned().unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_of_any_lifetime_is_used_and_renewed_within_it() {
        let start = Clock::default().now();
        let later = |seconds: f64| {
            let by = Duration::from_secs_f64(seconds);
            Now {
                monotonic: start.monotonic + by,
                wall: start.wall + by,
            }
        };
        for (lifetime, old_at, bad_at) in [
            (3600, 3300.0, 3590.0),
            (300, 240.0, 290.0),
            (60, 48.0, 54.0),
            (0, 0.0, 1.0),
        ] {
            let token = AccessToken {
                header: HeaderValue::from_static("Bearer x"),
                serial: 1,
                asked: start,
                lifetime: Duration::from_secs(lifetime),
            };
            assert!(
                token.is_good(later(0.0)) && token.is_good(later(bad_at - 0.1)),
                "{lifetime}"
            );
            assert!(!token.is_good(later(bad_at + 0.1)), "{lifetime}");
            if lifetime > 0 {
                assert!(!token.is_old(later(old_at - 0.1)), "{lifetime}");
                assert!(token.is_old(later(old_at + 0.1)), "{lifetime}");
            }
        }
    }
}
