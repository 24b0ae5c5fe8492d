//! How an app's connections are made: trusted CAs, client certificate, proxy, limits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Proxy, redirect, retry};
use sha2::{Digest as _, Sha256};

use crate::files;
use crate::push::app::{App, ProxySettings};
use crate::push::endpoint::EndpointRules;
use crate::push::setup::SetupError;
use crate::push::transport::failure;
use crate::push::transport::resolver::{CheckedResolver, SystemResolver};
use crate::push::transport::retry::Try;

/// An idle connection is pinged this often, which also keeps NATs and firewalls from forgetting it.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A ping unanswered for this long ends the connection.
const PING_LIMIT: Duration = Duration::from_secs(5);
/// Less than a try, so that a failed push reports "no connection" and not "no answer".
const CONNECT_LIMIT: Duration = Duration::from_millis(2_500);
/// How often connections are used between calls: pings keep a live one, this replaces one that the provider closed.
pub(crate) const REWARM_EVERY: Duration = Duration::from_secs(240);
/// An unused connection of a server that may speak HTTP/1.1 is kept for this long: until it is used again by then.
const IDLE_LIMIT: Duration = Duration::from_secs(REWARM_EVERY.as_secs() + 60);

/// What a connection is made with.
#[derive(Clone)]
pub(crate) struct Tls {
    cas: Option<Vec<Certificate>>,
    identity: Option<Identity>,
    proxy: Option<Proxy>,
    /// `None`: HTTP/2 only.
    any_http: Option<AnyHttp>,
    /// The rules for hosts, if phones choose where pushes go.
    endpoints: Option<Arc<EndpointRules>>,
    route: Route,
}

/// What the settings and files say of the way to a provider. Equal ones may share what was fetched on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// A digest of the CAs that are trusted, if not the system's.
    cas: Option<[u8; 32]>,
    /// The proxy's URL.
    proxy: Option<String>,
    /// A digest of the login at the proxy.
    login: Option<[u8; 32]>,
}

/// How a server is reached that may speak HTTP/1.1 or HTTP/2, as agreed in TLS.
#[derive(Clone, Copy)]
pub(crate) struct AnyHttp {
    /// Whether it is reached over TLS at all.
    pub encrypted: bool,
    /// Whether its certificate is verified.
    pub verified: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl Default for AnyHttp {
    fn default() -> Self {
        Self {
            encrypted: true,
            verified: true,
            connect_timeout: CONNECT_LIMIT,
        }
    }
}

impl Tls {
    /// Reads an app's CA file and proxy.
    pub(crate) fn new(app: &App, identity: Option<Identity>) -> Result<Self, SetupError> {
        let digest = |text: &str| <[u8; 32]>::from(Sha256::digest(text));
        let mut route = Route {
            cas: None,
            proxy: None,
            login: None,
        };
        let mut cas = None;
        if let Some(file) = &app.ca_file {
            let pem = SetupError::read(app, file, files::pem)?;
            cas = Some(parse_cas(app, file, &pem)?);
            route.cas = Some(digest(&pem));
        }
        let mut proxy = None;
        if let Some(ProxySettings { url, auth_file }) = &app.proxy {
            // Its text may hold a password, so the error does not repeat it.
            let problem = |_| SetupError::app(app, "proxy is not a URL http://host:port");
            let mut through = Proxy::all(url).map_err(problem)?;
            route.proxy = Some(url.clone());
            if let Some(file) = auth_file {
                let (user, password) = SetupError::user_and_password(app, file)?;
                route.login = Some(digest(&format!("{user}:{}", password.expose())));
                through = through.basic_auth(&user, password.expose());
            }
            proxy = Some(through);
        }
        Ok(Self {
            cas,
            identity,
            proxy,
            any_http: None,
            endpoints: None,
            route,
        })
    }

    /// The way to the provider.
    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// The same for an operator's gateway.
    pub(crate) fn for_gateway(app: &App, http: AnyHttp) -> Result<Self, SetupError> {
        Ok(Self {
            any_http: Some(http),
            ..Self::new(app, None)?
        })
    }

    /// The same for a provider that may speak any version of HTTP.
    pub(crate) fn for_any_http(app: &App) -> Result<Self, SetupError> {
        Self::for_gateway(app, AnyHttp::default())
    }

    /// The same for endpoints that phones choose: their names lead to no address that the rules forbid. A proxy looks
    /// names up itself, so the configuration wants a list of hosts with one.
    pub(crate) fn for_endpoints(app: &App, rules: &Arc<EndpointRules>) -> Result<Self, SetupError> {
        Ok(Self {
            endpoints: app.proxy.is_none().then(|| Arc::clone(rules)),
            ..Self::for_any_http(app)?
        })
    }

    /// A client that keeps one HTTP/2 connection; to a server without HTTP/2, as many as it has requests at once.
    pub(crate) fn client(&self) -> Result<Client, reqwest::Error> {
        let builder = match &self.any_http {
            // Of many connections with HTTP/1.1, those end that are no longer used.
            Some(_) => self.builder().pool_idle_timeout(IDLE_LIMIT),
            None => self.builder().http2_prior_knowledge().pool_idle_timeout(None),
        };
        builder
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_LIMIT)
            .http2_keep_alive_while_idle(true)
            .build()
    }

    /// A client for a request an hour, over any HTTP version. It keeps no connection, which would be dead by the next
    /// request.
    pub(crate) fn client_for_one_request(&self) -> Result<Client, reqwest::Error> {
        self.builder().pool_max_idle_per_host(0).build()
    }

    /// Whether the server may turn out to speak HTTP/1.1.
    pub(crate) fn may_be_http1(&self) -> bool {
        self.any_http.is_some()
    }

    /// What to do after a connection could not be made or was lost.
    pub(crate) fn lost(&self, error: reqwest::Error) -> Try {
        failure::lost(error, self.proxy.is_some())
    }

    /// The same as an error of the app's settings.
    pub(crate) fn unusable(app: &App, error: reqwest::Error) -> SetupError {
        SetupError::app(app, &format!("TLS: {}", failure::in_words(error, false)))
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let http = self.any_http.unwrap_or_default();
        let mut builder = Client::builder()
            .user_agent(concat!("fswake/", env!("CARGO_PKG_VERSION")))
            .https_only(http.encrypted)
            .tls_danger_accept_invalid_certs(!http.verified)
            .redirect(redirect::Policy::none())
            // fswake does the retries.
            .retry(retry::never())
            .connect_timeout(http.connect_timeout)
            .tcp_nodelay(true);
        builder = match &self.endpoints {
            Some(rules) => builder.dns_resolver(CheckedResolver(Arc::clone(rules))),
            None => builder.dns_resolver(SystemResolver),
        };
        if let Some(cas) = &self.cas {
            builder = builder.tls_certs_only(cas.iter().cloned());
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder.no_proxy(),
        }
    }
}

fn parse_cas(app: &App, file: &Path, pem: &str) -> Result<Vec<Certificate>, SetupError> {
    match Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(cas) if !cas.is_empty() => Ok(cas),
        _ => Err(SetupError::file(app, file, "holds no PEM certificate")),
    }
}
