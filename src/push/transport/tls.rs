//! How an app's connections are made: trusted CAs, client certificate, proxy, limits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Proxy, redirect, retry};

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
/// What a connection is made with.
#[derive(Clone)]
pub(crate) struct Tls {
    cas: Option<Vec<Certificate>>,
    identity: Option<Identity>,
    proxy: Option<Proxy>,
    gateway: Option<GatewayTls>,
    /// The rules for hosts, if phones choose where pushes go.
    endpoints: Option<Arc<EndpointRules>>,
}

/// What only an operator's own gateway may need.
#[derive(Clone, Copy)]
pub(crate) struct GatewayTls {
    /// Whether it is reached over TLS at all.
    pub encrypted: bool,
    /// Whether its certificate is verified.
    pub verified: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl Tls {
    /// Reads an app's CA file and proxy.
    pub(crate) fn new(app: &App, identity: Option<Identity>) -> Result<Self, SetupError> {
        let cas = app.ca_file.as_deref().map(|file| read_cas(app, file)).transpose()?;
        let proxy = match &app.proxy {
            // Its text may hold a password, so the error does not repeat it.
            Some(ProxySettings { url, auth_file }) => {
                let problem = |_| SetupError::app(app, "proxy is not a URL http://host:port");
                let proxy = Proxy::all(url).map_err(problem)?;
                let login = auth_file
                    .as_deref()
                    .map(|file| SetupError::user_and_password(app, file));
                Some(match login.transpose()? {
                    Some((user, password)) => proxy.basic_auth(&user, password.expose()),
                    None => proxy,
                })
            }
            None => None,
        };
        Ok(Self {
            cas,
            identity,
            proxy,
            gateway: None,
            endpoints: None,
        })
    }

    /// The same for an operator's gateway.
    pub(crate) fn for_gateway(app: &App, gateway: GatewayTls) -> Result<Self, SetupError> {
        Ok(Self {
            gateway: Some(gateway),
            ..Self::new(app, None)?
        })
    }

    /// The same for a provider that may speak any version of HTTP.
    pub(crate) fn for_any_http(app: &App) -> Result<Self, SetupError> {
        let encrypted = GatewayTls {
            encrypted: true,
            verified: true,
            connect_timeout: CONNECT_LIMIT,
        };
        Self::for_gateway(app, encrypted)
    }

    /// The same for endpoints that phones choose: their names lead to no address that the rules forbid. A proxy looks
    /// names up itself, so the configuration wants a list of hosts with one.
    pub(crate) fn for_endpoints(app: &App, rules: &Arc<EndpointRules>) -> Result<Self, SetupError> {
        Ok(Self {
            endpoints: app.proxy.is_none().then(|| Arc::clone(rules)),
            ..Self::for_any_http(app)?
        })
    }

    /// A client that keeps one HTTP/2 connection; to a gateway without HTTP/2, as many as it has requests at once.
    pub(crate) fn client(&self) -> Result<Client, reqwest::Error> {
        let builder = match &self.gateway {
            // HTTP/1.1 or HTTP/2, as agreed in TLS. An idle HTTP/1.1 connection is not pinged and ends by itself.
            Some(_) => self.builder(),
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

    /// Whether it leads to an operator's gateway.
    pub(crate) fn is_for_gateway(&self) -> bool {
        self.gateway.is_some()
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
        let gateway = self.gateway.unwrap_or(GatewayTls {
            encrypted: true,
            verified: true,
            connect_timeout: CONNECT_LIMIT,
        });
        let mut builder = Client::builder()
            .user_agent(concat!("fswake/", env!("CARGO_PKG_VERSION")))
            .https_only(gateway.encrypted)
            .tls_danger_accept_invalid_certs(!gateway.verified)
            .redirect(redirect::Policy::none())
            // fswake does the retries.
            .retry(retry::never())
            .connect_timeout(gateway.connect_timeout)
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

fn read_cas(app: &App, file: &Path) -> Result<Vec<Certificate>, SetupError> {
    let pem = SetupError::read(app, file, files::pem)?;
    match Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(cas) if !cas.is_empty() => Ok(cas),
        _ => Err(SetupError::file(app, file, "holds no PEM certificate")),
    }
}
