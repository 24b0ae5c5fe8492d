//! Notices that FreeSWITCH's host has lost its power or its network: nobody closes its connections then.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout};

/// How long a host may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Some five seconds, for a connection that can be opened again without harm.
    Short,
    /// Some fifteen seconds, for that of a held call, which ends with it: a network may be away for some seconds.
    Long,
}

impl Patience {
    /// How long a connection may be idle before the host is asked whether it is there.
    fn idle(self) -> Duration {
        Duration::from_secs(match self {
            Self::Short => 2,
            Self::Long => 5,
        })
    }

    /// How long it may then be silent, or leave unacknowledged what was sent, in milliseconds (RFC 5482).
    fn silence(self) -> u32 {
        match self {
            Self::Short => 5_000,
            Self::Long => 15_000,
        }
    }
}

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Makes a connection fail after its host has gone (RFC 9293 section 3.8.4, tcp(7)). The host's kernel answers, so a
/// FreeSWITCH that is busy or stopped is there.
pub(super) fn notice(connection: &impl AsFd, patience: Patience) {
    let set = || -> Result<(), Errno> {
        set_socket_keepalive(connection, true)?;
        set_tcp_keepidle(connection, patience.idle())?;
        set_tcp_keepintvl(connection, INTERVAL)?;
        // Linux counts no probes where this is set.
        set_tcp_user_timeout(connection, patience.silence())
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a host that is gone will be noticed late");
    }
}

/// The error to report if a connection has failed because its host is gone.
pub(super) fn gone(error: &io::Error) -> Option<io::Error> {
    let gone = [Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::NETUNREACH];
    let errno = Errno::from_io_error(error).filter(|errno| gone.contains(errno));
    errno.map(|_| io::Error::new(error.kind(), "its host does not answer any more"))
}
