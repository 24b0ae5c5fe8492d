//! An operator's own gateway over HTTP: whatever a mod_apn profile can say, and relays to Huawei, Xiaomi and others.
//!
//! ```text
//! PushRequest -> values --+-- url   (path segments and query values, percent-encoded) --+
//!                         +-- body  (JSON, form, markup, text, each encoded its way) ---+-> auth -> line
//! ```
//!
//! Templates are parsed once; a value can change no structure: not the host, not the path's other segments, no key of a
//! query, a form or JSON, no header (tests/push/http_hostile.rs).

mod auth;
mod body;
mod digest;
mod text;
mod url;
mod values;

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};

pub use self::auth::HttpAuth;
pub use self::body::{BodyTemplate, JSON};
pub use self::text::{Name, TemplateError};
pub use self::url::UrlTemplate;

use self::auth::Auth;
use self::url::Unfit;
use self::values::Told;
use crate::push::app::{App, Credentials, HttpProfile};
use crate::push::clock::Clock;
use crate::push::payload::preset::Preset;
use crate::push::setup::SetupError;
use crate::push::transport::line::{Gateway, Line, Tls, lost, read_body};
use crate::push::transport::retry::{Try, Wait, header_retry_after};
use crate::types::push::{About, KeptBy, PushError, PushOutcome, PushRequest};
use crate::types::{Provider, TokenType};

/// How often a 401's challenge is answered in one push: once for the first request ever, once more for a nonce that the
/// server no longer knows.
const CHALLENGES: u32 = 2;

/// One app's sender.
pub(crate) struct Http {
    name: String,
    preset: Preset,
    platforms: Vec<(Provider, String)>,
    voip: Option<Profile>,
    im: Option<Profile>,
    clock: Clock,
}

/// One way to the gateway, ready to be used.
struct Profile {
    spec: HttpProfile,
    content_type: HeaderValue,
    auth: Auth,
    line: Line,
}

/// A request as every try sends it.
struct Written {
    url: Url,
    body: Option<String>,
}

impl HttpProfile {
    /// Whether a gateway can tell a cancel from a call by what it gets.
    pub fn tells_kinds(&self) -> bool {
        let in_body = self.body.as_ref().map(BodyTemplate::names).unwrap_or_default();
        let mut names = self.url.names().chain(in_body);
        names.any(|name| matches!(name, Name::Kind | Name::Reason | Name::Payload))
    }
}

impl Http {
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
            spec.map(|spec| Profile::new(app, name, spec.clone())).transpose()
        };
        Ok(Self {
            name: app.name.clone(),
            preset: Preset::new(&app.payload, &app.provider).map_err(|e| SetupError::app(app, &e.to_string()))?,
            platforms: profiles.platforms.clone(),
            voip: profile("voip", &profiles.voip)?,
            im: profile("im", &profiles.im)?,
            clock,
        })
    }

    /// Delivers one push, or says why not, within its wait.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let profile = match values::profile(req) {
            TokenType::Voip => &self.voip,
            TokenType::Im => &self.im,
        };
        let Some(profile) = profile else {
            let reason = format!("the app has no profile {}", values::profile(req).as_str());
            return Err(match &req.about {
                About::Call(_) => misconfigured(&reason),
                // Calls go out as they should: whoever asked for this type was wrong.
                About::Notification(_) => PushError::Rejected { status: 0, reason },
            });
        };
        let told = Told::new(req, &self.preset, &self.platforms, self.clock.now().wall)?;
        let written = profile.write(&told)?;
        let wait = Wait::with_tries_of(profile.spec.timeout, req.patience());
        let challenges = AtomicU32::new(0);
        let once = |client, _left| profile.once(client, &written, &challenges, &self.clock);
        profile.line.deliver(&self.name, req, wait, once).await
    }

    /// Opens the connections, so that the first call finds them.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        let open = async |profile: &Option<Profile>| match profile {
            Some(profile) => profile.line.open(&self.name, profile.spec.url.origin()).await,
            None => Ok(()),
        };
        let (voip, im) = tokio::join!(open(&self.voip), open(&self.im));
        voip.and(im)
    }
}

impl Profile {
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
            Gateway {
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
            line: Line::new(app, tls)?,
            spec,
        })
    }

    fn write(&self, told: &Told<'_>) -> Result<Written, PushError> {
        let url = self.spec.url.fill(told).map_err(|unfit| PushError::Rejected {
            status: 0,
            reason: match unfit {
                Unfit::DotSegment => "DotSegment".into(),
                Unfit::NoUrl => "NoUrl".into(),
            },
        })?;
        let body = self.spec.body.as_ref().map(|body| body.fill(told));
        Ok(Written { url, body })
    }

    async fn once(&self, client: Client, written: &Written, challenges: &AtomicU32, clock: &Clock) -> Try {
        let method = if written.body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut request = client.request(method.clone(), written.url.clone());
        if let Some(body) = &written.body {
            request = request.header(CONTENT_TYPE, &self.content_type).body(body.clone());
        }
        let request = self.auth.sign(request, method.as_str(), &written.url);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return lost(error),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        // What a gateway says is for nobody, but a connection of HTTP/1.1 is of use again only when it was read.
        let _ = read_body(response).await;
        if status == StatusCode::UNAUTHORIZED
            && challenges.fetch_add(1, Ordering::Relaxed) < CHALLENGES
            && self.auth.learn(&headers)
        {
            return Try::Again {
                reason: "401 with a challenge".into(),
            };
        }
        classify(status, &headers, clock)
    }
}

/// What a reply asks for. The status decides: a gateway's body is its own affair.
fn classify(status: StatusCode, headers: &HeaderMap, clock: &Clock) -> Try {
    let reason = status.canonical_reason().unwrap_or("no reason").to_owned();
    let code = status.as_u16();
    match code {
        200..=299 => Try::Taken {
            provider_id: None,
            status: code,
        },
        300..=399 => Try::Refused(misconfigured(&format!(
            "{code} {reason}: redirects are not followed, url must be where they lead"
        ))),
        401 | 403 | 407 => Try::Refused(misconfigured(&format!("{code} {reason}"))),
        410 => Try::Refused(PushError::TokenGone { since: None, reason }),
        429 | 500..=599 => Try::Passing {
            kept_by: KeptBy::BusyForThis { status: code },
            reason: format!("{code} {reason}"),
            retry_after: header_retry_after(headers, clock.now().wall),
        },
        _ => Try::Refused(PushError::Rejected { status: code, reason }),
    }
}

fn misconfigured(reason: &str) -> PushError {
    PushError::Misconfigured {
        reason: reason.to_owned(),
    }
}
