//! Notices that FreeSWITCH's host has lost its power or its network: nobody closes its connections then.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
};

/// How long a connection may be silent before the host is asked whether it is there.
const IDLE: Duration = Duration::from_secs(2);
/// How often, and how many times.
const INTERVAL: Duration = Duration::from_secs(1);
const TIMES: u32 = 3;
/// The same for what was sent and is not acknowledged, in milliseconds (RFC 5482).
const UNACKNOWLEDGED: u32 = 5_000;

/// Makes a connection fail some five seconds after its host has gone (RFC 9293 section 3.8.4, tcp(7)). The host's kernel
/// answers, so a FreeSWITCH that is busy or stopped is there.
pub(super) fn notice(connection: &impl AsFd) {
    let set = || -> Result<(), Errno> {
        set_socket_keepalive(connection, true)?;
        set_tcp_keepidle(connection, IDLE)?;
        set_tcp_keepintvl(connection, INTERVAL)?;
        set_tcp_keepcnt(connection, TIMES)?;
        set_tcp_user_timeout(connection, UNACKNOWLEDGED)
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a host that is gone will be noticed late");
    }
}

/// The error of a connection that has failed for that; `None` for other errors.
pub(super) fn is_gone(error: &io::Error) -> Option<io::Error> {
    let gone = [Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::NETUNREACH];
    let errno = Errno::from_io_error(error).filter(|errno| gone.contains(errno));
    errno.map(|_| io::Error::new(error.kind(), "its host does not answer any more"))
}
