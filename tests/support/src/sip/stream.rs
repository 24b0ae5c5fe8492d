//! What a phone shows and faxes: packets that name their sender, and nobody has to decode.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What the packets look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A video codec's frames of one packet each, of this payload type (RFC 3550).
    Video(u8),
    /// UDPTL (ITU-T T.38).
    Fax,
}

/// What came, and when: the sender's voice; `None` for a packet that is not from a phone here.
type Came = Arc<Mutex<Vec<(Instant, Option<u8>)>>>;
type Target = Arc<Mutex<Option<(SocketAddr, Form)>>>;

/// Both directions of one call's video, or of its fax. Ends when dropped.
#[derive(Debug)]
pub(super) struct Stream {
    pub port: u16,
    target: Target,
    came: Came,
    tasks: [JoinHandle<()>; 2],
}

impl Stream {
    /// Opens a port, listens there, and sends in the name of `voice` as soon as it knows where to.
    pub fn start(voice: u8, host: IpAddr) -> Self {
        let socket = std::net::UdpSocket::bind((host, 0)).expect("a UDP port");
        socket.set_nonblocking(true).expect("a socket");
        let port = socket.local_addr().expect("its address").port();
        let socket = Arc::new(UdpSocket::from_std(socket).expect("a socket"));
        let (target, came) = (Target::default(), Came::default());
        let tasks = [
            tokio::spawn(listen(socket.clone(), came.clone())),
            tokio::spawn(send(socket, voice, target.clone())),
        ];
        Self {
            port,
            target,
            came,
            tasks,
        }
    }

    /// From now on it sends there; nowhere without a place.
    pub fn send_to(&self, target: Option<(SocketAddr, Form)>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// What has come, and when.
    pub fn came(&self) -> Vec<(Instant, Option<u8>)> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What every packet ends with, before its sender's voice.
const MARK: &[u8] = b"packet of ";

async fn listen(socket: Arc<UdpSocket>, came: Came) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let voice = sender(&buffer[..length]);
        came.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((Instant::now(), voice));
    }
}

fn sender(packet: &[u8]) -> Option<u8> {
    let (voice, before) = packet.split_last()?;
    before.ends_with(MARK).then_some(*voice)
}

/// A modem is silent for a moment before its first tone. FreeSWITCH 1.11.2 needs it: with packets from another port
/// than the audio's before it has read the 200 that names that port, the leg's thread takes them for an attack and
/// reads nothing else any more (`read_rtp_packet`), the 200 neither.
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
            // Each is a whole frame.
            packet.extend([0x80, 0x80 | format]);
            packet.extend(sequence.to_be_bytes());
            packet.extend((u32::from(sequence) * 2700).to_be_bytes());
            packet.extend([0xf6, 0, 0, voice]);
            // To H.264 a key frame (RFC 6184), to VP8 something that begins a frame (RFC 7741).
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
