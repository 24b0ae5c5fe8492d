//! APNs as Apple documents it, as far as a sender can observe it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::http2::{Fault, Faults, HttpRequest, Reply, Server, Service};
use crate::tls::{Authority, SigningKey, signing_key};

/// The key id of the stand-in's signing key.
pub const KEY_ID: &str = "ABC123DEFG";
/// The team id.
pub const TEAM_ID: &str = "DEF123GHIJ";
/// The token of fswake's probes, which belongs to no phone. [`Faults::token`] sets a fault for it.
pub const PROBE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The only topic that the stand-in accepts.
pub const BUNDLE_ID: &str = "com.example.phone";

/// A push request.
#[derive(Clone, Debug)]
pub struct Push {
    /// The HTTP request.
    pub request: HttpRequest,
    /// The device token in its path.
    pub token: String,
    /// The body, if it is JSON.
    pub body: Value,
    /// The status that the stand-in itself gives, without faults.
    pub status: u16,
    /// Its reason code; empty for 200.
    pub reason: &'static str,
    /// Index of the key that signed the provider token, from 0; `None` with a client certificate.
    pub key: Option<usize>,
}

/// A running stand-in. It stops when dropped.
pub struct Apns {
    /// Faults to inject.
    pub faults: Arc<Faults>,
    server: Server,
    rules: Arc<Rules>,
    pushes: AsyncMutex<mpsc::UnboundedReceiver<Push>>,
    probes: AsyncMutex<mpsc::UnboundedReceiver<Push>>,
    authority: Authority,
    dir: TempDir,
}

impl Apns {
    /// Starts a stand-in that requires provider tokens.
    pub async fn start() -> Self {
        Self::start_with(false, 1000).await
    }

    /// Starts a stand-in that requires client certificates.
    pub async fn start_with_certificates() -> Self {
        Self::start_with(true, 1000).await
    }

    /// Starts a stand-in that requires provider tokens and allows this many streams on a connection.
    pub async fn start_with_streams(streams: u32) -> Self {
        Self::start_with(false, streams).await
    }

