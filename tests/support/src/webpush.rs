//! A push service of the web: RFC 8030 with message encryption (RFC 8291) and VAPID (RFC 8292). It refuses what the RFCs
//! let it refuse, and reads a push as the phone would.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::http2::{Fault, Faults, HttpRequest, Reply, Server, Service};
use crate::tls::{Authority, SigningKey, signing_key};

/// Whom the service may write to, in the app that [`PushService::app`] gives.
pub const SUBJECT: &str = "mailto:push@example.org";

/// What a phone has of its subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its URL.
    pub endpoint: String,
    /// The phone's public key, in base64 for URLs.
    pub p256dh: String,
    /// Its authentication secret, in base64 for URLs.
    pub auth: String,
}

impl Subscription {
    /// Parameters of a Contact, with the keys under fswake's own names.
    pub fn params(&self) -> String {
        let endpoint = self
            .endpoint
            .replace(':', "%3A")
            .replace('/', "%2F")
            .replace('?', "%3F");
        format!(
            "pn-provider=webpush;pn-prid={endpoint};pn-p256dh={};pn-auth={}",
            self.p256dh, self.auth
        )
    }

    /// The token that fswake makes of it.
    pub fn token(&self) -> String {
        format!("{}#p256dh={}&auth={}", self.endpoint, self.p256dh, self.auth)
    }
}

/// A push, as it came in.
#[derive(Clone, Debug)]
pub struct Push {
    /// The request itself.
    pub request: HttpRequest,
    /// What the phone reads; nothing if the push has no payload, or is refused.
    pub payload: serde_json::Value,
    /// The status of the service's own answer, faults aside.
    pub status: u16,
    /// Why it is refused; empty if it is taken.
    pub reason: String,
}

/// A running service; ends when dropped.
pub struct PushService {
    /// Faults to come; those for a token go by the last segment of an endpoint.
    pub faults: Arc<Faults>,
    server: Server,
    rules: Arc<Rules>,
    pushes: AsyncMutex<mpsc::UnboundedReceiver<Push>>,
    dir: TempDir,
}

impl PushService {
    /// Starts one, with a VAPID key for the app that pushes.
    pub async fn start() -> Self {
        let (authority, key) = (Authority::default(), signing_key());
        let dir = TempDir::new().expect("a directory");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("a file");
        std::fs::write(dir.path().join("vapid.pem"), &key.pem).expect("a file");
        let faults = Arc::<Faults>::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        let rules = Arc::new(Rules {
            faults: Arc::clone(&faults),
            phones: Mutex::default(),
            origin: Mutex::default(),
            key,
            pushes: sender,
        });
        let service: Arc<dyn Service> = Arc::<Rules>::clone(&rules);
        let server = Server::start(authority.server(false), 100, service).await;
        *lock(&rules.origin) = format!("https://localhost:{}", server.addr.port());
        Self {
            faults,
            server,
            rules,
            pushes: AsyncMutex::new(receiver),
            dir,
        }
    }

    /// `https://localhost:port`.
    pub fn base_url(&self) -> String {
        lock(&self.rules.origin).clone()
    }

