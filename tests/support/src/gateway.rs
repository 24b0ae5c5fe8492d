//! An operator's push gateway as on a mod_apn site: any URL and body, and every kind of authentication, really checked.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use md5::Md5;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::http2::{Fault, Faults, HttpRequest, Reply, Service};
use crate::tls::Authority;
use crate::{http1, http2};

/// The user name for basic and digest authentication.
pub const USER: &str = "wake@example.org";
/// The password.
pub const PASSWORD: &str = r#"pa:ss "w\ord"#;
/// The token for bearer authentication.
pub const BEARER: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0";

/// The transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// HTTP/1.1 without TLS.
    Plain,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// How clients must authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Not at all.
    Nothing,
    /// `Authorization: Bearer`.
    Bearer,
    /// RFC 7617.
    Basic,
    /// RFC 7616 with this algorithm, and with or without qop.
    Digest(&'static str, bool),
    /// An `X-Api-Key` header.
    ApiKey,
}

/// A request, and the status that the gateway itself gave.
#[derive(Clone, Debug)]
pub struct GatewayRequest {
    /// The request.
    pub request: HttpRequest,
    /// 200 or 401, without faults.
    pub status: u16,
}

impl GatewayRequest {
    /// The body as text.
    pub fn body(&self) -> &str {
        std::str::from_utf8(&self.request.body).expect("text")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.request.body).expect("JSON")
    }
}

/// A running gateway. It stops when dropped.
pub struct Gateway {
    /// Faults to inject.
    pub faults: Arc<Faults>,
    server: Server,
    rules: Arc<Rules>,
    asked: AsyncMutex<mpsc::UnboundedReceiver<GatewayRequest>>,
    dir: TempDir,
}

enum Server {
    One(http1::Server, bool),
    Two(http2::Server),
}

impl Gateway {
    /// Starts a gateway.
    pub async fn start(over: Over, wants: Wants) -> Self {
        let authority = Authority::default();
        let dir = TempDir::new().expect("a directory");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("a file");
        write("ca.pem", &authority.pem());
        write("bearer", &format!("{BEARER}\n"));
        write("user", &format!("{USER}:{PASSWORD}\n"));
        write("key", "X-Api-Key: k3y\n");
        let faults = Arc::<Faults>::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        let rules = Arc::new(Rules {
            wants,
            faults: Arc::clone(&faults),
            nonces: Mutex::default(),
            asked: sender,
        });
        let service: Arc<dyn Service> = Arc::<Rules>::clone(&rules);
        let tls = authority.server(false);
        let server = match over {
            Over::Plain => Server::One(http1::Server::start(None, service).await, false),
            Over::Http1 => {
                let mut tls = (*tls).clone();
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                Server::One(http1::Server::start(Some(Arc::new(tls)), service).await, true)
            }
            Over::Http2 => Server::Two(http2::Server::start(tls, 100, service).await),
        };
        Self {
            faults,
            server,
            rules,
            asked: AsyncMutex::new(receiver),
            dir,
        }
    }

    /// `https://localhost:port`, or `http://..`.
    pub fn url(&self) -> String {
        match &self.server {
            Server::One(server, false) => format!("http://localhost:{}", server.addr.port()),
            Server::One(server, true) => format!("https://localhost:{}", server.addr.port()),
            Server::Two(server) => format!("https://localhost:{}", server.addr.port()),
        }
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        match &self.server {
            Server::One(server, _) => server.connections(),
            Server::Two(server) => server.connections(),
        }
    }

    /// PEM file with the CA of the gateway's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The file with the secret that it expects: `bearer`, `user` or `key`.
    pub fn file(&self, name: &str) -> PathBuf {
        Path::join(self.dir.path(), name)
    }

    /// Forgets all digest nonces, as a restart would.
    pub fn forget_nonces(&self) {
        self.rules.nonces().clear();
    }

    /// Waits for the next request, whatever its answer. Requests that only open a connection are skipped.
    pub async fn next(&self) -> GatewayRequest {
        self.asked.lock().await.recv().await.expect("the stand-in is running")
    }

    /// The requests since the last call of this function.
    pub async fn so_far(&self) -> Vec<GatewayRequest> {
        let mut asked = self.asked.lock().await;
        std::iter::from_fn(|| asked.try_recv().ok()).collect()
    }
}

struct Rules {
    wants: Wants,
    faults: Arc<Faults>,
    /// Every issued nonce, with the highest count seen for it.
    nonces: Mutex<HashMap<String, u32>>,
    asked: mpsc::UnboundedSender<GatewayRequest>,
}

