//! Apple Push Notification service over HTTP/2.
//!
//! Sources: Apple, "Sending notification requests to APNs" and "Handling notification responses from APNs".

pub(crate) mod token;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Identity, StatusCode};
use uuid::Uuid;

use crate::files;
use crate::push::apns::token::{Bearer, ProviderToken};
use crate::push::app::{App, Credentials};
use crate::push::apps::validity::day;
use crate::push::clock::Clock;
use crate::push::payload::{ApnsPush, Composer};
use crate::push::setup::SetupError;
use crate::push::transport::line::{Line, Tls, code, lost, read_body};
use crate::push::transport::probe::Proof;
use crate::push::transport::reply;
use crate::push::transport::retry::{Try, Wait, header_retry_after};
use crate::types::push::{KeptBy, PushError, PushOutcome, PushRequest};
use crate::types::{Provider, PushParams, PushToken};

/// The word by which the end of a certificate is known; that of TLS's alert too.
const EXPIRED: &str = "CertificateExpired";
/// Apps have one or two.
const PROBED_TOPICS: usize = 8;
const PRODUCTION: &str = "https://api.push.apple.com";
const SANDBOX: &str = "https://api.sandbox.push.apple.com";

/// One app's sender.
pub(crate) struct Apns {
    name: String,
    base: String,
    app: App,
    composer: Composer,
    line: Line,
    /// `None`: the connection's client certificate says who we are.
    pub token: Option<Arc<ProviderToken>>,
    /// When that certificate ends.
    pub expires: Option<SystemTime>,
    clock: Clock,
}

impl Apns {
    /// Reads the app's credentials. `tokens` are those of other apps: equal keys share one.
    pub(crate) fn new(app: &App, tokens: &[Arc<ProviderToken>], clock: Clock) -> Result<Self, SetupError> {
        let (token, identity) = match &app.credentials {
            Credentials::ApnsToken {
                key_file,
                key_id,
                team_id,
            } => (Some(shared(app, tokens, key_file, key_id, team_id)?), None),
            Credentials::ApnsCertificate { cert_file, key_file } => (None, Some(identity(app, cert_file, key_file)?)),
            _ => return Err(SetupError::app(app, "apns needs a .p8 key or a certificate")),
        };
        let (identity, expires) = identity.unzip();
        let default = if app.provider == Provider::ApnsSandbox {
            SANDBOX
        } else {
            PRODUCTION
        };
        Ok(Self {
            name: app.name.clone(),
            base: SetupError::base_url(app, default)?,
            app: app.clone(),
            composer: Composer::new(&app.payload, &app.provider).map_err(|e| SetupError::app(app, &e.to_string()))?,
            line: Line::new(app, Tls::new(app, identity)?)?,
            token,
            expires: expires.flatten(),
            clock,
        })
    }

