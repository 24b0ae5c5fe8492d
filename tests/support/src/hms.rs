//! Huawei's Push Kit and the OAuth 2.0 server that goes with it, as Huawei documents them.
//!
//! Source: HMS Core, Push Kit, REST API reference, "Downlink messages"
//! (developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197), and HMS Core, "OAuth
//! 2.0-based Authentication", client credentials mode.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::http2::{Fault, Faults, HttpRequest, Reply, Server, Service};
use crate::oauth::{AccessTokens, Worth};
use crate::tls::Authority;

/// The stand-in's app: its OAuth 2.0 client id.
pub const APP: &str = "10086000";
/// The app's secret.
pub const SECRET: &str = "0fa1+s3cret/of=the&app";
/// Stands for the token of fswake's probes: a fault for them is set with [`Faults::token`].
pub const PROBE: &str = "validate_only";

/// A request to send, as it came in.
#[derive(Clone, Debug)]
pub struct HmsRequest {
    /// The request itself.
    pub request: HttpRequest,
    /// `message` of its body.
    pub message: Value,
    /// The object in `message.data`.
    pub data: Value,
    /// The code of the stand-in's own answer, faults aside.
    pub code: &'static str,
    /// Why; empty with success.
    pub reason: &'static str,
}

/// A running stand-in; ends when dropped.
pub struct Hms {
    /// Faults to come for messages.
    pub faults: Arc<Faults>,
    /// Faults to come for the token server.
    pub token_faults: Arc<Faults>,
    server: Server,
    rules: Arc<Rules>,
    sent: AsyncMutex<mpsc::UnboundedReceiver<HmsRequest>>,
    probes: AsyncMutex<mpsc::UnboundedReceiver<HmsRequest>>,
    dir: TempDir,
}

impl Hms {
    /// Starts one.
    pub async fn start() -> Self {
        let authority = Authority::default();
        let dir = TempDir::new().expect("a directory");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("a file");
        std::fs::write(dir.path().join("secret"), format!("{SECRET}\n")).expect("a file");
        let (faults, token_faults) = (Arc::<Faults>::default(), Arc::<Faults>::default());
        let (sender, receiver) = mpsc::unbounded_channel();
        let (probes, probes_rx) = mpsc::unbounded_channel();
        let rules = Arc::new(Rules {
            faults: Arc::clone(&faults),
            token_faults: Arc::clone(&token_faults),
            state: Mutex::new(State {
                tokens: AccessTokens::new("CF3Xl2XV6jMK/+==", Duration::from_secs(3600)),
                messages: 0,
                is_low: false,
                gone: HashSet::new(),
            }),
            sent: sender,
            probes,
        });
        let service: Arc<dyn Service> = Arc::<Rules>::clone(&rules);
        let server = Server::start(authority.server(false), 1000, service).await;
        Self {
            faults,
            token_faults,
            server,
            rules,
            sent: AsyncMutex::new(receiver),
            probes: AsyncMutex::new(probes_rx),
            dir,
        }
    }

    /// `https://localhost:port`.
    pub fn base_url(&self) -> String {
        format!("https://localhost:{}", self.server.addr.port())
    }

    /// Where access tokens are asked for.
    pub fn token_url(&self) -> String {
        format!("{}/oauth2/v3/token", self.base_url())
    }

    /// PEM file with the CA of its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The file with the app's secret.
    pub fn secret_file(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    /// Lines of an `[[app]]` that it serves, but for the name.
    pub fn app(&self) -> String {
        format!(
            "provider = 'hms'\nbase-url = '{}'\ntoken-url = '{}'\nca-file = '{}'\nclient-id = '{APP}'\n\
             client-secret-file = '{}'\n",
            self.base_url(),
            self.token_url(),
            self.ca_file().display(),
            self.secret_file().display()
        )
    }

    /// The connections.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Moves its clock forward.
    pub fn advance(&self, by: Duration) {
        self.rules.lock().tokens.advance(by);
    }

    /// Forgets every access token it gave out.
    pub fn revoke_tokens(&self) {
        self.rules.lock().tokens.revoke();
    }

    /// The app was removed from a phone: its token is no token any more.
    pub fn forget(&self, token: &str) {
        self.rules.lock().gone.insert(token.to_owned());
    }

    /// Takes away the permission for messages of high urgency, or gives it back.
    pub fn permit_high_urgency(&self, permit: bool) {
        self.rules.lock().is_low = !permit;
    }

    /// How many access tokens it was asked for.
    pub fn token_requests(&self) -> usize {
        self.rules.lock().tokens.asked()
    }

    /// Every access token it ever gave out.
    pub fn tokens_given(&self) -> Vec<String> {
        self.rules.lock().tokens.given()
    }

    /// The next request to send, whatever became of it.
    pub async fn next_push(&self) -> HmsRequest {
        self.sent.lock().await.recv().await.expect("the stand-in runs")
    }

    /// The next message that was only to be checked, whatever became of it.
    pub async fn next_probe(&self) -> HmsRequest {
        self.probes.lock().await.recv().await.expect("the stand-in runs")
    }

    /// The requests since the last look.
    pub async fn pushes_so_far(&self) -> Vec<HmsRequest> {
        let mut sent = self.sent.lock().await;
        std::iter::from_fn(|| sent.try_recv().ok()).collect()
    }
}

/// Huawei's answer with a code; with success and with most refusals its status is 200.
pub fn answer(status: u16, code: &str, msg: &str) -> Fault {
    Fault::json(status, &json!({ "code": code, "msg": msg, "requestId": "157439009" }))
}

struct Rules {
    faults: Arc<Faults>,
    token_faults: Arc<Faults>,
    state: Mutex<State>,
    sent: mpsc::UnboundedSender<HmsRequest>,
    probes: mpsc::UnboundedSender<HmsRequest>,
}

struct State {
    tokens: AccessTokens,
    messages: u64,
    is_low: bool,
    gone: HashSet<String>,
}

type Verdict = Result<(), (u16, &'static str, &'static str)>;

impl Rules {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, request: &HttpRequest) -> Reply {
        let form = String::from_utf8_lossy(&request.body);
        let secret = "0fa1%2Bs3cret%2Fof%3Dthe%26app";
        let good = format!("grant_type=client_credentials&client_id={APP}&client_secret={secret}");
        let is_good = form == good && request.header("content-type") == "application/x-www-form-urlencoded";
        let refusal = json!({ "error": 1101, "sub_error": 20001, "error_description": "invalid client" });
        self.lock().tokens.answer((!is_good).then_some((400, refusal)))
    }

