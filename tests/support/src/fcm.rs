//! FCM's HTTP v1 interface and Google's OAuth 2 token server, as documented.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::http2::{Fault, Faults, HttpRequest, Reply, Server, Service};
use crate::oauth::{AccessTokens, Worth};
use crate::tls::{Authority, SigningKey, rsa_key};

/// The stand-in's Firebase project.
pub const PROJECT: &str = "example-phone";
/// Stands for the token of fswake's probes. [`Faults::token`] sets a fault for it.
pub const PROBE: &str = "validate_only";
const EMAIL: &str = "push@example-phone.iam.gserviceaccount.com";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// A send request.
#[derive(Clone, Debug)]
pub struct FcmRequest {
    /// The HTTP request.
    pub request: HttpRequest,
    /// `message` of the body.
    pub message: Value,
    /// The status that the stand-in itself gives, without faults.
    pub status: u16,
    /// Its status text; empty for 200.
    pub reason: String,
}

/// A running stand-in. It stops when dropped.
pub struct Fcm {
    /// Faults to inject into message requests.
    pub faults: Arc<Faults>,
    /// Faults to inject into token requests.
    pub token_faults: Arc<Faults>,
    server: Server,
    rules: Arc<Rules>,
    sent: AsyncMutex<mpsc::UnboundedReceiver<FcmRequest>>,
    probes: AsyncMutex<mpsc::UnboundedReceiver<FcmRequest>>,
    dir: TempDir,
}

impl Fcm {
    /// Starts a stand-in.
    pub async fn start() -> Self {
        let (authority, key) = (Authority::default(), rsa_key());
        let dir = TempDir::new().expect("a directory");
        let (faults, token_faults) = (Arc::<Faults>::default(), Arc::<Faults>::default());
        let (sender, receiver) = mpsc::unbounded_channel();
        let (probes, probes_rx) = mpsc::unbounded_channel();
        let rules = Arc::new(Rules {
            faults: Arc::clone(&faults),
            token_faults: Arc::clone(&token_faults),
            state: Mutex::new(State {
                keys: Vec::new(),
                token_uri: String::new(),
                tokens: AccessTokens::new("ya29.stand-in-", Duration::from_secs(3599)),
                messages: 0,
            }),
            sent: sender,
            probes,
        });
        let service: Arc<dyn Service> = Arc::<Rules>::clone(&rules);
        let server = Server::start(authority.server(false), 1000, service).await;
        let token_uri = format!("https://localhost:{}/token", server.addr.port());
        let account = account("0123456789abcdef", &key, &token_uri);
        {
            let mut state = rules.lock();
            state.token_uri = token_uri;
            state.keys.push(key);
        }
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("a file");
        std::fs::write(dir.path().join("account.json"), account.to_string()).expect("a file");
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

    /// PEM file with the CA of the stand-in's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The service account's JSON file. Its `token_uri` points to the stand-in.
    pub fn service_account_file(&self) -> PathBuf {
        self.file("account.json")
    }

    /// Lines of an `[[app]]` for this stand-in, without `name`.
    pub fn app(&self) -> String {
        format!(
            "provider = 'fcm'\napp-ids = ['{PROJECT}']\nbase-url = '{}'\nca-file = '{}'\nservice-account-file = '{}'\n",
            self.base_url(),
            self.ca_file().display(),
            self.service_account_file().display()
        )
    }

    /// Writes a file into the stand-in's directory, which is removed with it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The HTTP/2 server, to close connections.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Moves the stand-in's clock forward.
    pub fn advance(&self, by: Duration) {
        self.rules.lock().tokens.advance(by);
    }

    /// A new key of the service account, as its JSON file. Older keys stay valid until [`Fcm::revoke_old_keys`].
    pub fn new_key(&self, key_id: &str) -> String {
        let key = rsa_key();
        let mut state = self.rules.lock();
        let account = account(key_id, &key, &state.token_uri);
        state.keys.push(key);
        account.to_string()
    }

    /// From now on only the newest key gets access tokens. All issued tokens become invalid.
    pub fn revoke_old_keys(&self) {
        let mut state = self.rules.lock();
        let newest = state.keys.len() - 1;
        state.keys.drain(..newest);
        state.tokens.revoke();
    }

    /// Makes all issued access tokens invalid.
    pub fn revoke_tokens(&self) {
        self.rules.lock().tokens.revoke();
    }

    /// How many access tokens were requested.
    pub fn token_requests(&self) -> usize {
        self.rules.lock().tokens.asked()
    }

    /// Every access token issued so far.
    pub fn tokens_given(&self) -> Vec<String> {
        self.rules.lock().tokens.given()
    }

    /// Waits for the next send request, whatever its answer.
    pub async fn next_push(&self) -> FcmRequest {
        self.sent.lock().await.recv().await.expect("the stand-in is running")
    }

    /// Waits for the next `validate_only` message, whatever its answer.
    pub async fn next_probe(&self) -> FcmRequest {
        self.probes.lock().await.recv().await.expect("the stand-in is running")
    }

    /// The requests since the last call of this function.
    pub async fn pushes_so_far(&self) -> Vec<FcmRequest> {
        let mut sent = self.sent.lock().await;
        std::iter::from_fn(|| sent.try_recv().ok()).collect()
    }
}

fn account(key_id: &str, key: &SigningKey, token_uri: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": key_id,
        "private_key": key.pem,
        "client_email": EMAIL,
        "token_uri": token_uri,
    })
}

