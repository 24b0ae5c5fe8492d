//! One app's way to its provider: a connection, of HTTP/2 where the provider has it, that is kept warm and replaced when it
//! hangs.

use std::error::Error as _;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Proxy, RequestBuilder, Response, redirect, retry};
use tokio::sync::Semaphore;

use crate::files;
use crate::push::app::App;
use crate::push::setup::SetupError;
use crate::push::transport::probe::Reply;
use crate::push::transport::retry::{TRY_LIMIT, Try, Wait};
use crate::types::push::{KeptBy, PushError, PushOutcome, PushRequest};
use crate::words;

/// Requests of one app on their way at once; APNs allows 1000 streams on a connection. Those beyond wait.
const IN_FLIGHT: usize = 1000;
/// The same to an operator's gateway, where each may need a connection of its own.
const IN_FLIGHT_TO_GATEWAY: usize = 100;
/// Of ten slots this many are for pushes that are no call's: however many messages are on their way, a call finds a slot.
const FOR_MESSAGES: usize = 7;
/// An idle connection is pinged this often, which also keeps NATs and firewalls from forgetting it.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A ping unanswered for this long ends the connection.
const PING_LIMIT: Duration = Duration::from_secs(5);
/// Connecting takes less than a try, so that a push says that it had no connection, and not that it had no answer.
const CONNECT_LIMIT: Duration = Duration::from_millis(2_500);
/// A first connection takes name look-up, TLS and the request: one try's time for each half.
const PROBE_LIMIT: Duration = Duration::from_secs(2 * TRY_LIMIT.as_secs());
/// Why a try that ran out of time failed.
const NO_ANSWER: &str = "no answer in time";
/// No provider's reply is longer; the rest is not read.
const REPLY_LIMIT: usize = 64 * 1024;

/// What a connection is made with.
#[derive(Clone)]
pub(crate) struct Tls {
    cas: Option<Vec<Certificate>>,
    identity: Option<Identity>,
    proxy: Option<Proxy>,
    gateway: Option<Gateway>,
}

