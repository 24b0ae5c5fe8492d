//! An HTTP proxy that supports only CONNECT and counts tunnels, and a TCP forwarder whose connections can be cut, or go
//! silent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// A running proxy. It stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    tunnels: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts on a free port.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts one that asks for `user:password` (RFC 7617).
    pub async fn start_for(login: &str) -> Self {
        Self::start_with(Some(format!("Basic {}", BASE64_STANDARD.encode(login)))).await
    }

    async fn start_with(wants: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let tunnels = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tunnels);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, wants.clone(), Arc::clone(&count)));
            }
        });
        Self {
            addr,
            tunnels,
            accepting,
        }
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many tunnels were opened.
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn tunnel(client: TcpStream, wants: Option<String>, count: Arc<AtomicUsize>) -> Option<()> {
    let mut client = BufReader::new(client);
    let mut first = String::new();
    client.read_line(&mut first).await.ok()?;
    let to = first.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let mut line = String::new();
    let mut login = None;
    while client.read_line(&mut line).await.ok()? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("proxy-authorization")
        {
            login = Some(value.trim().to_owned());
        }
        line.clear();
    }
    if wants.is_some() && login != wants {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
        client.write_all(refusal).await.ok()?;
        return None;
    }
    let mut server = TcpStream::connect(to).await.ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    count.fetch_add(1, Ordering::SeqCst);
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}

/// Forwards TCP connections to one address until it is cut.
#[derive(Debug)]
pub struct Forwarder {
    addr: SocketAddr,
    whole: watch::Sender<bool>,
    /// How often connections have gone silent.
    silences: watch::Sender<u32>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Forwarder {
    /// Starts on a free port.
    pub async fn start(to: SocketAddr) -> Self {
        Self::between(Ipv4Addr::LOCALHOST, None, to).await
    }

    /// Starts on a free port of an address, and connects from an address. Both are of this machine.
    pub async fn between(at: Ipv4Addr, from: Option<Ipv4Addr>, to: SocketAddr) -> Self {
        let listener = TcpListener::bind((at, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let whole = watch::Sender::new(true);
        let silences = watch::Sender::new(0);
        let (state, silent) = (whole.subscribe(), silences.subscribe());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut silent = silent.clone();
                silent.mark_unchanged();
                tokio::spawn(forward(client, from, to, state.clone(), silent));
            }
        });
        Self {
            addr,
            whole,
            silences,
            accepting,
        }
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        self.addr
    }

    /// Closes all connections; new ones are closed at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Forwards nothing more on the connections that there are, and closes none: a NAT has forgotten them.
    pub fn forget(&self) {
        self.silences.send_modify(|times| *times += 1);
    }

    /// Forwards new connections again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connect(from: Option<Ipv4Addr>, to: SocketAddr) -> std::io::Result<TcpStream> {
    let Some(from) = from else {
        return TcpStream::connect(to).await;
    };
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

async fn forward(
    mut client: TcpStream,
    from: Option<Ipv4Addr>,
    to: SocketAddr,
    mut whole: watch::Receiver<bool>,
    mut silent: watch::Receiver<u32>,
) {
    let Ok(mut server) = connect(from, to).await else {
        return;
    };
    // Whatever is written goes on at once, as in a router.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let is_silent = tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => false,
        _ = whole.wait_for(|whole| !whole) => false,
        Ok(()) = silent.changed() => true,
    };
    if is_silent {
        // Both sockets stay open until the connections are cut.
        let _ = whole.wait_for(|whole| !whole).await;
    }
}