    async fn start_with(certificates: bool, streams: u32) -> Self {
        let (authority, key) = (Authority::default(), signing_key());
        let dir = TempDir::new().expect("a directory");
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).expect("a file");
        let (client_cert, client_key) = authority.issue("client");
        write("ca.pem", authority.pem());
        write("key.p8", key.pem.clone());
        write("client.pem", client_cert);
        write("client.key", client_key);
        let faults = Arc::<Faults>::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        let (probes, probes_rx) = mpsc::unbounded_channel();
        let rules = Arc::new(Rules {
            certificates,
            faults: Arc::clone(&faults),
            state: Mutex::new(State {
                keys: vec![Some((KEY_ID.into(), key))],
                ..State::default()
            }),
            pushes: sender,
            probes,
        });
        let service: Arc<dyn Service> = Arc::<Rules>::clone(&rules);
        let server = Server::start(authority.server(certificates), streams, service).await;
        Self {
            faults,
            server,
            rules,
            pushes: AsyncMutex::new(receiver),
            probes: AsyncMutex::new(probes_rx),
            authority,
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

    /// Lines of an `[[app]]` for this stand-in, without `name`.
    pub fn app(&self) -> String {
        format!(
            "provider = 'apns'\napp-ids = ['{BUNDLE_ID}']\nbase-url = '{}'\nca-file = '{}'\nkey-file = '{}'\n\
             key-id = '{KEY_ID}'\nteam-id = '{TEAM_ID}'\n",
            self.base_url(),
            self.ca_file().display(),
            self.key_file().display()
        )
    }

    /// The .p8 file of the signing key.
    pub fn key_file(&self) -> PathBuf {
        self.file("key.p8")
    }

    /// PEM files of a client certificate that the stand-in accepts, and of its key.
    pub fn client_files(&self) -> (PathBuf, PathBuf) {
        (self.file("client.pem"), self.file("client.key"))
    }

    /// A new client certificate, valid until the given time, and its key, both as PEM.
    pub fn new_client(&self, end: SystemTime) -> (String, String) {
        self.authority.issue_until("client", end)
    }

    /// A new signing key of the team as PEM. Older keys stay valid until [`Apns::revoke_old_keys`].
    pub fn new_key(&self, key_id: &str) -> String {
        let key = signing_key();
        let pem = key.pem.clone();
        self.rules.lock().keys.push(Some((key_id.to_owned(), key)));
        pem
    }

    /// From now on only provider tokens of the newest key are valid.
    pub fn revoke_old_keys(&self) {
        let mut state = self.rules.lock();
        let newest = state.keys.len() - 1;
        state.keys[..newest].fill_with(|| None);
        state.in_use.retain(|key, _| *key == newest);
    }

    /// Writes a file into the stand-in's directory, which is removed with it.
    pub fn file(&self, name: &str) -> PathBuf {
        Path::join(self.dir.path(), name)
    }

    /// The HTTP/2 server, to close connections.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Moves the stand-in's clock forward.
    pub fn advance(&self, by: Duration) {
        self.rules.lock().offset += by;
    }

    /// Whether requests are kept for [`Apns::next_push`]. They are by default.
    pub fn keep_pushes(&self, keep: bool) {
        self.rules.lock().forgets = !keep;
    }

    /// How many different provider tokens were accepted.
    pub fn tokens_taken(&self) -> usize {
        self.rules.lock().tokens
    }

    /// Waits for the next push request, whatever its answer.
    pub async fn next_push(&self) -> Push {
        self.pushes.lock().await.recv().await.expect("the stand-in is running")
    }

    /// Waits for the next probe, whatever its answer. A probe is not a push, so faults for the next push skip it.
    pub async fn next_probe(&self) -> Push {
        self.probes.lock().await.recv().await.expect("the stand-in is running")
    }

    /// The requests since the last call of this function.
    pub async fn pushes_so_far(&self) -> Vec<Push> {
        let mut pushes = self.pushes.lock().await;
        std::iter::from_fn(|| pushes.try_recv().ok()).collect()
    }
}

struct Rules {
    certificates: bool,
    faults: Arc<Faults>,
    state: Mutex<State>,
    pushes: mpsc::UnboundedSender<Push>,
    probes: mpsc::UnboundedSender<Push>,
}

#[derive(Default)]
struct State {
    offset: Duration,
    forgets: bool,
    /// Key ids and keys. A revoked key is `None`.
    keys: Vec<Option<(String, SigningKey)>>,
    /// For each connection: the key id of its first push.
    first_keys: HashMap<usize, String>,
    /// For each key: the provider token in use, its `iat`, and when it was first seen.
    in_use: HashMap<usize, (String, u64, Instant, Duration)>,
    tokens: usize,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
}

type Verdict<T = ()> = Result<T, (u16, &'static str)>;

impl Rules {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, request: &HttpRequest, token: Option<&str>, key: &mut Option<usize>) -> Verdict {
        let token = token.ok_or((404, "BadPath"))?;
        if request.method != "POST" {
            return Err((405, "MethodNotAllowed"));
        }
        if !self.certificates {
            *key = Some(self.judge_provider_token(request)?);
        }
        match token {
            "" => return Err((400, "MissingDeviceToken")),
            t if t.len() < 4 || !t.bytes().all(|b| b.is_ascii_hexdigit()) => return Err((400, "BadDeviceToken")),
            _ => {}
        }
        let push_type = request.header("apns-push-type");
        let topic = match request.header("apns-topic") {
            "" => return Err((400, "MissingTopic")),
            topic => topic,
        };
        match topic.strip_prefix(BUNDLE_ID) {
            Some(".voip") if push_type == "voip" => {}
            Some("") if matches!(push_type, "alert" | "background") => {}
            Some("" | ".voip") => return Err((400, "InvalidPushType")),
            _ => return Err((400, "TopicDisallowed")),
        }
        match (push_type, request.header("apns-priority")) {
            ("background", "5") | ("voip" | "alert", "10" | "5" | "1") => {}
            _ => return Err((400, "BadPriority")),
        }
        if request.header("apns-expiration").parse::<u64>().is_err() {
            return Err((400, "BadExpirationDate"));
        }
        if request.header("apns-collapse-id").len() > 64 {
            return Err((400, "BadCollapseId"));
        }
        let id = request.header("apns-id");
        if id.len() != 36 || !id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) {
            return Err((400, "BadMessageId"));
        }
        if request.body.len() > if push_type == "voip" { 5120 } else { 4096 } {
            return Err((413, "PayloadTooLarge"));
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| (400, "PayloadEmpty"))?;
        // A token of zeros only was never issued.
        if token.bytes().all(|b| b == b'0') {
            return Err((400, "BadDeviceToken"));
        }
        let aps = body["aps"].as_object().ok_or((400, "PayloadEmpty"))?;
        // "alert" is for what the user notices: an alert, a badge or a sound.
        let has = |key: &str| aps.contains_key(key);
        let is_silent = has("content-available") && !has("alert") && !has("sound");
        let is_noticed = has("alert") || has("badge") || has("sound");
        if (push_type == "background" && !is_silent) || (push_type == "alert" && !is_noticed) {
            return Err((400, "InvalidPushType"));
        }
        Ok(())
    }

