//! An operator's own gateway over HTTP: everything that a mod_apn profile can do, and relays to Huawei, Xiaomi and
//! others.
//!
//! ```text
//! PushRequest -> values --+-- UrlTemplate  (path segments and query values, percent-encoded) --+
//!                         +-- HeaderTemplate (kept on one line) -------------------------------+
//!                         +-- BodyTemplate (JSON, form, markup, text, each encoded its way) ---+-> auth -> connection
//! ```
//!
//! Templates are parsed once. A value can change nothing but itself: not the host, no other segment of the path, no key
//! of a query, a form or JSON, and no other header (tests/push/http_hostile.rs).

mod auth;
pub(crate) mod digest;
mod values;

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};

use crate::push::app::{App, Credentials, HttpProfile};
use crate::push::clock::Clock;
use crate::push::gateway::auth::Auth;
use crate::push::gateway::values::GatewayValues;
use crate::push::oauth::access::AccessToken;
use crate::push::oauth::client::ClientTokens;
use crate::push::payload::preset::Preset;
use crate::push::refused_when::Meaning;
use crate::push::setup::SetupError;
use crate::push::template::{BodyTemplate, HeaderTemplate, Name};
use crate::push::transport::connection::ProviderConnection;
use crate::push::transport::reply::{self, read_body};
use crate::push::transport::retry::{TransientFailure, Try, Wait};
use crate::push::transport::tls::{AnyHttp, Tls};
use crate::types::push::{About, Fault, KeptBy, OwnRefusal, PushError, PushOutcome, PushRequest};
use crate::types::{Provider, TokenType};

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
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<String>,
}

impl HttpProfile {
    /// Whether a gateway can distinguish a cancel from a call.
    pub fn tells_kinds(&self) -> bool {
        let in_body = self.body.as_ref().map(BodyTemplate::names).unwrap_or_default();
        let in_headers = self.headers.iter().flat_map(HeaderTemplate::names);
        let mut names = self.url.names().chain(in_headers).chain(in_body);
        names.any(|name| matches!(name, Name::Kind | Name::Reason | Name::Payload))
    }
}

impl Gateway {
    /// Reads the app's secrets. `clients` are the OAuth clients of other apps.
    pub(crate) fn new(app: &App, mut clients: Vec<ClientTokens>, clock: Clock) -> Result<Self, SetupError> {
        let Credentials::Http(profiles) = &app.credentials else {
            return Err(SetupError::app(app, "http needs a profile"));
        };
        if profiles.all().next().is_none() {
            return Err(SetupError::app(app, "http needs a profile, voip or im"));
        }
        let profile = |name, spec: &Option<HttpProfile>, clients: &[ClientTokens]| {
            let new = |spec: &HttpProfile| ProfileSender::new(app, name, spec.clone(), clients, &clock);
            spec.as_ref().map(new).transpose()
        };
        let voip = profile("voip", &profiles.voip, &clients)?;
        clients.extend(voip.iter().filter_map(|profile| profile.auth.client()).cloned());
        let im = profile("im", &profiles.im, &clients)?;
        Ok(Self {
            name: app.name.clone(),
            preset: Preset::new(&app.payload, &app.provider).map_err(|error| SetupError::template(app, &error))?,
            platforms: profiles.platforms.clone(),
            voip,
            im,
            clock,
        })
    }

    /// The OAuth clients for which it asks for tokens.
    pub(crate) fn clients(&self) -> impl Iterator<Item = &ClientTokens> {
        let profiles = [&self.voip, &self.im].into_iter().flatten();
        profiles.filter_map(|profile| profile.auth.client())
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
        let repeats = AtomicU32::new(0);
        let once = |client, _left| profile.once(client, &prepared, &repeats, &self.clock);
        profile.connection.deliver(&self.name, req, wait, once).await
    }

    /// Opens the connections and gets the access tokens, so that the first call finds them.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        let open = async |profile: &Option<ProfileSender>| match profile {
            Some(profile) => {
                let open = profile.connection.open(&self.name, profile.spec.url.origin());
                let (token, connected) = tokio::join!(profile.auth.token(), open);
                token.map_err(PushError::from)?;
                connected
            }
            None => Ok(()),
        };
        let (voip, im) = tokio::join!(open(&self.voip), open(&self.im));
        voip.and(im)
    }
}

