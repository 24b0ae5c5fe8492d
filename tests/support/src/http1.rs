//! An HTTP/1.1 server with or without TLS. It keeps connections open, and misbehaves on demand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::http2::{Fault, HttpRequest, Reply, Service};

/// A running server. It stops when dropped.
#[derive(Debug)]
pub struct Server {
    /// The listening address.
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts on a free port, without TLS if `config` is `None`.
    pub async fn start(config: Option<Arc<ServerConfig>>, service: Arc<dyn Service>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let acceptor = config.map(TlsAcceptor::from);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, count, service) = (acceptor.clone(), Arc::clone(&count), Arc::clone(&service));
                serving.spawn(async move {
                    let _ = socket.set_nodelay(true);
                    match acceptor {
                        None => serve(socket, &count, service.as_ref()).await,
                        Some(acceptor) => serve(acceptor.accept(socket).await.ok()?, &count, service.as_ref()).await,
                    }
                });
            }
        });
        Self {
            addr,
            connections,
            accepting,
        }
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, count: &AtomicUsize, service: &dyn Service) -> Option<()> {
    let connection = count.fetch_add(1, Ordering::SeqCst) + 1;
    let mut stream = BufReader::new(stream);
    loop {
        let request = read(&mut stream, connection).await?;
        let (own, fault) = service.answer(request);
        let reply = match fault {
            None => own,
            Some(Fault::Reply(other)) => other,
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                own
            }
            Some(Fault::Hang) => {
                // Stays silent until the client gives up.
                let _ = stream.read_u8().await;
                return None;
            }
            Some(Fault::Close | Fault::GoAway | Fault::RefuseStream) => return None,
            Some(Fault::HalfReply(reply, _)) => {
                let whole = written(&reply);
                let half = whole.len() - reply.body.len().div_ceil(2);
                stream.write_all(&whole[..half]).await.ok()?;
                stream.flush().await.ok()?;
                return None;
            }
        };
        stream.write_all(&written(&reply)).await.ok()?;
        stream.flush().await.ok()?;
    }
}

fn written(reply: &Reply) -> Vec<u8> {
    let fields = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let (fields, length) = (fields.collect::<String>(), reply.body.len());
    let head = format!(
        "HTTP/1.1 {} X\r\n{fields}content-length: {length}\r\n\r\n",
        reply.status
    );
    [head.as_bytes(), &reply.body].concat()
}

async fn read(stream: &mut (impl AsyncBufReadExt + Unpin), connection: usize) -> Option<HttpRequest> {
    let first = line(stream).await?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    assert_eq!((words.next(), words.next()), (Some("HTTP/1.1"), None), "{first}");
    let mut headers = HeaderMap::new();
    loop {
        let line = line(stream).await?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        headers.append(
            name,
            HeaderValue::from_bytes(value.trim().as_bytes()).expect("a header's value"),
        );
    }
    let length = headers.get("content-length").map_or(0, |length| {
        length.to_str().ok().and_then(|l| l.parse().ok()).expect("a length")
    });
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(HttpRequest {
        at: Instant::now(),
        connection,
        method,
        path,
        headers,
        body: body.into(),
    })
}

async fn line(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}