/// What an operator's own gateway may need that Apple and Google do not.
#[derive(Clone, Copy)]
pub(crate) struct Gateway {
    /// Whether it is reached over TLS at all.
    pub encrypted: bool,
    /// Whether its certificate is looked at.
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
            Some(url) => {
                Some(Proxy::all(url).map_err(|_| SetupError::app(app, "proxy is not a URL http://host:port"))?)
            }
            None => None,
        };
        Ok(Self {
            cas,
            identity,
            proxy,
            gateway: None,
        })
    }

    /// The same for an operator's gateway.
    pub(crate) fn for_gateway(app: &App, gateway: Gateway) -> Result<Self, SetupError> {
        Ok(Self {
            gateway: Some(gateway),
            ..Self::new(app, None)?
        })
    }

    /// A client that keeps one HTTP/2 connection; to a gateway without HTTP/2, as many as it has requests at once.
    fn client(&self) -> Result<Client, reqwest::Error> {
        let builder = match &self.gateway {
            // What it speaks is agreed upon in TLS. An idle HTTP/1.1 connection is not pinged and ends by itself.
            Some(_) => self.builder(),
            None => self.builder().http2_prior_knowledge().pool_idle_timeout(None),
        };
        builder
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_LIMIT)
            .http2_keep_alive_while_idle(true)
            .build()
    }

    /// A client for a request an hour, over whichever HTTP version the server has: it keeps no connection, as that
    /// would be dead by the next request as often as not.
    pub(crate) fn client_for_one_request(&self) -> Result<Client, reqwest::Error> {
        self.builder().pool_max_idle_per_host(0).build()
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let gateway = self.gateway.unwrap_or(Gateway {
            encrypted: true,
            verified: true,
            connect_timeout: CONNECT_LIMIT,
        });
        let mut builder = Client::builder()
            .user_agent(concat!("fswake/", env!("CARGO_PKG_VERSION")))
            .https_only(gateway.encrypted)
            .tls_danger_accept_invalid_certs(!gateway.verified)
            .redirect(redirect::Policy::none())
            // Tries are counted and bounded by us.
            .retry(retry::never())
            .connect_timeout(gateway.connect_timeout)
            .tcp_nodelay(true);
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

/// The connection of one app.
pub(crate) struct Line {
    tls: Tls,
    current: Mutex<(u64, Client)>,
    slots: Semaphore,
    for_messages: Semaphore,
}

impl Line {
    pub(crate) fn new(app: &App, tls: Tls) -> Result<Self, SetupError> {
        let client = tls
            .client()
            .map_err(|e| SetupError::app(app, &format!("TLS: {}", describe(e))))?;
        let in_flight = if tls.gateway.is_some() {
            IN_FLIGHT_TO_GATEWAY
        } else {
            IN_FLIGHT
        };
        Ok(Self {
            tls,
            current: Mutex::new((0, client)),
            slots: Semaphore::new(in_flight),
            for_messages: Semaphore::new(in_flight * FOR_MESSAGES / 10),
        })
    }

    /// Delivers one push within its wait: tries `once`, with what is left of the wait, until it is taken or refused.
    pub(crate) async fn deliver<F>(
        &self,
        app: &str,
        req: &PushRequest,
        mut wait: Wait,
        mut once: impl FnMut(Client, Duration) -> F,
    ) -> PushOutcome
    where
        F: Future<Output = Try>,
    {
        let busy = "too many pushes under way";
        let _message = match req.call() {
            Some(_) => None,
            None => Some(wait.until(busy, self.for_messages.acquire()).await?),
        };
        let _slot = wait.until(busy, self.slots.acquire()).await?;
        loop {
            let (generation, client) = self.client();
            let left = wait.left();
            let tried = wait.attempt(once(client, left)).await?.unwrap_or_else(|| {
                self.replace(app, generation);
                Try::Passing {
                    kept_by: KeptBy::NoAnswer,
                    reason: NO_ANSWER.into(),
                    retry_after: None,
                }
            });
            if let Some(outcome) = wait.settle(app, tried).await {
                return outcome;
            }
        }
    }

    /// The client to send with, and its generation for [`Line::replace`].
    pub(crate) fn client(&self) -> (u64, Client) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the connection with a request that reaches nobody, so that the first call finds it open.
    pub(crate) async fn open(&self, app: &str, base: &str) -> Result<(), PushError> {
        let (generation, client) = self.client();
        let opening = tokio::time::timeout(TRY_LIMIT, client.get(format!("{base}/")).send()).await;
        match opening {
            Ok(Ok(_any_status)) => Ok(()),
            Ok(Err(error)) => Err(lost(error).into_error().unwrap_or_else(no_answer)),
            Err(_) => {
                self.replace(app, generation);
                Err(no_answer())
            }
        }
    }

    /// Sends a probe's request, outside the pushes' slots, and reads the reply.
    pub(crate) async fn ask(
        &self,
        app: &str,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Reply, PushError> {
        let (generation, client) = self.client();
        let asking = async {
            let response = request(&client).send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = read_body(response).await?;
            Ok(Reply { status, headers, body })
        };
        match tokio::time::timeout(PROBE_LIMIT, asking).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(lost(error).into_error().unwrap_or_else(no_answer)),
            Err(_) => {
                self.replace(app, generation);
                Err(no_answer())
            }
        }
    }

    /// Leaves a connection on which a request hung: the next try opens a new one.
    ///
    /// The pool would hand out the hanging connection until a ping times out. Whatever is still on its way there
    /// keeps its own handle. Of many requests that hung together only the first replaces.
    fn replace(&self, app: &str, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != generation {
            return;
        }
        match self.tls.client() {
            Ok(client) => *current = (generation + 1, client),
            Err(error) => tracing::warn!(app, error = describe(error), "cannot open a second connection"),
        }
    }
}

fn no_answer() -> PushError {
    PushError::Exhausted {
        kept_by: KeptBy::NoAnswer,
        reason: NO_ANSWER.into(),
    }
}

/// What a try came to whose connection could not be made or was lost.
pub(crate) fn lost(error: reqwest::Error) -> Try {
    if error.is_builder() || is_untrusted(&error) {
        return Try::Refused(PushError::Misconfigured {
            reason: describe(error),
        });
    }
    Try::Passing {
        kept_by: KeptBy::NoConnection,
        reason: describe(error),
        retry_after: None,
    }
}

/// Whether a failed connection is for an operator to mend: no repetition makes a certificate trusted.
fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return match tls {
                rustls::Error::InvalidCertificate(_) => true,
                // The other side says the same of our certificate, or of the lack of one.
                rustls::Error::AlertReceived(alert) => is_about_certificates(*alert),
                _ => false,
            };
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            // What an io::Error wraps is not its source, but stands for it.
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// RFC 8446 section 6.2; any other alert may be gone at the next try.
fn is_about_certificates(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
    )
}