impl ProfileSender {
    fn new(
        app: &App,
        name: &'static str,
        spec: HttpProfile,
        clients: &[ClientTokens],
        clock: &Clock,
    ) -> Result<Self, SetupError> {
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
        let http = AnyHttp {
            encrypted: url.is_encrypted(),
            verified: !spec.insecure,
            connect_timeout: spec.connect_timeout,
        };
        let content_type = HeaderValue::from_str(&spec.content_type)
            .map_err(|_| SetupError::app(app, "content-type is not one that a header can carry"))?;
        let auth = Auth::new(app, &spec.auth, clients, clock)?;
        if let Some(twice) = spec.headers.iter().find(|header| auth.sets(header.name())) {
            let problem = format!("headers has {}, which auth-file sets", twice.name());
            return Err(SetupError::app(app, &problem));
        }
        Ok(Self {
            content_type,
            auth,
            connection: ProviderConnection::new(app, Tls::for_gateway(app, http)?)?,
            spec,
        })
    }

    fn write(&self, values: &GatewayValues<'_>) -> Result<PreparedRequest, PushError> {
        let url = self.spec.url.fill(values).map_err(PushError::Refused)?;
        let headers = self.spec.headers.iter().map(|header| header.fill(values));
        let body = self.spec.body.as_ref().map(|body| self.auth.body(&body.fill(values)));
        Ok(PreparedRequest {
            url,
            headers: headers.filter_map(|(name, value)| Some((name, value?))).collect(),
            body,
        })
    }

    async fn once(&self, client: Client, prepared: &PreparedRequest, repeats: &AtomicU32, clock: &Clock) -> Try {
        let token = match self.auth.token().await {
            Ok(token) => token,
            Err(failure) => return failure.into(),
        };
        let response = match self.request(&client, prepared, token.as_ref()).send().await {
            Ok(response) => response,
            Err(error) => return self.connection.lost(error),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        // Read even without rules: an HTTP/1.1 connection can be reused only then.
        let body = read_body(response).await;
        let may_repeat = || repeats.fetch_add(1, Ordering::Relaxed) < self.auth.repeats();
        if status == StatusCode::UNAUTHORIZED && self.auth.learn(&headers) && may_repeat() {
            return Try::Again {
                reason: "401 with a challenge".into(),
                on_new_connection: false,
            };
        }
        let (tried, by_rule) = self.judge(status, &headers, body, clock);
        let (Some(client), Some(token)) = (self.auth.client(), token) else {
            return tried;
        };
        if !is_about_the_token(status, by_rule, &tried) || !may_repeat() {
            return tried;
        }
        let reason = tried.into_error().map_or_else(String::new, |error| error.reason());
        client.tokens.try_with_another(&token, reason).await
    }

    fn request(&self, client: &Client, prepared: &PreparedRequest, token: Option<&AccessToken>) -> RequestBuilder {
        let method = if prepared.body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut request = client.request(method.clone(), prepared.url.clone());
        for (name, value) in &prepared.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &prepared.body {
            request = request.header(CONTENT_TYPE, &self.content_type).body(body.clone());
        }
        self.auth.sign(request, method.as_str(), &prepared.url, token)
    }

    /// What to do about a reply, and whether a rule of the operator's says so.
    fn judge(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Result<Vec<u8>, reqwest::Error>,
        clock: &Clock,
    ) -> (Try, bool) {
        let rules = &self.spec.refused_when;
        if rules.is_empty() {
            return (classify(status, headers, clock), false);
        }
        // What a rule looks for may be in the part that is missing.
        let body = match body {
            Ok(body) => reply::read(&body),
            Err(error) => return (self.connection.lost(error), false),
        };
        let is_success = status.is_success();
        let refusal = rules
            .iter()
            .find_map(|rule| Some((rule.means, rule.refusal(&body, is_success)?)));
        match refusal {
            Some((means, reason)) => (refused(means, status, reason, headers, clock), true),
            None => (classify(status, headers, clock), false),
        }
    }
}

/// Whether an access token may be the reason of a refusal: 401, or what a rule says. A 403 is about what the client may do.
fn is_about_the_token(status: StatusCode, by_rule: bool, tried: &Try) -> bool {
    let is_about_credentials = matches!(
        tried,
        Try::Refused(PushError::Misconfigured {
            fault: Fault::Credentials,
            ..
        })
    );
    is_about_credentials && (by_rule || status == StatusCode::UNAUTHORIZED)
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