struct Rules {
    faults: Arc<Faults>,
    token_faults: Arc<Faults>,
    state: Mutex<State>,
    sent: mpsc::UnboundedSender<FcmRequest>,
    probes: mpsc::UnboundedSender<FcmRequest>,
}

struct State {
    /// The account's keys, all valid.
    keys: Vec<SigningKey>,
    token_uri: String,
    tokens: AccessTokens,
    messages: u64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: String,
    aud: String,
    iat: u64,
    exp: u64,
}

impl Rules {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, request: &HttpRequest) -> Reply {
        let mut state = self.lock();
        let now = state.tokens.now();
        let form = String::from_utf8_lossy(&request.body);
        let assertion =
            form.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
        let is_good = assertion.is_some_and(|assertion| state.is_good(assertion, now.as_secs()));
        let refusal = json!({ "error": "invalid_grant", "error_description": "Invalid JWT." });
        state.tokens.answer((!is_good).then_some((400, refusal)))
    }

    fn send(&self, request: HttpRequest) -> (Reply, Option<Fault>) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut state = self.lock();
        let verdict = match state.tokens.worth_of(&request) {
            Worth::Valid => judge(&body),
            Worth::Expired | Worth::Unknown => Err((401, "message", "no access token")),
        };
        state.messages += 1;
        let answer = match &verdict {
            Ok(()) => Reply::json(
                200,
                &json!({ "name": format!("projects/{PROJECT}/messages/{}", state.messages) }),
            ),
            Err((401, ..)) => google(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials.",
                &[],
            ),
            Err((status, field, text)) => {
                let field = json!({
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{ "field": field, "description": text }],
                });
                google(*status, "INVALID_ARGUMENT", text, &[field])
            }
        };
        let token = body["message"]["token"].as_str().unwrap_or("");
        let (fault, to) = if body["validate_only"] == true {
            (self.faults.of_probe(PROBE), &self.probes)
        } else {
            (self.faults.take(token), &self.sent)
        };
        let _ = to.send(FcmRequest {
            message: body["message"].clone(),
            request,
            status: answer.status,
            reason: verdict
                .err()
                .map_or_else(String::new, |(_, field, text)| format!("{field}: {text}")),
        });
        (answer, fault)
    }
}

impl State {
    fn is_good(&self, assertion: &str, now: u64) -> bool {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        self.keys.iter().any(|key| {
            let key = DecodingKey::from_rsa_der(&key.public);
            jsonwebtoken::decode::<Claims>(assertion, &key, &validation).is_ok_and(|token| {
                let c = token.claims;
                let timely = c.iat <= now + 60 && now < c.exp && c.exp <= c.iat + 3600;
                c.iss == EMAIL && c.scope == SCOPE && c.aud == self.token_uri && timely
            })
        })
    }
}

fn google(status: u16, name: &str, message: &str, details: &[Value]) -> Reply {
    match Fault::google(status, name, message, details) {
        Fault::Reply(reply) => reply,
        _ => Reply::default(),
    }
}

type Verdict = Result<(), (u16, &'static str, &'static str)>;

/// Only fields that a sender of calls may use are known. Others are refused, as Google refuses unknown names.
fn judge(body: &Value) -> Verdict {
    let bad = |field, text| Err((400, field, text));
    let only = |value: &Value, known: &[&str]| {
        value
            .as_object()
            .is_some_and(|map| map.keys().all(|key| known.contains(&key.as_str())))
    };
    if !only(body, &["message", "validate_only"]) {
        return bad("body", "unknown field");
    }
    let message = &body["message"];
    if !only(
        message,
        &[
            "token",
            "topic",
            "data",
            "notification",
            "android",
            "apns",
            "webpush",
            "fcm_options",
        ],
    ) {
        return bad("message", "unknown field");
    }
    // The target is a topic or a phone.
    let to_topic = message["topic"].is_string() && message["token"].is_null();
    if !to_topic && message["token"].as_str().is_none_or(|token| token.len() < 4) {
        return bad("message.token", "not a registration token");
    }
    let Some(data) = message["data"].as_object() else {
        return bad("message.data", "not a map");
    };
    for (key, value) in data {
        let reserved = key == "from" || key == "message_type" || key.starts_with("google") || key.starts_with("gcm");
        if reserved {
            return bad("message.data", "reserved key");
        }
        if !value.is_string() {
            return bad("message.data[0].value", "not a string");
        }
    }
    let size: usize = data.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > 4096 {
        return bad("message.data", "too large");
    }
    let android = &message["android"];
    if !only(android, &["priority", "ttl", "collapse_key", "data", "notification"]) {
        return bad("message.android", "unknown field");
    }
    if !matches!(android["priority"].as_str(), Some("HIGH" | "NORMAL")) {
        return bad("message.android.priority", "not a priority");
    }
    let ttl = android["ttl"].as_str().and_then(|ttl| ttl.strip_suffix('s'));
    if ttl.is_none_or(|ttl| ttl.parse::<f64>().is_err()) {
        return bad("message.android.ttl", "not a duration");
    }
    let notification = &message["notification"];
    if !notification.is_null() && !only(notification, &["title", "body", "image"]) {
        return bad("message.notification", "unknown field");
    }
    Ok(())
}

impl Service for Rules {
    fn answer(&self, request: HttpRequest) -> (Reply, Option<Fault>) {
        let send = format!("/v1/projects/{PROJECT}/messages:send");
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/token") => (self.token(&request), self.token_faults.take("")),
            ("POST", path) if path == send => self.send(request),
            _ => (google(404, "NOT_FOUND", "Not Found", &[]), None),
        }
    }
}
