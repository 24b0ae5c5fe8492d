//! The RTP (RFC 3550) of one call. A phone sends one constant value, which identifies it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The audio in one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Silence.
    Quiet,
    /// The phone with this voice.
    Voice(u8),
    /// Anything else: a ringback tone, music.
    Tone,
    /// A digit (RFC 4733).
    Digit(u8),
    /// A payload that cannot be decoded: video, or encrypted.
    Other(u8),
}

/// The target address, and the payload type.
type Target = Arc<Mutex<Option<(SocketAddr, u8)>>>;
type NoiseLog = Arc<Mutex<Vec<(Instant, Noise)>>>;
/// Digits that are still to be sent.
type Digits = Arc<Mutex<VecDeque<u8>>>;

/// The payload type of digits.
const DIGITS: u8 = 101;
/// How many packets a digit takes. The last three mark its end.
const OF_A_DIGIT: u16 = 8;
/// A digit's volume: -10 dBm0.
const VOLUME: u8 = 0x0a;
/// How many packets of voice follow a digit.
const AFTER_A_DIGIT: u16 = 5;

/// Both directions of one call's audio. It stops when dropped.
#[derive(Debug)]
pub(super) struct Sound {
    pub port: u16,
    target: Target,
    heard: NoiseLog,
    digits: Digits,
    tasks: [JoinHandle<()>; 2],
}

impl Sound {
    /// Opens a port, listens on it, and sends `voice` once it has a target.
    pub fn start(voice: u8, host: IpAddr) -> Self {
        let socket = std::net::UdpSocket::bind((host, 0)).expect("a UDP port");
        socket.set_nonblocking(true).expect("a socket");
        let port = socket.local_addr().expect("its address").port();
        let socket = Arc::new(UdpSocket::from_std(socket).expect("a socket"));
        let (target, heard, digits) = (Target::default(), NoiseLog::default(), Digits::default());
        let tasks = [
            tokio::spawn(listen(socket.clone(), heard.clone())),
            tokio::spawn(speak(socket, voice, target.clone(), digits.clone())),
        ];
        Self {
            port,
            target,
            heard,
            digits,
            tasks,
        }
    }

    /// Sets the address that it sends to. With `None` it stays silent.
    pub fn speak_to(&self, target: Option<(SocketAddr, u8)>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Sends these digits, one after another.
    pub fn press(&self, digits: &[u8]) {
        let mut queue = self.digits.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(digits);
    }

    /// What it has received, with times.
    pub fn heard(&self) -> Vec<(Instant, Noise)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn listen(socket: Arc<UdpSocket>, heard: NoiseLog) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if length > 12 {
            let noise = noise(buffer[1] & 0x7f, &buffer[12..length]);
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push((Instant::now(), noise));
        }
    }
}

async fn speak(socket: Arc<UdpSocket>, voice: u8, target: Target, digits: Digits) {
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    // The current digit, the time of its first packet, and how many packets of it were sent.
    let mut pressed: Option<(u8, u32, u16)> = None;
    for sequence in 0_u16.. {
        clock.tick().await;
        let to = *target.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((to, format)) = to else { continue };
        let now = u32::from(sequence) * 160;
        if pressed.is_none() {
            let digit = digits.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            pressed = digit.map(|digit| (digit, now, 0));
        }
        let packet = match pressed {
            Some((digit, since, count)) if count < OF_A_DIGIT => digit_packet(sequence, since, voice, digit, count),
            _ => voice_packet(sequence, now, voice, format),
        };
        pressed = pressed
            .map(|(digit, since, count)| (digit, since, count + 1))
            .filter(|(.., count)| *count < OF_A_DIGIT + AFTER_A_DIGIT);
        let _ = socket.send_to(&packet, to).await;
    }
}

fn head(sequence: u16, time: u32, voice: u8, format: u8) -> Vec<u8> {
    let mut packet = vec![0x80, format];
    packet.extend(sequence.to_be_bytes());
    packet.extend(time.to_be_bytes());
    packet.extend([0xf5, 0, 0, voice]);
    packet
}

fn voice_packet(sequence: u16, time: u32, voice: u8, format: u8) -> Vec<u8> {
    let mut packet = head(sequence, time, voice, format);
    let byte = match format {
        8 => nearest(level_of(voice), from_alaw),
        _ => nearest(level_of(voice), from_ulaw),
    };
    packet.extend([byte; 160]);
    packet
}

/// RFC 4733, section 2.3.
fn digit_packet(sequence: u16, since: u32, voice: u8, digit: u8, count: u16) -> Vec<u8> {
    let marker = if count == 0 { 0x80 } else { 0 };
    let mut packet = head(sequence, since, voice, DIGITS | marker);
    let lasting = OF_A_DIGIT - 3;
    let end = if count >= lasting { 0x80 } else { 0 };
    packet.extend([digit, end | VOLUME]);
    packet.extend((160 * (count + 1).min(lasting)).to_be_bytes());
    packet
}

/// The value that a phone sends. Values differ enough to be distinguished after any codec.
pub fn level_of(voice: u8) -> i32 {
    3000 + 2500 * i32::from(voice)
}

fn noise(format: u8, payload: &[u8]) -> Noise {
    let decode = match format {
        0 => from_ulaw,
        8 => from_alaw,
        13 => return Noise::Quiet,
        DIGITS => return Noise::Digit(payload[0]),
        other => return Noise::Other(other),
    };
    let values = payload.iter().map(|byte| decode(*byte));
    let (low, high) = values.fold((i32::MAX, i32::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if low.abs().max(high.abs()) < 200 {
        return Noise::Quiet;
    }
    let voice = (0..10).find(|voice| (level_of(*voice) - low).abs() < 1100);
    match voice {
        Some(voice) if high - low < 800 => Noise::Voice(voice),
        _ => Noise::Tone,
    }
}

fn nearest(wanted: i32, decode: fn(u8) -> i32) -> u8 {
    let far = |byte: &u8| (decode(*byte) - wanted).abs();
    (0..=255).min_by_key(far).unwrap_or_default()
}

/// ITU-T G.711, mu-law.
fn from_ulaw(byte: u8) -> i32 {
    let byte = !byte;
    let value = ((i32::from(byte & 0x0f) << 3) + 0x84) << ((byte & 0x70) >> 4);
    if byte & 0x80 == 0 { value - 0x84 } else { 0x84 - value }
}

/// ITU-T G.711, A-law.
fn from_alaw(byte: u8) -> i32 {
    let byte = byte ^ 0x55;
    let (low, segment) = (i32::from(byte & 0x0f) << 4, (byte & 0x70) >> 4);
    let value = match segment {
        0 => low + 8,
        segment => (low + 0x108) << (segment - 1),
    };
    if byte & 0x80 == 0 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voices_are_distinguished_in_both_codecs() {
        for voice in 0..10 {
            for (format, decode) in [(0, from_ulaw as fn(u8) -> i32), (8, from_alaw)] {
                let payload = [nearest(level_of(voice), decode); 160];
                assert_eq!(noise(format, &payload), Noise::Voice(voice));
            }
        }
        assert_eq!(noise(0, &[0xff; 160]), Noise::Quiet);
        assert_eq!(noise(8, &[0xd5; 160]), Noise::Quiet);
        let tone: Vec<u8> = (0..160).map(|n| if n % 20 < 10 { 0x90 } else { 0x10 }).collect();
        assert_eq!(noise(0, &tone), Noise::Tone);
    }
}
