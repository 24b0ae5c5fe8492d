//! Sockets: limits for connections, times and sizes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::place::Place;
use crate::handover::sockets::Use;
use crate::handover::{Duty, Sockets};
use crate::words;
use axum::extract::DefaultBodyLimit;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

/// Most connections at once to one address; more wait in the kernel's queue. Each address has its own limit, so a
/// remote client cannot use up loopback's. A request that waits for a phone does not count ([`Place`]).
const CONNECTIONS: usize = 64;
/// How long a request's head may take, and how long a connection may be idle between two.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const LONGEST_HEAD: usize = 32 * 1024;
/// The longest body, in bytes.
pub const LONGEST_BODY: usize = 64 * 1024;
/// A connection takes no more requests after this long ..
const LIFE: Duration = Duration::from_secs(60);
/// .. and is cut when its last answer is not read this long after, or after it is due.
const LAST_ANSWER: Duration = Duration::from_secs(10);
/// How often an unavailable address is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Which process serves, and its sockets.
#[derive(Clone)]
pub struct Turn {
    /// Whether it is this one's turn.
    pub duty: Duty,
    /// The sockets that another process has opened.
    pub sockets: Sockets,
}

/// Serves on these addresses until stopped. It begins to accept connections when this process is on duty, and stops when
/// another one is.
///
/// If an address is unavailable (another process has it), this is logged as an error and tried again: calls need no
/// HTTP.
pub async fn run(addresses: Vec<SocketAddr>, turn: Turn, router: Router, stop: CancellationToken) {
    let router = router.layer(DefaultBodyLimit::max(LONGEST_BODY));
    let mut listening = tokio::task::JoinSet::new();
    for address in addresses {
        listening.spawn(listen(address, turn.clone(), router.clone(), stop.clone()));
    }
    while let Some(ended) = listening.join_next().await {
        // A panic in one ends them all, and with them the daemon.
        if ended.is_err() {
            return;
        }
    }
    stop.cancelled().await;
}

async fn listen(address: SocketAddr, turn: Turn, router: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let listener = async {
        turn.duty.begun().await;
        bind(address, &turn.sockets).await
    };
    let Some(listener) = stop.run_until_cancelled(listener).await else {
        return;
    };
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            () = turn.duty.over() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, stop, duty) = (router.clone(), stop.clone(), turn.duty.clone());
                let place = Arc::new(Place::new(slots.clone(), slot));
                tokio::spawn(serve(stream, router, place, duty, stop));
            }
            Err(error) => {
                // Probably out of file descriptors; calls need them more.
                debug!(error = words::of_io(&error), "cannot accept an HTTP connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn bind(address: SocketAddr, sockets: &Sockets) -> TcpListener {
    let mut complained = false;
    loop {
        match sockets.listen(Use::Http, address) {
            Ok(listener) => {
                // With port 0 the system has chosen one.
                let address = listener.local_addr().unwrap_or(address);
                info!(%address, "HTTP: metrics, JSON and the status page");
                return listener;
            }
            Err(error) if !complained => {
                error!(%address, error = words::of_io(&error), "HTTP cannot listen (http.addresses): trying again every 10 s; calls are not affected");
                complained = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn serve(stream: TcpStream, router: Router, place: Arc<Place>, duty: Duty, stop: CancellationToken) {
    let router = router.layer(Extension(Arc::clone(&place)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = tokio::time::sleep(LIFE) => None,
        // The next request goes to the process that has taken over.
        () = duty.over() => None,
        () = stop.cancelled() => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        loop {
            match tokio::time::timeout(LAST_ANSWER, connection.as_mut()).await {
                Ok(ended) => break ended,
                // Its answer is not due yet.
                Err(_) if place.is_lent() && !stop.is_cancelled() => {}
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(error = words::of(&error), "HTTP connection ended early");
    }
}