    /// Index of the key that signed it.
    fn judge_provider_token(&self, request: &HttpRequest) -> Verdict<usize> {
        let jwt = request.header("authorization").strip_prefix("bearer ");
        let jwt = jwt.ok_or((403, "MissingProviderToken"))?;
        let mut state = self.lock();
        // "The key ID in the provider token isn't related to the key ID of the token used in the first push of this
        // connection."
        let key_id = jsonwebtoken::decode_header(jwt).ok().and_then(|header| header.kid);
        let key_id = key_id.ok_or((403, "InvalidProviderToken"))?;
        let first = state.first_keys.entry(request.connection);
        if *first.or_insert_with(|| key_id.clone()) != key_id {
            return Err((403, "UnrelatedKeyIdInToken"));
        }
        let offset = state.offset;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + offset;
        let known = state.in_use.iter().find(|(_, (known, ..))| known == jwt);
        let known = known.map(|(key, (_, iat, ..))| (*key, *iat));
        let (key, iat) = match known {
            Some(known) => known,
            None => state.verify(jwt).ok_or((403, "InvalidProviderToken"))?,
        };
        // Apple's condition is "older than one hour".
        if now.as_secs() > iat + 3600 {
            return Err((403, "ExpiredProviderToken"));
        }
        if iat > now.as_secs() + 300 {
            return Err((403, "InvalidProviderToken"));
        }
        if known.is_none() {
            if let Some((_, _, seen, at)) = state.in_use.get(&key)
                && seen.elapsed() + offset.saturating_sub(*at) < Duration::from_secs(20 * 60)
            {
                return Err((429, "TooManyProviderTokenUpdates"));
            }
            state.in_use.insert(key, (jwt.to_owned(), iat, Instant::now(), offset));
            state.tokens += 1;
        }
        Ok(key)
    }
}

impl State {
    /// The key that signed a provider token, and the token's `iat`.
    fn verify(&self, jwt: &str) -> Option<(usize, u64)> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        self.keys.iter().enumerate().find_map(|(number, key)| {
            let (key_id, key) = key.as_ref()?;
            let key = DecodingKey::from_ec_der(&key.public);
            let token = jsonwebtoken::decode::<Claims>(jwt, &key, &validation).ok()?;
            let fits = token.header.kid.as_deref() == Some(key_id) && token.claims.iss == TEAM_ID;
            fits.then_some((number, token.claims.iat))
        })
    }
}

impl Service for Rules {
    fn answer(&self, request: HttpRequest) -> (Reply, Option<Fault>) {
        let token = request.path.strip_prefix("/3/device/").map(str::to_owned);
        let mut key = None;
        let verdict = self.judge(&request, token.as_deref(), &mut key);
        let (status, reason) = verdict.err().unwrap_or((200, ""));
        let mut reply = Reply {
            status,
            headers: vec![("apns-id", request.header("apns-id").to_owned())],
            body: Vec::new(),
        };
        if status != 200 {
            reply.body = serde_json::json!({ "reason": reason }).to_string().into_bytes();
        }
        let Some(token) = token else { return (reply, None) };
        let (fault, to) = if token == PROBE {
            (self.faults.of_probe(&token), &self.probes)
        } else {
            (self.faults.take(&token), &self.pushes)
        };
        if !self.lock().forgets {
            let _ = to.send(Push {
                body: serde_json::from_slice(&request.body).unwrap_or_default(),
                request,
                token,
                status,
                reason,
                key,
            });
        }
        (reply, fault)
    }
}
