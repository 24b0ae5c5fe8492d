//! What a predecessor and its successor say to each other, over a Unix socket that is the successor's stdin.
//!
//! ```text
//! predecessor                          successor
//!   offer: who it is, the sockets  ->
//!                                  <-  ready: it has the devices and FreeSWITCH's registrations; its first events
//!   (stops accepting, writes)
//!   yours: which events it answered ->
//!   (finishes its calls, ends)          (takes calls)
//! ```
//!
//! Each is a line of JSON. Unknown fields are ignored, and new ones have defaults, so that any two versions understand
//! each other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use super::descriptors;
use super::duty::EventNumbers;
use super::sockets::Use;

/// The environment variable with the predecessor's process id.
pub const VARIABLE: &str = "FSWAKE_PREDECESSOR";
/// The longest message.
pub const LONGEST: usize = 64 * 1024;

/// The predecessor's first message. It carries the sockets' descriptors.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Offer {
    /// How many FreeSWITCHes the predecessor is connected to. The successor is ready when it is connected to as many.
    #[serde(default)]
    pub connected: usize,
    /// What each descriptor is for, in their order.
    #[serde(default)]
    pub sockets: Vec<Socket>,
}

/// What a socket is for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Socket {
    /// What it is used for.
    pub used_for: Use,
    /// Whether it is a socket unit's.
    #[serde(default)]
    pub is_a_units: bool,
}

/// The successor's message: it is ready.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ready {
    /// The event after which it gets all events, for each FreeSWITCH.
    #[serde(default)]
    pub mark: EventNumbers,
}

/// The predecessor's last message: the successor is on duty from here on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Yours {
    /// The last event that the predecessor answers, for each FreeSWITCH.
    #[serde(default)]
    pub answered: EventNumbers,
}

/// The line of a message.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Sends the first message.
///
/// # Errors
/// When there are too many sockets, or the successor has ended.
pub fn send(channel: &UnixStream, offer: &Offer, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    descriptors::send(channel.as_fd(), &line(offer)?, sockets)
}

/// Receives the first message.
///
/// # Errors
/// When it is not one.
pub fn receive(channel: &UnixStream) -> io::Result<(Offer, Vec<OwnedFd>)> {
    let (line, sockets) = descriptors::receive(channel.as_fd(), LONGEST)?;
    Ok((serde_json::from_slice(line.trim_ascii_end())?, sockets))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn sockets_arrive_with_what_they_are_for() {
        let (one, other) = UnixStream::pair().unwrap();
        let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let offer = Offer {
            connected: 2,
            sockets: [Use::Calls, Use::Calls, Use::Http]
                .map(|used_for| Socket {
                    used_for,
                    is_a_units: used_for == Use::Http,
                })
                .into(),
        };
        let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        send(&one, &offer, &descriptors).unwrap();
        let (received, descriptors) = receive(&other).unwrap();
        assert!(received.connected == 2 && received.sockets[2].is_a_units);
        assert_eq!(received.sockets[1].used_for, Use::Calls);
        for (descriptor, socket) in descriptors.into_iter().zip(&sockets) {
            let address = TcpListener::from(descriptor).local_addr().unwrap();
            assert_eq!(address, socket.local_addr().unwrap());
        }
    }

    #[test]
    fn what_is_not_an_offer_is_an_error_and_fields_of_other_versions_are_none() {
        for (sent, is_one) in [
            (&b""[..], false),
            (b"\0\xff", false),
            (b"{\"connected\": -1}\n", false),
            (b"{\"later\": [1]}\n", true),
        ] {
            let (one, other) = UnixStream::pair().unwrap();
            std::io::Write::write_all(&mut &one, sent).unwrap();
            drop(one);
            assert_eq!(receive(&other).is_ok(), is_one, "{sent:?}");
        }
        assert!(serde_json::from_str::<Yours>("{}").unwrap().answered.is_empty());
        assert!(serde_json::from_str::<Ready>("{}").unwrap().mark.is_empty());
    }
}