    /// Delivers one push, or says why not, within its wait.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let wait = Wait::new(req.patience());
        self.is_valid()?;
        let push = self.composer.apns(req, self.topic(&req.to), self.clock.now().wall)?;
        self.line
            .deliver(&self.name, req, wait, |client, _left| self.once(client, &push))
            .await
    }

    /// Nothing is sent with a certificate that has ended: Apple resets such connections, which looks like a network's fault.
    fn is_valid(&self) -> Result<(), PushError> {
        match self.expires.filter(|end| *end <= self.clock.now().wall) {
            Some(end) => Err(PushError::Misconfigured {
                reason: format!("{EXPIRED}: the certificate expired on {} UTC", day(end)),
            }),
            None => Ok(()),
        }
    }

    /// What the operator says that a device's topic is.
    fn topic(&self, to: &PushParams) -> Option<&str> {
        let app = &self.app;
        app.topic.as_deref().or_else(|| app.configured(&to.provider, &to.app))
    }

    /// Opens the connection with a request that reaches nobody, so that the first call finds it open.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        self.is_valid()?;
        self.line.open(&self.name, &self.base).await
    }

    /// Pushes to a token that cannot exist, with each topic that the app's phones have.
    pub(crate) async fn probe(&self) -> (Result<Proof, PushError>, Option<SystemTime>) {
        if let Err(expired) = self.is_valid() {
            return (Err(expired), None);
        }
        let topics = self.topics();
        let (mut outcome, mut date) = (Ok(Proof::NoTopic), None);
        for topic in topics.iter().map(Some).chain(topics.is_empty().then_some(None)) {
            (outcome, date) = self.probe_topic(topic.map_or("", String::as_str)).await;
            // The key's or the way's fault, or one more topic's: asking on would find no other.
            if outcome.is_err() {
                break;
            }
        }
        (outcome, date)
    }

    /// The topics of the app's call pushes that are known before a phone names its own.
    fn topics(&self) -> Vec<String> {
        let named = self.app.topic.iter().chain(&self.app.app_ids);
        let most = if self.app.topic.is_some() { 1 } else { PROBED_TOPICS };
        let bundle = |id: &String| id.strip_suffix(".voip").unwrap_or(id).to_owned();
        named.take(most).map(|id| format!("{}.voip", bundle(id))).collect()
    }

    async fn probe_topic(&self, topic: &str) -> (Result<Proof, PushError>, Option<SystemTime>) {
        let push = ApnsPush {
            token: PushToken::new("0".repeat(64)),
            push_type: "voip",
            topic: topic.to_owned(),
            priority: "10",
            expiration: 0,
            apns_id: Uuid::new_v4(),
            body: br#"{"aps":{}}"#.to_vec(),
        };
        let (tried, date) = match self.tried(&push).await {
            // Its provider token was an hour old.
            Ok((Try::Again { .. }, _)) => match self.tried(&push).await {
                Ok(tried) => tried,
                Err(error) => return (Err(error), None),
            },
            Ok(tried) => tried,
            Err(error) => return (Err(error), None),
        };
        let outcome = match tried {
            Try::Refused(PushError::TokenBad { reason }) if reason == "BadDeviceToken" => {
                Ok(Proof::Taken("BadDeviceToken"))
            }
            Try::Refused(PushError::TokenGone { .. }) => Ok(Proof::Taken("Unregistered")),
            Try::Refused(PushError::Rejected { reason, .. }) if topic.is_empty() && reason.contains("Topic") => {
                Ok(Proof::NoTopic)
            }
            Try::Refused(PushError::Rejected { status, reason }) if reason.contains("Topic") => {
                Err(PushError::Rejected {
                    status,
                    reason: format!("{reason} ({topic})"),
                })
            }
            // The token that nobody has is pushed too often: all else is good.
            Try::Passing {
                kept_by: KeptBy::BusyForThis { .. },
                ..
            } => Ok(Proof::Taken("TooManyRequests")),
            other => other.into_error().map_or(Ok(Proof::Taken("accepted")), Err),
        };
        (outcome, date)
    }

    async fn tried(&self, push: &ApnsPush) -> Result<(Try, Option<SystemTime>), PushError> {
        let bearer = self.bearer().map_err(|reason| PushError::Misconfigured { reason })?;
        let asked = self
            .line
            .ask(&self.name, |client| self.request(client, push, bearer.as_ref()));
        let reply = asked.await?;
        let tried = match reply.status {
            200 => Try::Taken {
                provider_id: None,
                status: 200,
            },
            status => self.refused(status, &reply.headers, &reply.body, bearer.as_ref()),
        };
        Ok((tried, reply.date()))
    }

    /// The provider token to send now, where the app has a signing key.
    fn bearer(&self) -> Result<Option<Bearer>, String> {
        self.token.as_ref().map(|t| t.current(self.clock.now())).transpose()
    }

    /// The request for a push.
    fn request(&self, client: &reqwest::Client, push: &ApnsPush, bearer: Option<&Bearer>) -> reqwest::RequestBuilder {
        let url = format!("{}/3/device/{}", self.base, push.token.expose());
        let request = client.post(url).headers(headers(push)).body(push.body.clone());
        match bearer {
            Some(bearer) => request.header(AUTHORIZATION, bearer.header.clone()),
            None => request,
        }
    }

    async fn once(&self, client: reqwest::Client, push: &ApnsPush) -> Try {
        let bearer = match self.bearer() {
            Ok(bearer) => bearer,
            Err(reason) => return Try::Refused(PushError::Misconfigured { reason }),
        };
        let response = match self.request(&client, push, bearer.as_ref()).send().await {
            Ok(response) => response,
            Err(error) => return lost(error),
        };
        let status = response.status();
        if status == StatusCode::OK {
            let id = response.headers().get("apns-id").and_then(|id| id.to_str().ok());
            let provider_id = id
                .filter(|id| id.len() <= 64)
                .map_or_else(|| push.apns_id.to_string(), str::to_owned);
            return Try::Taken {
                provider_id: Some(provider_id),
                status: status.as_u16(),
            };
        }
        let headers = response.headers().clone();
        match read_body(response).await {
            Ok(body) => self.refused(status.as_u16(), &headers, &body, bearer.as_ref()),
            Err(error) => lost(error),
        }
    }

    fn refused(&self, status: u16, headers: &HeaderMap, body: &[u8], bearer: Option<&Bearer>) -> Try {
        let now = self.clock.now();
        let tried = classify(status, headers, body, now.wall);
        match (&tried, &self.token, bearer) {
            (Try::Refused(PushError::Misconfigured { reason }), Some(token), Some(bearer))
                if reason == "ExpiredProviderToken" =>
            {
                if token.renew_refused(bearer, now) {
                    return Try::Again { reason: reason.clone() };
                }
                Try::Refused(PushError::Misconfigured {
                    reason:
                        "ExpiredProviderToken, but it was signed less than 20 minutes ago: check this machine's clock"
                            .into(),
                })
            }
            _ => tried,
        }
    }
}

