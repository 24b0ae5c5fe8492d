//! The listening sockets of this process: passed by systemd or by a predecessor, or opened by itself.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use listenfd::ListenFd;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use crate::lifecycle;
use crate::words;

/// Connections that wait to be accepted. FreeSWITCH sends nothing first, so it notices only after seconds that the kernel
/// dropped a connection because the queue was full.
const QUEUE: i32 = 16_384;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// Calls that FreeSWITCH hands over.
    Calls,
    /// HTTP.
    Http,
}

impl Use {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Calls, Self::Http];

    /// The name under which systemd keeps it during a restart.
    pub fn kept_as(self) -> &'static str {
        match self {
            Self::Calls => "fswake-calls",
            Self::Http => "fswake-http",
        }
    }

    fn of_kept(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|of| of.kept_as() == name)
    }
}

/// A listening socket that another process has opened.
#[derive(Debug)]
pub struct Passed {
    /// The socket.
    pub listener: TcpListener,
    /// What it was used for. A socket unit does not say: its address decides.
    pub used_for: Option<Use>,
    /// Whether it is a socket unit's, so that systemd passes it at each start.
    pub is_a_units: bool,
    /// Whether it is one that will be used.
    pub is_claimed: bool,
}

/// A socket in use.
#[derive(Debug)]
pub struct Open {
    /// Another descriptor of the socket.
    pub listener: TcpListener,
    /// What it is used for.
    pub used_for: Use,
    /// Whether it is a socket unit's.
    pub is_a_units: bool,
}

/// All listening sockets. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    passed: Vec<Passed>,
    open: Vec<Open>,
    /// The predecessor serves the sockets that are left over.
    has_predecessor: bool,
    /// Why systemd's other descriptors are not used; logged later, because the log begins after them.
    unusable: Vec<String>,
}