impl Rules {
    fn nonces(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allows(&self, request: &HttpRequest) -> bool {
        let authorization = request.header("authorization");
        match self.wants {
            Wants::Nothing => authorization.is_empty(),
            Wants::Bearer => authorization == format!("Bearer {BEARER}"),
            // base64 of USER:PASSWORD.
            Wants::Basic => authorization == "Basic d2FrZUBleGFtcGxlLm9yZzpwYTpzcyAid1xvcmQ=",
            Wants::ApiKey => request.header("x-api-key") == "k3y" && authorization.is_empty(),
            Wants::Digest(algorithm, qop) => self.allows_digest(request, authorization, algorithm, qop),
        }
    }

    fn allows_digest(&self, request: &HttpRequest, authorization: &str, algorithm: &str, qop: bool) -> bool {
        let Some(text) = authorization.strip_prefix("Digest ") else {
            return false;
        };
        let given = params(text);
        let get = |name: &str| given.get(name).map_or("", String::as_str);
        let hash = |text: String| match algorithm {
            "SHA-256" | "SHA-256-sess" => hex(&Sha256::digest(text)),
            _ => hex(&Md5::digest(text)),
        };
        let (nonce, cnonce) = (get("nonce"), get("cnonce"));
        let mut a1 = hash(format!("{USER}:{REALM}:{PASSWORD}"));
        if algorithm.ends_with("-sess") {
            a1 = hash(format!("{a1}:{nonce}:{cnonce}"));
        }
        let a2 = hash(format!("{}:{}", request.method, request.path));
        let expected = if qop {
            hash(format!("{a1}:{nonce}:{}:{cnonce}:auth:{a2}", get("nc")))
        } else {
            hash(format!("{a1}:{nonce}:{a2}"))
        };
        let count = u32::from_str_radix(get("nc"), 16).unwrap_or(0);
        let mut nonces = self.nonces();
        let Some(highest) = nonces.get_mut(nonce) else {
            return false;
        };
        // A count that was used before is a replay (RFC 7616 section 3.4).
        let fresh = !qop || (count > *highest && !cnonce.is_empty() && get("qop") == "auth");
        let good = fresh
            && get("username") == USER
            && get("realm") == REALM
            && get("uri") == request.path
            && get("algorithm") == algorithm
            && get("opaque") == "0p\"aque"
            && get("response") == expected;
        if good {
            *highest = count;
        }
        good
    }

    fn challenge(&self) -> Option<String> {
        let challenge = match self.wants {
            Wants::Nothing | Wants::ApiKey => return None,
            Wants::Bearer => "Bearer".into(),
            Wants::Basic => r#"Basic realm="x""#.into(),
            Wants::Digest(algorithm, qop) => {
                let mut nonces = self.nonces();
                let nonce = format!("nonce, {}", uuid::Uuid::new_v4());
                let qop = if qop { r#", qop="auth-int, auth""# } else { "" };
                let realm = REALM.replace('"', "\\\"");
                let challenge = format!(
                    r#"Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}, opaque="0p\"aque"{qop}, Basic realm="never""#
                );
                nonces.insert(nonce, 0);
                challenge
            }
        };
        Some(challenge)
    }
}

const REALM: &str = r#"push, "gateway""#;

impl Service for Rules {
    fn answer(&self, request: HttpRequest) -> (Reply, Option<Fault>) {
        let mut reply = Reply {
            status: 200,
            headers: Vec::new(),
            body: b"ok".to_vec(),
        };
        // A request that opens the connection has no content and no credentials.
        if request.path == "/" && request.method == "GET" {
            assert_eq!(request.header("authorization"), "");
            return (reply, None);
        }
        if !self.allows(&request) {
            reply.status = 401;
            reply
                .headers
                .extend(self.challenge().map(|text| ("www-authenticate", text)));
        }
        let fault = if reply.status == 200 {
            self.faults.take("")
        } else {
            None
        };
        let _ = self.asked.send(GatewayRequest {
            request,
            status: reply.status,
        });
        (reply, fault)
    }
}

/// `name=value` and `name="value"`, separated by commas outside quotes.
fn params(text: &str) -> HashMap<String, String> {
    let mut params = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([',', ' ']).to_owned();
        let mut value = String::new();
        let mut chars = after.char_indices();
        let quoted = after.starts_with('"');
        if quoted {
            chars.next();
        }
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if quoted => value.extend(chars.next().map(|(_, c)| c)),
                '"' if quoted => {
                    end = at + 1;
                    break;
                }
                ',' if !quoted => {
                    end = at;
                    break;
                }
                c => value.push(c),
            }
        }
        params.insert(name, value);
        rest = &after[end..];
    }
    params
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
