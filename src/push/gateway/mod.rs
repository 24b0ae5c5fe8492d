//! An operator's own gateway over HTTP: everything that a mod_apn profile can do, and relays to Huawei, Xiaomi and
//! others.
//!
//! ```text
//! PushRequest -> values --+-- UrlTemplate  (path segments and query values, percent-encoded) --+
//!                         +-- BodyTemplate (JSON, form, markup, text, each encoded its way) ---+-> auth -> connection
//! ```
//!
//! Templates are parsed once. A value can change nothing but itself: not the host, no other segment of the path, no key
//! of a query, a form or JSON, and no header (tests/push/http_hostile.rs).

mod auth;
pub(crate) mod digest;
mod values;

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};

use crate::push::app::{App, Credentials, HttpProfile};
use crate::push::clock::Clock;
use crate::push::gateway::auth::Auth;
use crate::push::gateway::values::GatewayValues;
use crate::push::payload::preset::Preset;
use crate::push::refused_when::Meaning;
use crate::push::setup::SetupError;
use crate::push::template::{BodyTemplate, Name};
use crate::push::transport::connection::ProviderConnection;
use crate::push::transport::reply::{self, read_body};
use crate::push::transport::retry::{TransientFailure, Try, Wait};
use crate::push::transport::tls::{GatewayTls, Tls};
use crate::types::push::{About, KeptBy, OwnRefusal, PushError, PushOutcome, PushRequest};
use crate::types::{Provider, TokenType};

/// How often a 401's challenge is answered in one push: once for the first request ever, once more for a nonce that the
/// server no longer knows.
const CHALLENGES: u32 = 2;

/// One app's sender.
pub(crate) struct Gateway {
    name: String,
    preset: Preset,
    platforms: Vec<(Provider, String)>,
    voip: Option<ProfileSender>,
    im: Option<ProfileSender>,
    clock: Clock,
}

/// One profile with its connection and its secret.
struct ProfileSender {
    spec: HttpProfile,
    content_type: HeaderValue,
    auth: Auth,
    connection: ProviderConnection,
}

/// The request that every try sends.
struct PreparedRequest {
    url: Url,
    body: Option<String>,
}

impl HttpProfile {
    /// Whether a gateway can distinguish a cancel from a call.
    pub fn tells_kinds(&self) -> bool {
        let in_body = self.body.as_ref().map(BodyTemplate::names).unwrap_or_default();
        let mut names = self.url.names().chain(in_body);
        names.any(|name| matches!(name, Name::Kind | Name::Reason | Name::Payload))
    }
}

impl Gateway {
    /// Reads the app's secrets.
    pub(crate) fn new(app: &App, clock: Clock) -> Result<Self, SetupError> {
        let Credentials::Http(profiles) = &app.credentials else {
            return Err(SetupError::app(app, "http needs a profile"));
        };
        if profiles.all().next().is_none() {
            return Err(SetupError::app(app, "http needs a profile, voip or im"));
        }
        let profile = |name, spec: &Option<HttpProfile>| {
            let spec = spec.as_ref();
            spec.map(|spec| ProfileSender::new(app, name, spec.clone())).transpose()
        };
        Ok(Self {
            name: app.name.clone(),
            preset: Preset::new(&app.payload, &app.provider).map_err(|error| SetupError::template(app, &error))?,
            platforms: profiles.platforms.clone(),
            voip: profile("voip", &profiles.voip)?,
            im: profile("im", &profiles.im)?,
            clock,
        })
    }

    /// Delivers one push within its wait, or returns the error.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let profile = match values::profile(req) {
            TokenType::Voip => &self.voip,
            TokenType::Im => &self.im,
        };
        let Some(profile) = profile else {
            let missing = OwnRefusal::NoProfile(values::profile(req).as_str());
            return Err(match &req.about {
                About::Call(_) => PushError::settings(missing.to_string()),
                // The app is fine for calls: the request had the wrong type.
                About::Notification(_) => PushError::Refused(missing),
            });
        };
        let values = GatewayValues::new(req, &self.preset, &self.platforms, self.clock.now().wall)?;
        let prepared = profile.write(&values)?;
        let wait = Wait::with_tries_of(profile.spec.timeout, req.patience());
        let challenges = AtomicU32::new(0);
        let once = |client, _left| profile.once(client, &prepared, &challenges, &self.clock);
        profile.connection.deliver(&self.name, req, wait, once).await
    }

    /// Opens the connections, so that the first call finds them.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        let open = async |profile: &Option<ProfileSender>| match profile {
            Some(profile) => profile.connection.open(&self.name, profile.spec.url.origin()).await,
            None => Ok(()),
        };
        let (voip, im) = tokio::join!(open(&self.voip), open(&self.im));
        voip.and(im)
    }
}