    fn send(&self, request: HttpRequest) -> (Reply, Option<Fault>) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut state = self.lock();
        let verdict = state
            .is_known(&request)
            .and_then(|()| state.judge(&body, request.body.len()));
        state.messages += 1;
        let (status, code, reason) = match verdict {
            Ok(()) => (200, "80000000", ""),
            Err(refusal) => refusal,
        };
        let msg = if reason.is_empty() { "Success" } else { reason };
        let own = Reply::json(
            status,
            &json!({ "code": code, "msg": msg, "requestId": format!("1574390{:02}", state.messages) }),
        );
        let message = body["message"].clone();
        let token = message["token"][0].as_str().unwrap_or_default();
        let (fault, to) = if body["validate_only"] == true {
            (self.faults.of_probe(PROBE), &self.probes)
        } else {
            (self.faults.take(token), &self.sent)
        };
        let data = message["data"].as_str().unwrap_or_default();
        let _ = to.send(HmsRequest {
            data: serde_json::from_str(data).unwrap_or_default(),
            message,
            request,
            code,
            reason,
        });
        (own, fault)
    }
}

impl State {
    fn is_known(&self, request: &HttpRequest) -> Verdict {
        match self.tokens.worth_of(request) {
            Worth::Unknown => Err((401, "80200001", "authentication error")),
            Worth::Expired => Err((401, "80200003", "access token expired")),
            Worth::Valid => Ok(()),
        }
    }

    /// Only fields that a sender of calls may use are known.
    fn judge(&self, body: &Value, size: usize) -> Verdict {
        let bad = |text| Err((400, "80100003", text));
        let only = |value: &Value, known: &[&str]| {
            value
                .as_object()
                .is_some_and(|map| map.keys().all(|key| known.contains(&key.as_str())))
        };
        let message = &body["message"];
        if !only(body, &["validate_only", "message"]) || !only(message, &["data", "android", "token", "topic"]) {
            return bad("unknown field");
        }
        if !body["validate_only"].is_boolean() {
            return Err((400, "80100001", "validate_only is no boolean"));
        }
        let tokens = message["token"].as_array();
        // "token, topic or condition: one of them, and only one."
        if tokens.is_some() == message["topic"].is_string() {
            return bad("not one of token and topic");
        }
        if message["data"].as_str().is_none_or(str::is_empty) {
            return bad("data is no text");
        }
        let android = &message["android"];
        if !only(android, &["urgency", "ttl", "category", "collapse_key"]) {
            return bad("unknown field of android");
        }
        let ttl = android["ttl"]
            .as_str()
            .and_then(|ttl| ttl.strip_suffix('s')?.parse().ok());
        if ttl.is_none_or(|ttl: u32| ttl == 0 || ttl > 1_296_000) {
            return Err((400, "80100004", "ttl"));
        }
        match (android["urgency"].as_str(), android["category"].as_str()) {
            (Some("HIGH"), Some("VOIP")) if self.is_low => return Err((200, "80300011", "not permitted")),
            (Some("HIGH"), Some("VOIP")) | (Some("NORMAL"), None) => {}
            _ => return Err((400, "80100001", "urgency and its scenario")),
        }
        let tokens = tokens.map_or(&[][..], Vec::as_slice);
        let in_tokens: usize = tokens.iter().filter_map(Value::as_str).map(str::len).sum();
        if size - in_tokens > 4096 {
            return Err((200, "80300008", "too large"));
        }
        let is_bad = |token: &Value| {
            token
                .as_str()
                .is_none_or(|token| token.len() < 4 || self.gone.contains(token))
        };
        if !tokens.is_empty() && tokens.iter().all(is_bad) {
            return Err((200, "80300007", "All the tokens are invalid"));
        }
        Ok(())
    }
}

impl Service for Rules {
    fn answer(&self, request: HttpRequest) -> (Reply, Option<Fault>) {
        let send = format!("/v1/{APP}/messages:send");
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/oauth2/v3/token") => (self.token(&request), self.token_faults.take("")),
            ("POST", path) if path == send => self.send(request),
            _ => (Reply::json(404, &json!({})), None),
        }
    }
}