    /// PEM file with the CA of its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The file with the VAPID key that subscriptions are made with.
    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join("vapid.pem")
    }

    /// Lines of an `[[app]]` that pushes to it, but for the name.
    pub fn app(&self) -> String {
        format!(
            "provider = 'webpush'\nca-file = '{}'\nvapid-key-file = '{}'\nvapid-subject = '{SUBJECT}'\n\
             allow-networks = ['127.0.0.0/8', '::1/128']\n",
            self.ca_file().display(),
            self.key_file().display()
        )
    }

    /// The connections.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// A new subscription of the app, which names its VAPID key.
    pub fn subscribe(&self) -> Subscription {
        let key = self.rules.key.public.clone();
        self.subscribe_for(Some(key))
    }

    /// A subscription of somebody else's app.
    pub fn subscribe_for_another(&self) -> Subscription {
        self.subscribe_for(Some(signing_key().public))
    }

    fn subscribe_for(&self, app: Option<Vec<u8>>) -> Subscription {
        let private = PrivateKey::generate(&ECDH_P256).expect("a key");
        let public = private.compute_public_key().expect("its public key");
        let public: [u8; 65] = public.as_ref().try_into().expect("an uncompressed point");
        let auth = *uuid::Uuid::new_v4().as_bytes();
        let name = uuid::Uuid::new_v4().simple().to_string();
        let endpoint = format!("{}/push/{name}", self.base_url());
        let phone = Phone {
            private,
            public,
            auth,
            app,
            is_expired: false,
        };
        lock(&self.rules.phones).insert(name, phone);
        Subscription {
            endpoint,
            p256dh: BASE64.encode(public),
            auth: BASE64.encode(auth),
        }
    }

    /// Ends a subscription: pushes to it get 410.
    pub fn expire(&self, subscription: &Subscription) {
        let name = name_in(&subscription.endpoint);
        let mut phones = lock(&self.rules.phones);
        phones.get_mut(name).expect("one of this service").is_expired = true;
    }

    /// The next push, whatever became of it.
    pub async fn next_push(&self) -> Push {
        self.pushes.lock().await.recv().await.expect("the stand-in runs")
    }

    /// The pushes since the last look.
    pub async fn pushes_so_far(&self) -> Vec<Push> {
        let mut pushes = self.pushes.lock().await;
        std::iter::from_fn(|| pushes.try_recv().ok()).collect()
    }
}

