//! Vendors' own push services that fswake reaches by provider `http`. Each answers as its vendor documents it: with status
//! 200, and the refusal in the body.

mod honor;
mod meizu;
mod oppo;
mod vivo;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::http2::{Fault, Faults, HttpRequest, Reply, Service};
use crate::oauth::{AccessTokens, Worth};
use crate::tls::Authority;
use crate::{http1, http2};

/// The token of a phone that every service knows.
pub const KNOWN: &str = "v2-CQanxnrM-uZu6i_y+E3PpymvRv/SJhhFj=";
/// One that none knows any more.
pub const GONE: &str = "v2-gone-uZu6i_y_E3PpymvRvSJhhFjaOwQxb";
/// The secret that each wants: in the file that its recipe names.
pub const SECRET: &str = "aPpS3cret-0123456789";
/// The package name of the phones' app.
pub const PACKAGE: &str = "com.example.phone";
/// The app's id at the vendor.
pub const APP_ID: &str = "104432511";
/// The app's key at the vendor, or its client id.
pub const APP_KEY: &str = "5b2f04a1c6e84e1f";

/// Whose service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Xiaomi, "Server API Address and Parameters" (dev.mi.com/xiaomihyperos/documentation/detail?pId=1696): "Push a single
    /// message", V3. `Authorization: key=<APP_SECRET>`; the reply has `result` "ok" or "error".
    Xiaomi,
    /// See `vendors/vivo.rs`.
    Vivo,
    /// See `vendors/oppo.rs`.
    Oppo,
    /// See `vendors/honor.rs`.
    Honor,
    /// See `vendors/meizu.rs`.
    Meizu,
    /// Pushover, "Message API" (pushover.net/api): `token`, `user` and `message`. The reply has `status` 1, or 0 with
    /// `errors` and HTTP status 400.
    Pushover,
}

/// A request, and the service's own verdict.
#[derive(Clone, Debug)]
pub struct VendorRequest {
    /// The request itself.
    pub request: HttpRequest,
    /// Why it is refused; empty if it is taken.
    pub reason: &'static str,
    /// What the phone gets.
    pub payload: String,
}

enum Server {
    One(http1::Server),
    Two(http2::Server),
}

/// A running service; ends when dropped.
pub struct VendorService {
    /// Faults to come.
    pub faults: Arc<Faults>,
    server: Server,
    rules: Arc<Rules>,
    asked: AsyncMutex<mpsc::UnboundedReceiver<VendorRequest>>,
    dir: TempDir,
}

impl VendorService {
    /// Starts one.
    pub async fn start(vendor: Vendor) -> Self {
        let authority = Authority::default();
        let dir = TempDir::new().expect("a directory");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("a file");
        let faults = Arc::<Faults>::default();
        let (sender, asked) = mpsc::unbounded_channel();
        let rules = Arc::new(Rules {
            vendor,
            faults: Arc::clone(&faults),
            asked: sender,
            tokens: Mutex::new(AccessTokens::new("vendor-", vendor.token_lifetime())),
        });
        let service: Arc<dyn Service> = Arc::<Rules>::clone(&rules);
        let tls = authority.server(false);
        let server = if vendor.is_over_http1() {
            let mut tls = (*tls).clone();
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            Server::One(http1::Server::start(Some(Arc::new(tls)), service).await)
        } else {
            Server::Two(http2::Server::start(tls, 100, service).await)
        };
        Self {
            faults,
            server,
            rules,
            asked: AsyncMutex::new(asked),
            dir,
        }
    }

    /// `https://localhost:port`.
    pub fn url(&self) -> String {
        let addr = match &self.server {
            Server::One(server) => server.addr,
            Server::Two(server) => server.addr,
        };
        format!("https://localhost:{}", addr.port())
    }

    /// Makes all issued access tokens invalid.
    pub fn revoke_tokens(&self) {
        self.rules.tokens().revoke();
    }

    /// How many access tokens were requested.
    pub fn token_requests(&self) -> usize {
        self.rules.tokens().asked()
    }

    /// PEM file with the CA of its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The next request.
    pub async fn next(&self) -> VendorRequest {
        self.asked.lock().await.recv().await.expect("the stand-in runs")
    }

    /// The requests since the last look.
    pub async fn so_far(&self) -> Vec<VendorRequest> {
        let mut asked = self.asked.lock().await;
        std::iter::from_fn(|| asked.try_recv().ok()).collect()
    }
}

impl Vendor {
    /// Those that curl and Python ask too.
    fn is_over_http1(self) -> bool {
        matches!(self, Self::Oppo | Self::Vivo | Self::Meizu)
    }

    fn token_lifetime(self) -> Duration {
        match self {
            Self::Honor => Duration::from_secs(3600),
            _ => Duration::from_secs(24 * 3600),
        }
    }
}

struct Rules {
    vendor: Vendor,
    faults: Arc<Faults>,
    asked: mpsc::UnboundedSender<VendorRequest>,
    tokens: Mutex<AccessTokens>,
}