impl ProfileSender {
    fn new(app: &App, name: &'static str, spec: HttpProfile) -> Result<Self, SetupError> {
        let url = &spec.url;
        if !url.is_encrypted() && !url.is_loopback() {
            tracing::warn!(
                app = app.name,
                profile = name,
                to = url.origin(),
                "no TLS to the gateway: anyone on the way can read tokens and secrets"
            );
        }
        if spec.insecure {
            tracing::warn!(
                app = app.name,
                profile = name,
                to = url.origin(),
                "insecure = true: the gateway's certificate is not verified, so anyone on the way can read tokens and secrets"
            );
        }
        let tls = Tls::for_gateway(
            app,
            GatewayTls {
                encrypted: url.is_encrypted(),
                verified: !spec.insecure,
                connect_timeout: spec.connect_timeout,
            },
        )?;
        let content_type = HeaderValue::from_str(&spec.content_type)
            .map_err(|_| SetupError::app(app, "content-type is not one that a header can carry"))?;
        Ok(Self {
            content_type,
            auth: Auth::new(app, &spec.auth)?,
            connection: ProviderConnection::new(app, tls)?,
            spec,
        })
    }

    fn write(&self, values: &GatewayValues<'_>) -> Result<PreparedRequest, PushError> {
        let url = self.spec.url.fill(values).map_err(PushError::Refused)?;
        let body = self.spec.body.as_ref().map(|body| body.fill(values));
        Ok(PreparedRequest { url, body })
    }

    async fn once(&self, client: Client, prepared: &PreparedRequest, challenges: &AtomicU32, clock: &Clock) -> Try {
        let method = if prepared.body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut request = client.request(method.clone(), prepared.url.clone());
        if let Some(body) = &prepared.body {
            request = request.header(CONTENT_TYPE, &self.content_type).body(body.clone());
        }
        let request = self.auth.sign(request, method.as_str(), &prepared.url);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return self.connection.lost(error),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        // Read even without rules: an HTTP/1.1 connection can be reused only then.
        let body = read_body(response).await;
        if status == StatusCode::UNAUTHORIZED
            && challenges.fetch_add(1, Ordering::Relaxed) < CHALLENGES
            && self.auth.learn(&headers)
        {
            return Try::Again {
                reason: "401 with a challenge".into(),
            };
        }
        let rules = &self.spec.refused_when;
        if rules.is_empty() {
            return classify(status, &headers, clock);
        }
        // What a rule looks for may be in the part that is missing.
        let body = match body {
            Ok(body) => reply::read(&body),
            Err(error) => return self.connection.lost(error),
        };
        let refusal = rules.iter().find_map(|rule| Some((rule.means, rule.refusal(&body)?)));
        match refusal {
            Some((means, reason)) => refused(means, status, reason, &headers, clock),
            None => classify(status, &headers, clock),
        }
    }
}

/// What to do about a refusal that a rule of the operator's has found in a reply.
fn refused(means: Meaning, status: StatusCode, reason: String, headers: &HeaderMap, clock: &Clock) -> Try {
    let status = status.as_u16();
    match means {
        Meaning::Refused => Try::Refused(PushError::Rejected {
            status,
            reason,
            topic: None,
        }),
        Meaning::TokenGone => Try::Refused(PushError::TokenGone { since: None, reason }),
        Meaning::TokenBad => Try::Refused(PushError::TokenBad { reason }),
        Meaning::Busy => {
            let kept_by = KeptBy::BusyForThis { status };
            Try::TransientFailure(TransientFailure::answered(kept_by, &reason, headers, clock.now().wall))
        }
        Meaning::Credentials => Try::Refused(PushError::credentials(reason)),
    }
}

/// What to do about a reply in which no rule has found a refusal. The status decides: bodies differ between gateways.
fn classify(status: StatusCode, headers: &HeaderMap, clock: &Clock) -> Try {
    let reason = status.canonical_reason().unwrap_or("no reason").to_owned();
    let code = status.as_u16();
    match code {
        200..=299 => Try::Taken {
            provider_id: None,
            status: code,
        },
        300..=399 => Try::Refused(PushError::settings(format!(
            "{code} {reason}: redirects are not followed, url must be where they lead"
        ))),
        401 | 403 | 407 => Try::Refused(PushError::credentials(format!("{code} {reason}"))),
        410 => Try::Refused(PushError::TokenGone { since: None, reason }),
        429 | 500..=599 => {
            let kept_by = KeptBy::BusyForThis { status: code };
            Try::TransientFailure(TransientFailure::answered(kept_by, &reason, headers, clock.now().wall))
        }
        _ => Try::refused(code, reason),
    }
}
