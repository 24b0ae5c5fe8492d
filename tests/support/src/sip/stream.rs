//! A phone's video and fax: packets that name their sender and need no decoding.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The form of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Frames of a video codec with this payload type, one packet each (RFC 3550).
    Video(u8),
    /// UDPTL (ITU-T T.38).
    Fax,
}

/// Received packets with times. Each has its sender's voice; `None` if it does not come from one of these phones.
type PacketLog = Arc<Mutex<Vec<(Instant, Option<u8>)>>>;
type Target = Arc<Mutex<Option<(SocketAddr, Form)>>>;

/// Both directions of one call's video or fax. It stops when dropped.
#[derive(Debug)]
pub(super) struct Stream {
    pub port: u16,
    target: Target,
    received: PacketLog,
    tasks: [JoinHandle<()>; 2],
}

impl Stream {
    /// Opens a port, listens on it, and sends with the mark of `voice` once it has a target.
    pub fn start(voice: u8, host: IpAddr) -> Self {
        let socket = std::net::UdpSocket::bind((host, 0)).expect("a UDP port");
        socket.set_nonblocking(true).expect("a socket");
        let port = socket.local_addr().expect("its address").port();
        let socket = Arc::new(UdpSocket::from_std(socket).expect("a socket"));
        let (target, received) = (Target::default(), PacketLog::default());
        let tasks = [
            tokio::spawn(listen(socket.clone(), received.clone())),
            tokio::spawn(send(socket, voice, target.clone())),
        ];
        Self {
            port,
            target,
            received,
            tasks,
        }
    }

    /// Sets the address that it sends to. With `None` it stays silent.
    pub fn send_to(&self, target: Option<(SocketAddr, Form)>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// The received packets, with times.
    pub fn received(&self) -> Vec<(Instant, Option<u8>)> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The end of every packet, before its sender's voice.
const MARK: &[u8] = b"packet of ";

async fn listen(socket: Arc<UdpSocket>, received: PacketLog) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let voice = sender(&buffer[..length]);
        received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((Instant::now(), voice));
    }
}

fn sender(packet: &[u8]) -> Option<u8> {
    let (voice, before) = packet.split_last()?;
    before.ends_with(MARK).then_some(*voice)
}

/// A modem is silent for a moment before its first tone, and FreeSWITCH 1.11.2 depends on this. If packets come from a
/// port other than the audio's before FreeSWITCH has read the 200 with that port, the leg's thread treats them as an
/// attack (`read_rtp_packet`). Then it reads nothing else, not even the 200.
const LEAD: Duration = Duration::from_millis(200);

async fn send(socket: Arc<UdpSocket>, voice: u8, target: Target) {
    let mut clock = tokio::time::interval(Duration::from_millis(30));
    let mut faxes_since = None;
    for sequence in 0_u16.. {
        clock.tick().await;
        let to = *target.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(to, Some((_, Form::Fax))) {
            faxes_since = None;
        } else if faxes_since.get_or_insert_with(Instant::now).elapsed() < LEAD {
            continue;
        }
        if let Some((to, form)) = to {
            let _ = socket.send_to(&packet(form, sequence, voice), to).await;
        }
    }
}

fn packet(form: Form, sequence: u16, voice: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    match form {
        Form::Video(format) => {
            // Each packet is a whole frame.
            packet.extend([0x80, 0x80 | format]);
            packet.extend(sequence.to_be_bytes());
            packet.extend((u32::from(sequence) * 2700).to_be_bytes());
            packet.extend([0xf6, 0, 0, voice]);
            // For H.264 this is a key frame (RFC 6184), for VP8 the start of a frame (RFC 7741).
            packet.extend(if format == super::sdp::H264 {
                [0x65, 0x88]
            } else {
                [0x10, 0]
            });
        }
        Form::Fax => packet.extend(sequence.to_be_bytes()),
    }
    packet.extend(MARK);
    packet.push(voice);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_names_its_sender_in_every_form() {
        for form in [Form::Video(97), Form::Video(98), Form::Fax] {
            assert_eq!(sender(&packet(form, 7, 3)), Some(3));
        }
        assert_eq!(sender(b"something else"), None);
        assert_eq!(sender(b""), None);
    }
}