/// What the phone gets, or why and how it is refused.
type Verdict = Result<String, (&'static str, Value)>;

impl Rules {
    fn tokens(&self) -> std::sync::MutexGuard<'_, AccessTokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an access token is valid.
    fn is_valid(&self, token: &str) -> bool {
        self.tokens().worth(token) == Worth::Valid
    }

    /// The answer to a request for an access token; `None` for any other request.
    fn grant(&self, request: &HttpRequest) -> Option<Reply> {
        match (self.vendor, request.path.as_str()) {
            (Vendor::Honor, honor::TOKEN_PATH) => Some(honor::grant(request, &mut self.tokens())),
            (Vendor::Oppo, oppo::TOKEN_PATH) => Some(oppo::grant(request, &mut self.tokens())),
            (Vendor::Vivo, vivo::TOKEN_PATH) => Some(vivo::grant(request, &mut self.tokens())),
            _ => None,
        }
    }

    fn judge(&self, request: &HttpRequest) -> Verdict {
        match self.vendor {
            Vendor::Xiaomi => xiaomi(request),
            Vendor::Vivo => vivo::judge(request, self),
            Vendor::Oppo => oppo::judge(request, self),
            Vendor::Honor => honor::judge(request, self),
            Vendor::Meizu => meizu::judge(request),
            Vendor::Pushover => pushover(request),
        }
    }

    fn taken(&self) -> Value {
        match self.vendor {
            Vendor::Xiaomi => json!({
                "result": "ok", "trace_id": "Xlm43b07540493", "code": 0, "data": { "id": "slm43b075" },
                "description": "ok", "info": "Received push messages for 1 REGID",
            }),
            Vendor::Vivo => json!({ "result": 0, "desc": "ok", "taskId": "342982232646516736" }),
            Vendor::Oppo => json!({ "code": 0, "message": "Success", "data": { "messageId": "5d1b5c3bf" } }),
            Vendor::Honor => json!({
                "code": 200, "message": "success", "data": { "sendResult": true, "requestId": "1699349600" },
            }),
            Vendor::Meizu => {
                json!({ "code": "200", "message": "", "msgId": "c2ee5c3bf004", "value": {}, "redirect": "" })
            }
            Vendor::Pushover => json!({ "status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b" }),
        }
    }
}

fn xiaomi(request: &HttpRequest) -> Verdict {
    let refused = |reason, code: u32| {
        let body = json!({ "result": "error", "reason": reason, "trace_id": "X", "code": code, "description": reason });
        Err((reason, body))
    };
    if request.path != "/v3/message/regid" || request.header("authorization") != format!("key={SECRET}") {
        return refused("Invalid application credentials.", 21301);
    }
    let form = form(request);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    if get("restricted_package_name") != PACKAGE {
        return refused("Package name does not match.", 22022);
    }
    if get("pass_through") != "1" || get("payload").is_empty() {
        return refused("A required parameter is missing.", 21305);
    }
    if get("time_to_live").parse::<u64>().is_err() {
        return refused("time_to_live is no number.", 21305);
    }
    match get("registration_id") {
        KNOWN => Ok(get("payload").to_owned()),
        _ => refused("No valid targets!", 20301),
    }
}

fn pushover(request: &HttpRequest) -> Verdict {
    let refused = |reason: &'static str, field: &str| {
        Err((
            reason,
            json!({ field: "invalid", "errors": [reason], "status": 0, "request": "5042853c" }),
        ))
    };
    let form = form(request);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    if request.path != "/1/messages.json" || get("token") != SECRET {
        return refused("application token is invalid", "token");
    }
    if get("message").is_empty() {
        return refused("message cannot be blank", "message");
    }
    match get("user") {
        KNOWN => Ok(get("message").to_owned()),
        _ => refused("user identifier is not a valid user", "user"),
    }
}

/// Whether a time in milliseconds is that of the stand-in's clock, give or take ten minutes.
fn is_now(milliseconds: &str, tokens: &AccessTokens) -> bool {
    let time = milliseconds.parse().map(Duration::from_millis);
    time.is_ok_and(|time| time.abs_diff(tokens.now()) < Duration::from_secs(600))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

/// The fields of a form.
fn form(request: &HttpRequest) -> HashMap<String, String> {
    if !request
        .header("content-type")
        .starts_with("application/x-www-form-urlencoded")
    {
        return HashMap::new();
    }
    let text = String::from_utf8_lossy(&request.body).into_owned();
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| char::from(byte.unwrap_or_default()).to_digit(16).unwrap_or_default();
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(hex(rest.next()) * 16 + hex(rest.next())).unwrap_or_default(),
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Service for Rules {
    fn answer(&self, request: HttpRequest) -> (Reply, Option<Fault>) {
        // What opens the connection.
        if request.method == "GET" {
            return (
                Reply {
                    status: 404,
                    ..Reply::default()
                },
                None,
            );
        }
        if let Some(reply) = self.grant(&request) {
            return (reply, None);
        }
        let verdict = self.judge(&request);
        let status = match (&verdict, self.vendor) {
            (Err(_), Vendor::Pushover) => 400,
            (Err((honor::UNAUTHORIZED, _)), Vendor::Honor) => 401,
            _ => 200,
        };
        let (payload, reason, body) = match verdict {
            Ok(payload) => (payload, "", self.taken()),
            Err((reason, body)) => (String::new(), reason, body),
        };
        let fault = self.faults.take("");
        let _ = self.asked.send(VendorRequest {
            request,
            reason,
            payload,
        });
        (Reply::json(status, &body), fault)
    }
}
