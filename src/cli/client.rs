//! How subcommands talk to the running daemon: its own HTTP interface, found through the same configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::types::Secret;

/// How long a push may take: its own limit.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long the daemon may take for all else.
const USUAL_PATIENCE: Duration = Duration::from_secs(4);

/// A client of the running daemon.
pub(super) struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    token: Option<Secret>,
    /// Advice if the daemon rejects the token, or the lack of one.
    hint: String,
}

impl Client {
    /// The daemon of this configuration.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let Some(address) = config.http.addresses.first() else {
            bail!("http.addresses is empty: this daemon answers no queries");
        };
        if let Some(unread) = config.unread("http.token-file") {
            bail!(
                "the daemon requires a token, and its file cannot be read\n{}\nhint: run this as root, or as a user who may read \
                 the file",
                unread.error
            );
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            // The interface is plain HTTP on this host: no authority has to be read.
            .tls_certs_only([])
            .timeout(PATIENCE)
            .build()
            .context("HTTP client")?;
        let read = config.file.as_deref().map_or_else(
            || "built-in configuration".to_owned(),
            |file| file.display().to_string(),
        );
        let hint = match &config.http.token_file {
            Some(file) => format!(
                "the token in {} (http.token-file in {read}) is not that of the running daemon: is this its configuration \
                 (--config), and was it restarted since the token changed?",
                file.display()
            ),
            None => format!("{read} has no http.token-file: is this the running daemon's configuration (--config)?"),
        };
        Ok(Self {
            http,
            address: reachable(*address),
            token: config.http.token.clone(),
            hint,
        })
    }

    /// Asks for something, `path` with its query.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.json(self.send(Method::GET, path, None::<&()>).await?).await
    }

    /// The same; `None` if no daemon answers.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        match self.send(Method::GET, path, None::<&()>).await {
            Ok(response) => self.json(response).await.map(Some),
            Err(error) if error.is::<DaemonNotRunning>() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends something, and returns the answer.
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> anyhow::Result<T> {
        // A push may take long, so whether the daemon hangs is checked first.
        self.send(Method::GET, "/healthz", None::<&()>).await?;
        self.json(self.send(Method::POST, path, Some(body)).await?).await
    }

    /// Sends something whose answer may take this long, and returns the answer; or the problem's members, where it is a
    /// problem that has some.
    pub async fn post_and_wait<B: Serialize>(
        &self,
        path: &str,
        body: &B,
        patience: Duration,
    ) -> anyhow::Result<serde_json::Value> {
        self.send(Method::GET, "/healthz", None::<&()>).await?;
        let request = self.request(Method::POST, path).timeout(patience).json(body);
        let response = request.send().await.map_err(|error| self.unreached(&error))?;
        if response.status().is_success() {
            return self.json(response).await;
        }
        let status = response.status();
        let said: serde_json::Value = response.json().await.unwrap_or_default();
        if said["result"].is_string() {
            return Ok(said);
        }
        Err(self.refused(status, &said))
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(Method::DELETE, path, None::<&()>).await.map(drop)
    }

    async fn send<B: Serialize>(&self, method: Method, path: &str, body: Option<&B>) -> anyhow::Result<Response> {
        let is_push = method == Method::POST;
        let mut request = self.request(method, path);
        if !is_push {
            request = request.timeout(USUAL_PATIENCE);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreached(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // Problem details (RFC 9457), if it is the daemon that answers.
        let said: serde_json::Value = response.json().await.unwrap_or_default();
        Err(self.refused(status, &said))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    fn refused(&self, status: StatusCode, said: &serde_json::Value) -> anyhow::Error {
        let detail = said["detail"].as_str().unwrap_or("no reason given");
        let detail = crate::types::Printable(detail);
        if status == StatusCode::UNAUTHORIZED {
            return anyhow!("{detail}\nhint: {}", self.hint);
        }
        anyhow!("{detail}")
    }

    async fn json<T: DeserializeOwned>(&self, response: Response) -> anyhow::Result<T> {
        let answer = response.json().await;
        answer.with_context(|| format!("the answer of {} is not fswake's: another version?", self.address))
    }

    fn unreached(&self, error: &reqwest::Error) -> anyhow::Error {
        let address = self.address;
        if error.is_timeout() {
            return anyhow!(
                "the daemon at {address} does not answer\nhint: it is running but hangs: look at its log (journalctl -u fswake), and \
                 restart it if that does not help"
            );
        }
        anyhow::Error::new(DaemonNotRunning(address))
    }
}

/// No daemon answers.
#[derive(Debug, thiserror::Error)]
#[error(
    "no daemon at {0}\nhint: is it running (systemctl status fswake), and is this its configuration (--config, http.addresses)?"
)]
struct DaemonNotRunning(SocketAddr);

/// The address for reaching a listener from this host.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Runs requests to the daemon.
pub(super) fn talk<T>(conversation: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(conversation)
}
