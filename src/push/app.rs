//! One configured app: whose devices it serves, and with which credentials.

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::push::apns::rules::{ApnsPriority, ApnsRules, CollapseId, LONGEST_COLLAPSE_ID};
use crate::push::endpoint::EndpointRules;
use crate::push::refused_when::RefusedWhen;
use crate::push::template::{BodyTemplate, HeaderTemplate, UrlTemplate};
use crate::types::{Provider, app_id};

/// How an app proves to its provider that it may push. Files are read by the provider's own module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// APNs with a signing key: the .p8 file, its key id and the team id.
    ApnsToken {
        /// PEM file with the PKCS #8 P-256 key.
        key_file: PathBuf,
        /// 10-character key id.
        key_id: String,
        /// 10-character team id.
        team_id: String,
        /// The key to use when Apple refuses this one.
        next: Option<NextKey>,
    },
    /// APNs with a client certificate.
    ApnsCertificate {
        /// PEM file with the certificate (and its chain), or a PKCS #12 file with its key too.
        cert_file: PathBuf,
        /// PEM file with its private key; may be the same file.
        key_file: PathBuf,
        /// The file with the password of a PKCS #12 file on one line; without it the password is empty.
        password_file: Option<PathBuf>,
    },
    /// FCM HTTP v1 with a Google service account.
    FcmServiceAccount {
        /// The JSON file that Google gives.
        file: PathBuf,
    },
    /// Huawei's Push Kit with an app's OAuth 2.0 client id and secret.
    HmsClient {
        /// The client id, which is the app id too.
        client_id: String,
        /// The file with the secret on one line.
        secret_file: PathBuf,
        /// Instead of Huawei's own address for access tokens.
        token_url: Option<String>,
    },
    /// Web push with a VAPID key.
    WebPush(Box<WebPushSettings>),
    /// An operator's own gateway over HTTP.
    Http(Box<HttpProfiles>),
    /// None: the push is written to the log.
    Log,
}

/// The signing key that takes another's place at Apple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextKey {
    /// PEM file with the PKCS #8 P-256 key.
    pub key_file: PathBuf,
    /// 10-character key id.
    pub key_id: String,
}

/// How fswake authenticates to push services, and to which of them phones may let it push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebPushSettings {
    /// The VAPID key: PEM, or the private key in base64 on one line.
    pub key_file: PathBuf,
    /// Whom a push service may write to: `mailto:` or `https:` (RFC 8292 section 2.1).
    pub subject: String,
    /// Where endpoints may be.
    pub rules: EndpointRules,
}

/// How pushes reach an operator's gateway: mod_apn's profiles. At least one is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpProfiles {
    /// For calls, and for news of their ends.
    pub voip: Option<HttpProfile>,
    /// For messages.
    pub im: Option<HttpProfile>,
    /// The value of `${platform}` for a provider, if it is not the usual one.
    pub platforms: Vec<(Provider, String)>,
}

/// How one kind of push reaches a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProfile {
    /// The gateway's URL.
    pub url: UrlTemplate,
    /// Headers of the operator's own.
    pub headers: Vec<HeaderTemplate>,
    /// The body of the POST request; `None` sends GET.
    pub body: Option<BodyTemplate>,
    /// Its `Content-Type`; a header value.
    pub content_type: String,
    /// How it authenticates.
    pub auth: HttpAuth,
    /// How long connecting may take, in each try.
    pub connect_timeout: Duration,
    /// How long one try may take, connecting included.
    pub timeout: Duration,
    /// Whether any certificate is accepted.
    pub insecure: bool,
    /// What in a reply's body is a refusal, whatever its status: the first rule that fits counts.
    pub refused_when: Vec<RefusedWhen>,
}