fn headers(push: &ApnsPush) -> HeaderMap {
    // Apple asks that values which differ with every push stay out of its HPACK table; h2 keeps only sensitive ones out.
    let unique = |mut value: HeaderValue| {
        value.set_sensitive(true);
        value
    };
    let text = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        HeaderName::from_static("apns-push-type"),
        HeaderValue::from_static(push.push_type),
    );
    headers.insert(
        HeaderName::from_static("apns-priority"),
        HeaderValue::from_static(push.priority),
    );
    // A topic that no header can carry goes as none, which APNs refuses by name (MissingTopic).
    headers.insert(HeaderName::from_static("apns-topic"), text(&push.topic));
    headers.insert(
        HeaderName::from_static("apns-expiration"),
        HeaderValue::from(push.expiration),
    );
    headers.insert(
        HeaderName::from_static("apns-id"),
        unique(text(&push.apns_id.to_string())),
    );
    headers
}

/// What a reply other than 200 asks for. The reason code decides; the status only where Apple documents no code.
fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Try {
    let refusal = reply::read(body);
    let reason = code(reply::text(&refusal, "reason"))
        .unwrap_or("no reason code")
        .to_owned();
    match (reason.as_str(), status) {
        ("Unregistered" | "ExpiredToken", _) => Try::Refused(PushError::TokenGone {
            // Milliseconds since 1970 at which APNs knew that the token was gone; with 410 only.
            since: reply::number(&refusal, "timestamp").map(|ms| ms / 1000),
            reason,
        }),
        ("BadDeviceToken" | "DeviceTokenNotForTopic", _) => Try::Refused(PushError::TokenBad { reason }),
        // IdleTimeout comes with 400, but it is the connection that was refused, not the push.
        (
            "TooManyRequests"
            | "TooManyProviderTokenUpdates"
            | "InternalServerError"
            | "ServiceUnavailable"
            | "Shutdown"
            | "IdleTimeout",
            _,
        )
        | (_, 429 | 500..=599) => Try::Passing {
            // Apple counts those by phone.
            kept_by: if reason == "TooManyRequests" {
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

fn shared(
    app: &App,
    tokens: &[Arc<ProviderToken>],
    file: &Path,
    key_id: &str,
    team_id: &str,
) -> Result<Arc<ProviderToken>, SetupError> {
    let is_id = |id: &str| id.len() == 10 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_id(key_id) || !is_id(team_id) {
        return Err(SetupError::app(
            app,
            "key id and team id are 10 letters and digits each",
        ));
    }
    let pem = SetupError::read(app, file, files::pem)?;
    let token = ProviderToken::new(pem.as_bytes(), key_id, team_id).map_err(|e| SetupError::file(app, file, &e))?;
    let known = tokens.iter().find(|t| t.is_for(&token));
    Ok(known.map_or_else(|| Arc::new(token), Arc::clone))
}

/// A client certificate with its key, and when it ends.
fn identity(app: &App, cert_file: &Path, key_file: &Path) -> Result<(Identity, Option<SystemTime>), SetupError> {
    let mut pem = SetupError::read(app, cert_file, files::pem)?;
    let ends = crate::push::apps::validity::ends(pem.as_bytes());
    if key_file != cert_file {
        pem.push('\n');
        pem.push_str(&SetupError::read(app, key_file, files::pem)?);
    }
    // The parser's own message may quote the file.
    let identity = Identity::from_pem(pem.as_bytes()).map_err(|_| {
        let problem = "with its key file: not a PEM certificate and an unencrypted PEM private key";
        SetupError::file(app, cert_file, problem)
    });
    Ok((identity?, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_has_its_class() {
        let class = |status: u16, reason: &str| {
            let body = format!(r#"{{"reason":"{reason}","timestamp":1700000000999}}"#);
            match classify(status, &HeaderMap::new(), body.as_bytes(), SystemTime::now()) {
                Try::Refused(PushError::TokenGone { since, .. }) => format!("gone {}", since.unwrap_or_default()),
                Try::Refused(PushError::TokenBad { .. }) => "bad".into(),
                Try::Refused(PushError::Misconfigured { .. }) => "misconfigured".into(),
                Try::Refused(_) => "rejected".into(),
                Try::Passing { .. } => "passing".into(),
                other => format!("{other:?}"),
            }
        };
        let documented = [
            (410, "gone 1700000000", &["Unregistered", "ExpiredToken"][..]),
            (400, "bad", &["BadDeviceToken", "DeviceTokenNotForTopic"]),
            (400, "passing", &["IdleTimeout"]),
            (
                400,
                "rejected",
                &[
                    "BadCollapseId",
                    "BadExpirationDate",
                    "BadMessageId",
                    "BadPriority",
                    "BadTopic",
                    "DuplicateHeaders",
                    "InvalidPushType",
                    "MissingDeviceToken",
                    "MissingTopic",
                    "PayloadEmpty",
                    "TopicDisallowed",
                ],
            ),
            (
                403,
                "misconfigured",
                &[
                    "BadCertificate",
                    "BadCertificateEnvironment",
                    "ExpiredProviderToken",
                    "Forbidden",
                    "InvalidProviderToken",
                    "MissingProviderToken",
                    "UnrelatedKeyIdInToken",
                    "BadEnvironmentKeyIdInToken",
                ],
            ),
            (404, "rejected", &["BadPath"]),
            (405, "rejected", &["MethodNotAllowed"]),
            (413, "rejected", &["PayloadTooLarge"]),
            (429, "passing", &["TooManyRequests", "TooManyProviderTokenUpdates"]),
            (500, "passing", &["InternalServerError"]),
            (503, "passing", &["ServiceUnavailable", "Shutdown"]),
        ];
        for (status, expected, reasons) in documented {
            for reason in reasons {
                assert_eq!(class(status, reason), expected, "{status} {reason}");
            }
        }
    }

    #[test]
    fn time_of_a_410_is_read_however_it_is_written() {
        for (timestamp, since) in [
            ("1700000000000", Some(1_700_000_000)),
            ("\"1700000000000\"", Some(1_700_000_000)),
            ("1700000000000.0", Some(1_700_000_000)),
            ("null", None),
            ("{}", None),
            ("\"yesterday\"", None),
        ] {
            let body = format!(r#"{{"timestamp":{timestamp},"reason":"Unregistered"}}"#);
            let tried = classify(410, &HeaderMap::new(), body.as_bytes(), SystemTime::now());
            let reason = "Unregistered".into();
            let gone = PushError::TokenGone { since, reason };
            assert!(
                matches!(&tried, Try::Refused(error) if *error == gone),
                "{timestamp}: {tried:?}"
            );
        }
    }

    #[test]
    fn status_410_without_apples_reason_code_drops_no_token() {
        for body in [
            "",
            "<html>gone</html>",
            r#"{"reason":"\u0000"}"#,
            r#"{"reason":null,"timestamp":1700000000000}"#,
            r#"{"reason":["Unregistered"]}"#,
            r#"{"timestamp":"1700000000000"}"#,
            r#"["Unregistered"]"#,
        ] {
            let tried = classify(410, &HeaderMap::new(), body.as_bytes(), SystemTime::now());
            assert!(
                matches!(tried, Try::Refused(PushError::Rejected { status: 410, .. })),
                "{body}"
            );
        }
    }
}
