//! A push service that others wrote: `web-push-testing` of npm, which decrypts what it gets. It speaks plain HTTP, so a
//! relay in front of it ends TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

use crate::skipped;
use crate::tls::{Authority, signing_key};
use crate::webpush::{SUBJECT, Subscription, name_in};

/// The running service; ends when dropped.
pub struct WebPushTesting {
    server: SocketAddr,
    relay: SocketAddr,
    /// The VAPID key of the app that pushes, in base64 for URLs.
    public: String,
    dir: TempDir,
    relaying: tokio::task::JoinHandle<()>,
    _child: Child,
}

impl WebPushTesting {
    /// Starts it from the package's folder, which `$WEB_PUSH_TESTING` names. Without it, `None`: the test is skipped.
    pub async fn start() -> Option<Self> {
        let Some(folder) = std::env::var_os("WEB_PUSH_TESTING") else {
            assert!(
                std::env::var_os("CI").is_none(),
                "$WEB_PUSH_TESTING is missing: .ci/run sets it"
            );
            skipped::note(
                "no web-push-testing: $WEB_PUSH_TESTING names its folder (`npm install web-push-testing`, \
                 node_modules/web-push-testing)",
            );
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0")
            .await
            .and_then(|free| free.local_addr());
        let server = free.expect("a free port");
        let child = Command::new("node")
            .arg(PathBuf::from(folder).join("src/bin/server.js"))
            .arg(server.port().to_string())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let (authority, key) = (Authority::default(), signing_key());
        let dir = TempDir::new().expect("a directory");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("a file");
        std::fs::write(dir.path().join("vapid.pem"), &key.pem).expect("a file");
        let mut tls = (*authority.server(false)).clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let relay = listener.local_addr().expect("its address");
        let relaying = tokio::spawn(relay_all(listener, TlsAcceptor::from(Arc::new(tls)), server));
        let service = Self {
            server,
            relay,
            public: base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &key.public),
            dir,
            relaying,
            _child: child,
        };
        let listens = async {
            while TcpStream::connect(server).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), listens)
            .await
            .expect("it listens");
        Some(service)
    }

    /// Lines of an `[[app]]` that pushes to it, but for the name.
    pub fn app(&self) -> String {
        let file = |name| self.dir.path().join(name).display().to_string();
        format!(
            "provider = 'webpush'\nca-file = '{}'\nvapid-key-file = '{}'\nvapid-subject = '{SUBJECT}'\n\
             allow-hosts = ['localhost']\nallow-networks = ['127.0.0.0/8', '::1/128']\n",
            file("ca.pem"),
            file("vapid.pem")
        )
    }

    /// A new subscription of the app.
    pub async fn subscribe(&self) -> Subscription {
        let options = json!({ "userVisibleOnly": "true", "applicationServerKey": self.public });
        let answer = self.ask("/subscribe", &options).await;
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        let data = &answer["data"];
        Subscription {
            endpoint: format!(
                "https://localhost:{}/notify/{}",
                self.relay.port(),
                text(&data["clientHash"])
            ),
            p256dh: text(&data["keys"]["p256dh"]),
            auth: text(&data["keys"]["auth"]),
        }
    }

    /// The messages of a subscription, decrypted.
    pub async fn messages(&self, subscription: &Subscription) -> Vec<Value> {
        let asked = json!({ "clientHash": name_in(&subscription.endpoint) });
        let answer = self.ask("/get-notifications", &asked).await;
        let messages = answer["data"]["messages"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        let read = |message: &Value| serde_json::from_str(message.as_str().unwrap_or_default()).expect("JSON");
        messages.iter().map(read).collect()
    }

    /// Waits for so many messages of a subscription.
    pub async fn wait_for(&self, subscription: &Subscription, count: usize) -> Vec<Value> {
        let arrived = async {
            loop {
                let messages = self.messages(subscription).await;
                if messages.len() >= count {
                    return messages;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), arrived)
            .await
            .expect("a message")
    }

    /// Ends a subscription: pushes to it get 410.
    pub async fn expire(&self, subscription: &Subscription) {
        let path = format!("/expire-subscription/{}", name_in(&subscription.endpoint));
        self.post(&path, &json!({})).await;
    }

    async fn ask(&self, path: &str, body: &Value) -> Value {
        serde_json::from_str(&self.post(path, body).await).expect("JSON")
    }

    async fn post(&self, path: &str, body: &Value) -> String {
        let body = body.to_string();
        let mut server = TcpStream::connect(self.server).await.expect("a connection");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        server.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        server.read_to_string(&mut answer).await.expect("an answer");
        answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
    }
}

impl Drop for WebPushTesting {
    fn drop(&mut self) {
        self.relaying.abort();
    }
}

async fn relay_all(listener: TcpListener, acceptor: TlsAcceptor, to: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut client = acceptor.accept(client).await.ok()?;
            let mut server = TcpStream::connect(to).await.ok()?;
            copy_bidirectional(&mut client, &mut server).await.ok()
        });
    }
}