/// How a profile authenticates, with the file that holds the secret in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HttpAuth {
    /// No authentication.
    #[default]
    None,
    /// `Authorization: Bearer <line>`; mod_apn calls it `jwt`.
    Bearer(PathBuf),
    /// RFC 7617; the line is `user:password`.
    Basic(PathBuf),
    /// RFC 7616; the line is `user:password`.
    Digest(PathBuf),
    /// A header of the operator's own; the line is `Name: value`.
    Header(PathBuf),
    /// A field of a form; the line is `name=value`.
    Field(PathBuf),
    /// `Authorization: Bearer` with an access token of OAuth 2.0 (RFC 6749 section 4.4).
    OAuth {
        /// The client's id.
        client_id: String,
        /// The client's secret is the line.
        secret_file: PathBuf,
        /// Where access tokens are asked for: an https URL.
        token_url: String,
    },
}

impl HttpAuth {
    /// The word for it in JSON and on the status page.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer(_) => "bearer",
            Self::Basic(_) => "basic",
            Self::Digest(_) => "digest",
            Self::Header(_) => "header",
            Self::Field(_) => "field",
            Self::OAuth { .. } => "oauth",
        }
    }

    /// Whether it needs an access token.
    pub fn is_oauth(&self) -> bool {
        matches!(self, Self::OAuth { .. })
    }

    /// The file that holds the secret.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Bearer(file)
            | Self::Basic(file)
            | Self::Digest(file)
            | Self::Header(file)
            | Self::Field(file)
            | Self::OAuth { secret_file: file, .. } => Some(file),
        }
    }
}

impl HttpProfiles {
    /// The profiles that are there, each with the word that `${type}` has for it.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &HttpProfile)> {
        let named = [("voip", &self.voip), ("im", &self.im)];
        named
            .into_iter()
            .filter_map(|(name, profile)| Some((name, profile.as_ref()?)))
    }
}

impl Credentials {
    /// The word for their kind in JSON and on the status page.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ApnsToken { .. } => "signing-key",
            Self::ApnsCertificate { .. } => "certificate",
            Self::FcmServiceAccount { .. } => "service-account",
            Self::HmsClient { .. } => "client-secret",
            Self::WebPush(_) => "vapid-key",
            Self::Http(profiles) => {
                let mut kinds = profiles.all().map(|(_, profile)| profile.auth.kind());
                kinds.find(|kind| *kind != "none").unwrap_or("none")
            }
            Self::Log => "none",
        }
    }

    /// The files they are in.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::ApnsToken { key_file, next, .. } => {
                let next = next.iter().map(|next| next.key_file.as_path());
                [key_file.as_path()].into_iter().chain(next).collect()
            }
            Self::ApnsCertificate {
                cert_file,
                key_file,
                password_file,
            } => {
                let files = [cert_file.as_path(), key_file.as_path()];
                files.into_iter().chain(password_file.as_deref()).collect()
            }
            Self::FcmServiceAccount { file } => vec![file],
            Self::HmsClient { secret_file, .. } => vec![secret_file],
            Self::WebPush(settings) => vec![&settings.key_file],
            Self::Http(profiles) => profiles.all().filter_map(|(_, profile)| profile.auth.file()).collect(),
            Self::Log => Vec::new(),
        }
    }
}

/// What the JSON of a call push looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PayloadStyle {
    /// fswake's own keys, documented in docs/PAYLOADS.md.
    #[default]
    Default,
    /// What Linphone apps read.
    Linphone,
    /// What apps written for mod_apn read.
    ModApn,
    /// The operator's JSON, `${name}` in its string values replaced.
    Template(String),
}

/// An HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// `http://host:port`.
    pub url: String,
    /// The file that holds `user:password` on one line, for a proxy that asks for them (RFC 7617).
    pub auth_file: Option<PathBuf>,
}

impl From<String> for ProxySettings {
    /// A proxy that wants no credentials.
    fn from(url: String) -> Self {
        Self { url, auth_file: None }
    }
}