/// What went wrong with a connection, in a person's words: with the host, never with the URL, whose path holds the token.
pub(crate) fn describe(error: reqwest::Error) -> String {
    let to = error.url().and_then(|url| {
        let host = url.host_str()?;
        Some(format!("{host}:{}", url.port_or_known_default()?))
    });
    let to = to.unwrap_or_else(|| "the provider".into());
    let is_connecting = error.is_connect();
    let error = error.without_url();
    let mut texts = vec![error.to_string()];
    let mut said = None;
    let mut cause = error.source();
    while let Some(one) = cause {
        texts.push(one.to_string());
        said = of_cause(one).or(said);
        cause = match one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            // What an io::Error wraps is not its source, but stands for it.
            Some(wrapped) => Some(wrapped),
            None => one.source(),
        };
    }
    let mentions = |word: &str| texts.iter().any(|text| text.contains(word));
    let last = || without_links(texts.last().map_or("", String::as_str));
    if mentions("dns error") || mentions("failed to lookup address") {
        return format!("the name of {to} cannot be resolved: {}", last());
    }
    // It waited for another's attempt, which says why.
    let waited = || mentions("request was canceled").then(|| "an attempt to connect has just failed".to_owned());
    let said = said.or_else(waited).unwrap_or_else(last);
    if mentions("tunnel error") {
        return format!("cannot connect to {to} through the proxy: {said}");
    }
    if is_connecting {
        return format!("cannot connect to {to}: {said}");
    }
    format!("the connection to {to} broke: {said}")
}

/// One cause, where it is known what it means.
fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(match tls {
            rustls::Error::InvalidCertificate(why) => format!("its certificate is not trusted ({why})"),
            rustls::Error::AlertReceived(alert) if is_about_certificates(*alert) => {
                format!("it refuses the app's certificate ({alert:?})")
            }
            rustls::Error::AlertReceived(alert) => format!("it rejects the TLS connection ({alert:?})"),
            other => format!("TLS: {}", without_links(&other.to_string())),
        });
    }
    let error = cause.downcast_ref::<std::io::Error>()?;
    match error.kind() {
        // Said by what it wraps.
        _ if error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .is_some() =>
        {
            None
        }
        ErrorKind::UnexpectedEof => Some("the other side closed the connection".into()),
        _ if error.raw_os_error().is_none() => None,
        _ => Some(words::of_io(error)),
    }
}

/// A library's text without links to its manual.
fn without_links(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !word.contains("://"));
    let text = words.collect::<Vec<_>>().join(" ");
    text.trim_end_matches(':').to_owned()
}

/// The start of a reply's body, at most 64 KiB.
pub(crate) async fn read_body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk[..chunk.len().min(REPLY_LIMIT - body.len())]);
        if body.len() == REPLY_LIMIT {
            break;
        }
    }
    Ok(body)
}

/// A provider's reason code as it may be logged and stored: letters and underscores, or nothing. Digits are none of
/// any code, but of every token, should a provider ever repeat it.
pub(crate) fn code(text: &str) -> Option<&str> {
    let plain = text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    (plain && !text.is_empty() && text.len() <= 64).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failed_connections_are_told_in_words_with_the_host() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closes = silent.local_addr().unwrap().port();
        tokio::spawn(async move { while silent.accept().await.is_ok() {} });
        let client = || Client::builder().no_proxy();
        let failed = async |client: reqwest::ClientBuilder, url: String| {
            let error = client
                .build()
                .unwrap()
                .get(format!("{url}/3/device/secret"))
                .send()
                .await;
            describe(error.unwrap_err())
        };
        let refused = failed(client(), format!("https://127.0.0.1:{free}")).await;
        assert_eq!(
            refused,
            format!("cannot connect to 127.0.0.1:{free}: connection refused")
        );
        let closed = failed(client(), format!("https://127.0.0.1:{closes}")).await;
        assert!(
            closed.starts_with(&format!("cannot connect to 127.0.0.1:{closes}: ")),
            "{closed}"
        );
        let nameless = failed(client(), "https://no-such-host.invalid".into()).await;
        assert!(
            nameless.starts_with("the name of no-such-host.invalid:443 cannot be resolved"),
            "{nameless}"
        );
        let proxy = Proxy::all(format!("http://127.0.0.1:{free}")).unwrap();
        let proxied = failed(Client::builder().proxy(proxy), "https://push.example".into()).await;
        assert_eq!(
            proxied,
            "cannot connect to push.example:443 through the proxy: connection refused"
        );
        for text in [refused, closed, nameless, proxied] {
            for odd in ["os error", "secret", "client error", "://"] {
                assert!(!text.contains(odd), "{odd} in {text}");
            }
        }
    }
}
