//! Vendors' own push services that fswake reaches by provider `http`. Each answers as its vendor documents it: with status
//! 200, and the refusal in the body.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::http2::{Fault, Faults, HttpRequest, Reply, Server, Service};
use crate::tls::Authority;

/// The token of a phone that every service knows.
pub const KNOWN: &str = "v2-CQanxnrM-uZu6i_y+E3PpymvRv/SJhhFj=";
/// One that none knows any more.
pub const GONE: &str = "v2-gone-uZu6i_y_E3PpymvRvSJhhFjaOwQxb";
/// The secret that each wants: in the file that its recipe names.
pub const SECRET: &str = "aPpS3cret-0123456789";
/// The package name of the phones' app.
pub const PACKAGE: &str = "com.example.phone";

/// Whose service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Xiaomi, "Server API Address and Parameters" (dev.mi.com/xiaomihyperos/documentation/detail?pId=1696): "Push a single
    /// message", V3. `Authorization: key=<APP_SECRET>`; the reply has `result` "ok" or "error".
    Xiaomi,
    /// vivo, "API interface documents" (dev.vivo.com.cn/documentCenter/doc/362), 2.1: header `authToken`. The reply has
    /// `result`: 0, 10000 (not authenticated), 10302 (illegal regId), 10070 (too many messages).
    Vivo,
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

/// A running service; ends when dropped.
pub struct VendorService {
    /// Faults to come.
    pub faults: Arc<Faults>,
    server: Server,
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
        let rules = Rules {
            vendor,
            faults: Arc::clone(&faults),
            asked: sender,
        };
        Self {
            faults,
            server: Server::start(authority.server(false), 100, Arc::new(rules)).await,
            asked: AsyncMutex::new(asked),
            dir,
        }
    }

    /// `https://localhost:port`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.server.addr.port())
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

struct Rules {
    vendor: Vendor,
    faults: Arc<Faults>,
    asked: mpsc::UnboundedSender<VendorRequest>,
}

/// What the phone gets, or why and how it is refused.
type Verdict = Result<String, (&'static str, Value)>;

impl Rules {
    fn judge(&self, request: &HttpRequest) -> Verdict {
        match self.vendor {
            Vendor::Xiaomi => xiaomi(request),
            Vendor::Vivo => vivo(request),
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

fn vivo(request: &HttpRequest) -> Verdict {
    let refused = |reason, code: u32| Err((reason, json!({ "result": code, "desc": reason })));
    if request.path != "/message/send" || request.header("authtoken") != SECRET {
        return refused("not authenticated", 10000);
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if text("title").is_empty() || text("content").is_empty() || text("requestId").is_empty() {
        return refused("a required parameter is missing", 10050);
    }
    if text("requestId").len() > 64 || !body["notifyType"].is_u64() || !body["skipType"].is_u64() {
        return refused("a parameter is illegal", 10051);
    }
    if body["timeToLive"].as_u64().is_none_or(|ttl| ttl < 60) {
        return refused("timeToLive is 60 s at least", 10052);
    }
    match text("regId") {
        KNOWN => Ok(body["clientCustomMap"].to_string()),
        _ => refused("illegal regId", 10302),
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
        let verdict = self.judge(&request);
        let status = match (&verdict, self.vendor) {
            (Err(_), Vendor::Pushover) => 400,
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
        let reply = Reply {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        };
        (reply, fault)
    }
}