/// One `[[app]]` of the configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its name in logs: unique, chosen by the operator.
    pub name: String,
    /// Who delivers its pushes: `http` and `log` serve devices of any provider, the others only their own.
    pub provider: Provider,
    /// The providers whose devices an `http` or `log` app serves; empty serves all.
    pub providers: Vec<Provider>,
    /// The app ids its devices name ([`crate::types::PushParams::app`]); empty serves every app id of the provider.
    pub app_ids: Vec<String>,
    /// Only callees in these domains (lower case); empty means all.
    pub domains: Vec<String>,
    /// The tenant it belongs to. Apps share nothing but the provider token of an equal key.
    pub tenant: Option<String>,
    /// Credentials.
    pub credentials: Credentials,
    /// Instead of the provider's own address, `https://host:port`: port 2197, a test server.
    pub base_url: Option<String>,
    /// PEM file with the only CAs that are trusted for it, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy that its requests go through.
    pub proxy: Option<ProxySettings>,
    /// APNs topic of call pushes; without it the app id of [`App::app_ids`] that the device's stands for, with `.voip`;
    /// without those the device's.
    pub topic: Option<String>,
    /// Headers of pushes to Apple, by purpose.
    pub apns: ApnsRules,
    /// What call pushes look like.
    pub payload: PayloadStyle,
}

impl App {
    /// The file with its login at the proxy.
    pub(crate) fn proxy_login(&self) -> Option<&Path> {
        self.proxy.as_ref()?.auth_file.as_deref()
    }

    /// All files that it reads. When one changes, the app is set up again.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.credentials
            .files()
            .into_iter()
            .chain(self.ca_file.as_deref())
            .chain(self.proxy_login())
    }

    /// The app of a configuration without apps: it writes every push to the log.
    pub(crate) fn log() -> Self {
        Self {
            name: "log".into(),
            provider: Provider::Other("log".into()),
            providers: Vec::new(),
            app_ids: Vec::new(),
            domains: Vec::new(),
            tenant: None,
            apns: ApnsRules::default(),
            credentials: Credentials::Log,
            base_url: None,
            ca_file: None,
            proxy: None,
            topic: None,
            payload: PayloadStyle::Default,
        }
    }

    /// Whether this app serves a device, perhaps by an id with a team or a service that is not configured.
    pub fn serves(&self, provider: &Provider, app_id: &str, domain: &str) -> bool {
        let by_provider = match &self.provider {
            own if own.serves_any() => self.providers.is_empty() || self.providers.contains(provider),
            own => own == provider,
        };
        by_provider
            && (self.app_ids.is_empty() || self.configured(provider, app_id).is_some())
            && (self.domains.is_empty() || self.domains.iter().any(|d| d.eq_ignore_ascii_case(domain)))
    }

    /// Whether this app, written before another, leaves it no phone (see `App::find`).
    pub fn takes_all_of(&self, other: &Self) -> bool {
        let among = |mine: &[String], theirs: &[String]| {
            mine.is_empty() || (!theirs.is_empty() && theirs.iter().all(|one| mine.contains(one)))
        };
        let theirs: &[Provider] = if other.provider.serves_any() {
            &other.providers
        } else {
            std::slice::from_ref(&other.provider)
        };
        let mine: &[Provider] = if self.provider.serves_any() {
            &self.providers
        } else {
            std::slice::from_ref(&self.provider)
        };
        let by_provider = mine.is_empty() || (!theirs.is_empty() && theirs.iter().all(|one| mine.contains(one)));
        by_provider && among(&self.app_ids, &other.app_ids) && among(&self.domains, &other.domains)
    }

    /// The one of its app ids that a device's stands for.
    pub fn configured(&self, provider: &Provider, app_id: &str) -> Option<&str> {
        app_id::find(provider, &[app_id], &self.app_ids.iter().map(String::as_str))
    }

    /// The app that serves a device: the first that names its id as the device does, else the first that serves it at
    /// all.
    pub(crate) fn find<'a, T>(
        all: &'a [T],
        app: impl Fn(&T) -> &App,
        provider: &Provider,
        app_id: &str,
        domain: &str,
    ) -> Option<&'a T> {
        let serving = || all.iter().filter(|one| app(one).serves(provider, app_id, domain));
        let exact = serving().find(|one| {
            let ids = &app(one).app_ids;
            ids.is_empty() || ids.iter().any(|id| id == app_id)
        });
        exact
            .filter(|one| !app(one).app_ids.is_empty())
            .or_else(|| serving().next())
    }
}