/// The last segment of an endpoint, which names its subscription.
pub fn name_in(endpoint: &str) -> &str {
    endpoint.rsplit('/').next().unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A phone's side of its subscription.
struct Phone {
    private: PrivateKey,
    public: [u8; 65],
    auth: [u8; 16],
    /// The VAPID key that it was made with.
    app: Option<Vec<u8>>,
    is_expired: bool,
}

struct Rules {
    faults: Arc<Faults>,
    phones: Mutex<HashMap<String, Phone>>,
    origin: Mutex<String>,
    key: SigningKey,
    pushes: mpsc::UnboundedSender<Push>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    exp: u64,
    sub: Option<String>,
}

type Verdict = Result<serde_json::Value, (u16, &'static str)>;

impl Rules {
    fn judge(&self, request: &HttpRequest) -> Verdict {
        let phones = lock(&self.phones);
        let name = request.path.strip_prefix("/push/").unwrap_or_default();
        let phone = phones.get(name).ok_or((404, "no such subscription"))?;
        if phone.is_expired {
            return Err((410, "the subscription has expired"));
        }
        headers(request)?;
        if let Some(app) = &phone.app {
            self.is_app(request.header("authorization"), app)?;
        }
        if request.body.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        if request.header("content-encoding") != "aes128gcm" {
            return Err((400, "not aes128gcm"));
        }
        let plain = phone.read(&request.body).map_err(|_| (400, "cannot be decrypted"))?;
        serde_json::from_slice(&plain).map_err(|_| (400, "not JSON"))
    }

    /// RFC 8292 section 4.2: the key of the subscription, and a token of it for this service, of at most a day.
    fn is_app(&self, authorization: &str, app: &[u8]) -> Result<(), (u16, &'static str)> {
        let params = authorization.strip_prefix("vapid ").ok_or((401, "no vapid"))?;
        let param = |name: &str| {
            let mut all = params.split(',').map(|param| param.trim().split_once('='));
            all.find_map(|param| param.filter(|(own, _)| *own == name).map(|(_, value)| value))
        };
        let (token, key) = (param("t").ok_or((401, "no t"))?, param("k").ok_or((401, "no k"))?);
        let key = BASE64.decode(key).map_err(|_| (401, "k is not base64"))?;
        if key != app {
            return Err((403, "not the key of the subscription"));
        }
        let mut validation = Validation::new(Algorithm::ES256);
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ec_der(&key), &validation);
        let claims = decoded.map_err(|_| (403, "t is not signed by k"))?.claims;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        if claims.aud != *lock(&self.origin) {
            return Err((403, "aud is another service"));
        }
        if claims.exp <= now || claims.exp > now + 86_400 {
            return Err((403, "exp is over, or more than a day away"));
        }
        match claims.sub {
            Some(sub) if sub.starts_with("mailto:") || sub.starts_with("https:") => Ok(()),
            _ => Err((403, "sub is no address")),
        }
    }
}

/// RFC 8030 sections 5.2 to 5.4 and 7.2.
fn headers(request: &HttpRequest) -> Result<(), (u16, &'static str)> {
    if request.header("ttl").parse::<u32>().is_err() {
        return Err((400, "TTL is missing or no number"));
    }
    if !matches!(request.header("urgency"), "" | "very-low" | "low" | "normal" | "high") {
        return Err((400, "no such urgency"));
    }
    let topic = request.header("topic");
    let is_base64 = topic
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if topic.len() > 32 || !is_base64 {
        return Err((400, "Topic is more than 32 characters of base64"));
    }
    if request.body.len() > 4096 {
        return Err((413, "too large"));
    }
    Ok(())
}

impl Phone {
    /// RFC 8291 section 3.4 and RFC 8188 section 2, from the other side.
    fn read(&self, body: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let (salt, rest) = body.split_at_checked(16).ok_or(Unspecified)?;
        let (size, rest) = rest.split_at_checked(4).ok_or(Unspecified)?;
        let (length, rest) = rest.split_first().ok_or(Unspecified)?;
        let (sender, record) = rest.split_at_checked(usize::from(*length)).ok_or(Unspecified)?;
        let size = u32::from_be_bytes(size.try_into().map_err(|_| Unspecified)?);
        if record.len() > size as usize || sender.len() != 65 {
            return Err(Unspecified);
        }
        let theirs = UnparsedPublicKey::new(&ECDH_P256, sender);
        let input = agree(&self.private, theirs, Unspecified, |shared| {
            let key = Salt::new(HKDF_SHA256, &self.auth).extract(shared);
            expand(&key, &[b"WebPush: info\0", &self.public, sender], 32)
        })?;
        let key = Salt::new(HKDF_SHA256, salt).extract(&input);
        let secret = expand(&key, &[b"Content-Encoding: aes128gcm\0"], 16)?;
        let nonce = expand(&key, &[b"Content-Encoding: nonce\0"], 12)?;
        let mut record = record.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce)?;
        let plain = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &secret)?).open_in_place(
            nonce,
            Aad::empty(),
            &mut record,
        )?;
        // Zeros may follow the delimiter of the last record.
        let end = plain.iter().rposition(|b| *b != 0).ok_or(Unspecified)?;
        match plain[end] {
            2 => Ok(plain[..end].to_vec()),
            _ => Err(Unspecified),
        }
    }
}

fn expand(key: &Prk, info: &[&[u8]], length: usize) -> Result<Vec<u8>, Unspecified> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = vec![0; length];
    key.expand(info, Length(length))?.fill(&mut out)?;
    Ok(out)
}

impl Service for Rules {
    fn answer(&self, request: HttpRequest) -> (Reply, Option<Fault>) {
        if request.method != "POST" {
            return (
                Reply {
                    status: 404,
                    ..Reply::default()
                },
                None,
            );
        }
        let verdict = self.judge(&request);
        let status = verdict.as_ref().err().map_or(201, |(status, _)| *status);
        let fault = self.faults.take(name_in(&request.path));
        let mut headers = Vec::new();
        if status == 201 {
            headers.push((
                "location",
                format!("{}/message/{}", lock(&self.origin), uuid::Uuid::new_v4()),
            ));
        }
        let _ = self.pushes.send(Push {
            request,
            reason: verdict
                .as_ref()
                .err()
                .map_or_else(String::new, |(_, reason)| (*reason).to_owned()),
            payload: verdict.unwrap_or_default(),
            status,
        });
        let reply = Reply {
            status,
            headers,
            body: Vec::new(),
        };
        (reply, fault)
    }
}