impl Sockets {
    /// With the sockets that systemd has passed to this process (`sd_listen_fds(3)`). Call it once, before threads start.
    pub fn of_process() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut all = ListenFd::from_env();
        let (mut passed, mut unusable) = (Vec::new(), Vec::new());
        for nth in 0..all.len() {
            let used_for = names.next().and_then(Use::of_kept);
            match all.take_tcp_listener(nth) {
                Ok(Some(listener)) => passed.push(Passed {
                    listener,
                    used_for,
                    is_a_units: used_for.is_none(),
                    is_claimed: false,
                }),
                Ok(None) => {}
                Err(error) => unusable.push(words::of_io(&error)),
            }
        }
        let sockets = Self::new(passed, false);
        sockets.lock().unusable = unusable;
        sockets
    }

    /// The same. systemd keeps none of them from now on: if this process fails, nobody is to wait for it.
    pub fn of_service() -> Self {
        let sockets = Self::of_process();
        if sockets.are_kept() {
            for of in Use::ALL {
                lifecycle::keep_no_socket(of.kept_as());
            }
        }
        sockets
    }

    /// With the sockets that a predecessor has passed.
    pub fn of_predecessor(passed: Vec<Passed>) -> Self {
        Self::new(passed, true)
    }

    fn new(passed: Vec<Passed>, has_predecessor: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            passed,
            open: Vec::new(),
            has_predecessor,
            unusable: Vec::new(),
        })))
    }

    /// Whether systemd has kept sockets for this process since the last one left.
    pub fn are_kept(&self) -> bool {
        self.lock().passed.iter().any(|passed| passed.used_for.is_some())
    }

    /// The configuration has this address: a socket that was passed for it is used later.
    pub fn claim(&self, used_for: Use, address: SocketAddr) {
        let mut state = self.lock();
        let Some(found) = state.find(used_for, address) else {
            return;
        };
        let at = state
            .passed
            .get(found)
            .and_then(|passed| passed.listener.local_addr().ok());
        // systemd may pass the same socket twice.
        for passed in &mut state.passed {
            passed.is_claimed |= passed.listener.local_addr().ok() == at;
        }
    }

    /// The socket for this address: one that was passed, or a new one. With port 0 the system chooses a port, or it is
    /// that of the passed socket.
    ///
    /// # Errors
    /// When the address is in use, or not this host's.
    pub fn listen(&self, used_for: Use, address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
        let mut state = self.lock();
        let (listener, is_a_units) = match state.take(used_for, address) {
            Some(passed) => {
                let at = passed.listener.local_addr().unwrap_or(address);
                info!(address = %at, "going on with a socket that was passed");
                // The unit's own queue may be shorter. A socket that cannot be changed is good enough.
                let _ = rustix::net::listen(passed.listener.as_fd(), QUEUE);
                (passed.listener, passed.is_a_units)
            }
            None => (bind(address)?, false),
        };
        listener.set_nonblocking(true)?;
        let open = Open {
            listener: listener.try_clone()?,
            used_for,
            is_a_units,
        };
        state.open.push(open);
        tokio::net::TcpListener::from_std(listener)
    }

    /// All sockets in use, with a descriptor of their own.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn in_use(&self) -> io::Result<Vec<Open>> {
        let state = self.lock();
        let copies = state.open.iter().map(|open| {
            Ok(Open {
                listener: open.listener.try_clone()?,
                ..*open
            })
        });
        copies.collect()
    }

    /// Closes this process's other descriptors of the sockets, so that they end with those who accept on them.
    pub fn close(&self) {
        self.lock().open.clear();
    }

    /// Closes the sockets that were passed and that no address of the configuration has. Whoever passed a socket may keep
    /// it open, and nobody would accept its connections. So each connection to a socket unit's socket is closed at once:
    /// its call goes on in the dialplan.
    pub fn turn_away_unknown(&self) {
        let mut state = self.lock();
        let has_predecessor = state.has_predecessor;
        for error in std::mem::take(&mut state.unusable) {
            warn!(error, "systemd passed something else than a TCP socket: it is not used");
        }
        let unknown: Vec<_> = state.passed.extract_if(.., |passed| !passed.is_claimed).collect();
        drop(state);
        for Passed {
            listener, is_a_units, ..
        } in unknown
        {
            let address = listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
            if has_predecessor || !is_a_units {
                info!(address, "closing a socket that the configuration no longer has");
                continue;
            }
            warn!(
                address,
                "the socket unit listens here, but neither listen.addresses nor http.addresses has it: its connections are \
                 closed"
            );
            let spawned = std::thread::Builder::new()
                .name("fswake-unknown".into())
                .spawn(move || {
                    let _ = listener.set_nonblocking(false);
                    // Ends with the process.
                    while listener.accept().is_ok() {}
                });
            if let Err(error) = spawned {
                debug!(error = words::of_io(&error), "no thread for a socket");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, used_for: Use, address: SocketAddr) -> Option<usize> {
        let is_it = |passed: &Passed| {
            let Ok(at) = passed.listener.local_addr() else {
                return false;
            };
            match passed.used_for {
                Some(used) if used != used_for => false,
                Some(_) if address.port() == 0 => at.ip() == address.ip(),
                _ => at == address,
            }
        };
        self.passed.iter().position(is_it)
    }

    fn take(&mut self, used_for: Use, address: SocketAddr) -> Option<Passed> {
        let place = self.find(used_for, address)?;
        let taken = self.passed.swap_remove(place);
        // systemd may pass the same socket twice: as the socket unit's, and as one that it has kept.
        let at = taken.listener.local_addr().ok();
        self.passed.retain(|other| other.listener.local_addr().ok() != at);
        Some(taken)
    }
}

impl Drop for State {
    /// A process that ends before it has used a passed socket closes the connections that wait there: nobody else would.
    fn drop(&mut self) {
        if self.has_predecessor {
            return;
        }
        for passed in &self.passed {
            if passed.listener.set_nonblocking(true).is_ok() {
                while passed.listener.accept().is_ok() {}
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        tokio::net::TcpSocket::new_v4()?
    } else {
        tokio::net::TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE.unsigned_abs())?.into_std()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;

    fn passed(used_for: Option<Use>) -> (Passed, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let passed = Passed {
            listener,
            used_for,
            is_a_units: used_for.is_none(),
            is_claimed: false,
        };
        (passed, address)
    }

    fn is_closed(stream: &mut TcpStream) -> bool {
        stream
            .set_read_timeout(Some(std::time::Duration::from_secs(10)))
            .unwrap();
        matches!(stream.read(&mut [0]), Ok(0)) || stream.take_error().is_ok_and(|error| error.is_some())
    }

    #[tokio::test]
    async fn passed_socket_is_used_for_its_own_address_and_its_own_purpose() {
        let (unit, at_unit) = passed(None);
        let (kept, at_kept) = passed(Some(Use::Calls));
        let sockets = Sockets::new(vec![unit, kept], false);
        assert!(sockets.are_kept());
        let any = "127.0.0.1:0".parse().unwrap();
        // Neither is for HTTP at any port: the system chooses one.
        let http = sockets.listen(Use::Http, any).unwrap().local_addr().unwrap();
        assert!(http != at_unit && http != at_kept);
        let calls = sockets.listen(Use::Calls, any).unwrap().local_addr().unwrap();
        assert_eq!(calls, at_kept, "port 0 was this port before");
        assert!(sockets.listen(Use::Http, at_kept).is_err(), "it is in use");
        assert_eq!(
            sockets.listen(Use::Http, at_unit).unwrap().local_addr().unwrap(),
            at_unit
        );
        let units = sockets.in_use().unwrap();
        assert_eq!(units.iter().filter(|open| open.is_a_units).count(), 1);
        assert_eq!(units.len(), 3);
    }

    #[tokio::test]
    async fn socket_that_is_passed_twice_is_used_once() {
        let (unit, address) = passed(None);
        let kept = Passed {
            listener: unit.listener.try_clone().unwrap(),
            used_for: Some(Use::Calls),
            is_a_units: false,
            is_claimed: false,
        };
        let sockets = Sockets::new(vec![unit, kept], false);
        sockets.claim(Use::Calls, address);
        sockets.turn_away_unknown();
        sockets.listen(Use::Calls, address).unwrap();
        assert!(sockets.listen(Use::Calls, address).is_err());
        assert!(sockets.lock().passed.is_empty());
    }

    #[test]
    fn connections_to_a_passed_socket_are_closed_when_nobody_will_take_them() {
        for unknown in [true, false] {
            let (unit, address) = passed(None);
            let other = unit.listener.try_clone().unwrap();
            let sockets = Sockets::new(vec![unit], false);
            let mut caller = TcpStream::connect(address).unwrap();
            if unknown {
                sockets.claim(Use::Http, "127.0.0.1:1".parse().unwrap());
                sockets.turn_away_unknown();
            } else {
                drop(sockets);
            }
            assert!(is_closed(&mut caller), "{unknown}");
            // systemd keeps it open.
            drop(other);
        }
    }

    #[test]
    fn connections_wait_for_the_predecessor_when_its_successor_fails() {
        let (kept, address) = passed(Some(Use::Calls));
        let predecessor = kept.listener.try_clone().unwrap();
        let _caller = TcpStream::connect(address).unwrap();
        drop(Sockets::of_predecessor(vec![kept]));
        predecessor.set_nonblocking(true).unwrap();
        assert!(predecessor.accept().is_ok());
    }
}
