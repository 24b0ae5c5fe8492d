//! Session descriptions: makes a phone's offers and answers, and parses those of the far end.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::Script;

/// Codecs that a phone here can have, by payload type.
const NAMES: [(u8, &str); 4] = [(0, "PCMU"), (8, "PCMA"), (9, "G722"), (101, "telephone-event")];
/// The payload type of H.264.
pub(super) const H264: u8 = 97;
/// Video codecs by payload type.
const VIDEO: [(u8, &str); 2] = [(H264, "H264"), (98, "VP8")];
/// An SDES key (RFC 4568). Nothing is encrypted with it.
const CRYPTO: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";

/// The direction of media, from the sender's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    Both,
    /// The sender puts the other side on hold, and may play music.
    SendOnly,
    /// Nothing in any direction.
    Inactive,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Self::Both => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::Inactive => "inactive",
        }
    }
}

/// Further values in a description.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub host: IpAddr,
    pub port: u16,
    /// The ports for video and T.38.
    pub video_port: u16,
    pub fax_port: u16,
    /// Increases with every description of a dialog.
    pub version: u32,
    pub direction: Direction,
}

fn head(place: Place) -> String {
    let family = if place.host.is_ipv4() { "IP4" } else { "IP6" };
    let address = format!("IN {family} {}", place.host);
    format!(
        "v=0\r\no=- 1 {} {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n",
        place.version
    )
}

fn audio(codecs: &[u8], secure: bool, place: Place) -> String {
    let list: Vec<String> = codecs.iter().chain([&101]).map(ToString::to_string).collect();
    let profile = if secure { "RTP/SAVP" } else { "RTP/AVP" };
    let mut text = format!("m=audio {} {profile} {}\r\n", place.port, list.join(" "));
    for (number, name) in NAMES.iter().filter(|(n, _)| codecs.contains(n) || *n == 101) {
        let _ = write!(text, "a=rtpmap:{number} {name}/8000\r\n");
    }
    if secure {
        text.push_str(CRYPTO);
    }
    let _ = write!(text, "a={}\r\n", place.direction.word());
    text
}

fn video(codecs: &[(u8, &str)], place: Place) -> String {
    let list: Vec<String> = codecs.iter().map(|(number, _)| number.to_string()).collect();
    let mut text = format!("m=video {} RTP/AVP {}\r\n", place.video_port, list.join(" "));
    for (number, name) in codecs {
        let _ = write!(text, "a=rtpmap:{number} {name}/90000\r\n");
        if *name == "H264" {
            let _ = write!(text, "a=fmtp:{number} profile-level-id=42801F;packetization-mode=1\r\n");
        }
    }
    text.push_str("a=sendrecv\r\n");
    text
}

fn fax(place: Place) -> String {
    let port = place.fax_port;
    format!(
        "m=image {port} udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\n"
    )
}

/// An offer of T.38 instead of all other media.
pub(super) fn fax_offer(place: Place) -> String {
    head(place) + &fax(place)
}

/// An offer of all media of the phone. Video that it had `before` and no longer has is refused.
pub(super) fn offer(script: &Script, before: &str, place: Place) -> String {
    let mut sdp = head(place);
    if !script.codecs.is_empty() {
        sdp.push_str(&audio(&script.codecs, script.secure, place));
    }
    if script.video {
        sdp.push_str(&video(&VIDEO, place));
    } else if read(before).media.iter().any(|m| m.kind == "video") {
        // Lines are never removed (RFC 3264, section 8).
        let _ = write!(sdp, "m=video 0 RTP/AVP {H264}\r\n");
    }
    sdp
}

/// The answer to an offer; `None` if no medium in it is accepted. Without an offer, it is an offer itself.
pub(super) fn answer(script: &Script, offered: &str, place: Place) -> Option<String> {
    if offered.trim().is_empty() {
        return Some(self::offer(script, "", place));
    }
    let (mut sdp, mut wanted) = (head(place), false);
    for media in &read(offered).media {
        let codec = script.codecs.iter().find(|c| media.formats.contains(*c)).copied();
        match (media.kind.as_str(), codec) {
            ("audio", Some(codec)) if media.port != 0 => {
                sdp.push_str(&audio(&[codec], media.profile == "RTP/SAVP", place));
                wanted = true;
            }
            ("video", _) if script.video && media.port != 0 => {
                let format = media.formats.first().copied().unwrap_or(H264);
                let name = media.names.first().map_or("H264", String::as_str);
                sdp.push_str(&video(&[(format, name)], place));
            }
            ("image", _) if script.fax && media.port != 0 => {
                sdp.push_str(&fax(place));
                wanted = true;
            }
            (kind, _) => {
                let formats = media.formats.first().map_or("0".to_owned(), ToString::to_string);
                let formats = if kind == "image" { "t38" } else { &formats };
                let _ = write!(sdp, "m={kind} 0 {} {formats}\r\n", media.profile);
            }
        }
    }
    wanted.then_some(sdp)
}

/// A parsed description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Its media, in order.
    pub media: Vec<Media>,
}

/// An `m=` line and its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// audio, video or image.
    pub kind: String,
    /// 0 if it is refused.
    pub port: u16,
    /// RTP/AVP, RTP/SAVP, udptl ..
    pub profile: String,
    /// Payload types.
    pub formats: Vec<u8>,
    /// Their names.
    pub names: Vec<String>,
    /// Their parameters (`a=fmtp`).
    pub parameters: Vec<String>,
    /// sendrecv, sendonly, recvonly or inactive.
    pub direction: String,
    /// The address that its sender receives it at.
    pub address: String,
    /// Whether it has an SDES key.
    pub has_key: bool,
}

impl Media {
    fn name(format: u8) -> String {
        let known = NAMES.iter().find(|(n, _)| *n == format);
        known.map_or(format!("type {format}"), |(_, name)| (*name).to_owned())
    }

    /// The address to send to, if there is one.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        let host: IpAddr = self.address.parse().ok()?;
        (self.port != 0).then_some(SocketAddr::new(host, self.port))
    }
}

impl Session {
    /// The first audio line.
    pub fn audio(&self) -> Option<&Media> {
        self.of("audio")
    }

    /// The first line of this kind.
    pub(super) fn of(&self, kind: &str) -> Option<&Media> {
        self.media.iter().find(|m| m.kind == kind)
    }

    /// A short form without ports, such as `audio RTP/AVP PCMU,PCMA; video refused`. It omits digits and comfort noise.
    pub fn in_short(&self) -> String {
        let one = |media: &Media| {
            if media.port == 0 {
                return format!("{} refused", media.kind);
            }
            let names: Vec<&str> = media.names.iter().map(String::as_str).collect();
            let told = names.iter().filter(|n| **n != "telephone-event" && **n != "CN");
            let told: Vec<String> = told.map(|n| (*n).to_owned()).collect();
            // Audio codecs here have no parameters.
            let with = |(name, parameters): (&String, &String)| match parameters.as_str() {
                "" => name.clone(),
                parameters => format!("{name} ({parameters})"),
            };
            let told = match media.kind.as_str() {
                "video" => media.names.iter().zip(&media.parameters).map(with).collect(),
                _ => told,
            };
            let key = if media.has_key { " with a key" } else { "" };
            let direction = match media.direction.as_str() {
                "sendrecv" => String::new(),
                other => format!(" {other}"),
            };
            let text = format!("{} {} {}{key}{direction}", media.kind, media.profile, told.join(","));
            text.trim_end().to_owned()
        };
        let all: Vec<String> = self.media.iter().map(one).collect();
        all.join("; ")
    }
}

/// Parses a description.
pub fn read(text: &str) -> Session {
    let mut session = Session::default();
    let (mut address, mut direction) = (String::new(), "sendrecv".to_owned());
    for line in text.lines().map(str::trim) {
        let Some((letter, value)) = line.split_once('=') else {
            continue;
        };
        match (letter, session.media.last_mut()) {
            ("m", _) => {
                let mut words = value.split(' ');
                let mut word = || words.next().unwrap_or_default().to_owned();
                let mut media = Media {
                    kind: word(),
                    port: word().parse().unwrap_or_default(),
                    profile: word(),
                    direction: direction.clone(),
                    address: address.clone(),
                    ..Media::default()
                };
                media.formats = words.filter_map(|n| n.parse().ok()).collect();
                media.parameters = vec![String::new(); media.formats.len()];
                media.names = media.formats.iter().map(|f| Media::name(*f)).collect();
                session.media.push(media);
            }
            ("c", media) => {
                let place = value.split(' ').nth(2).unwrap_or_default().to_owned();
                match media {
                    Some(media) => media.address = place,
                    None => address = place,
                }
            }
            ("a", Some(media)) => attribute(media, value),
            ("a", None) if is_direction(value) => value.clone_into(&mut direction),
            _ => {}
        }
    }
    session
}

fn is_direction(value: &str) -> bool {
    ["sendrecv", "sendonly", "recvonly", "inactive"].contains(&value)
}

fn attribute(media: &mut Media, value: &str) {
    if is_direction(value) {
        value.clone_into(&mut media.direction);
    } else if value.starts_with("crypto:") {
        media.has_key = true;
    } else if let Some((number, parameters)) = value.strip_prefix("fmtp:").and_then(|v| v.split_once(' ')) {
        let at = media.formats.iter().position(|f| number.parse() == Ok(*f));
        if let Some(at) = at {
            parameters.clone_into(&mut media.parameters[at]);
        }
    } else if let Some((number, name)) = value.strip_prefix("rtpmap:").and_then(|v| v.split_once(' ')) {
        let at = media.formats.iter().position(|f| number.parse() == Ok(*f));
        if let Some(at) = at {
            name.split('/')
                .next()
                .unwrap_or_default()
                .clone_into(&mut media.names[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        host: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        port: 4000,
        video_port: 4002,
        fax_port: 4004,
        version: 1,
        direction: Direction::Both,
    };

    #[test]
    fn answer_has_our_best_codec_and_refuses_unsupported_media() {
        let caller = Script {
            video: true,
            ..Script::default()
        };
        let callee = Script {
            codecs: vec![8, 0],
            ..Script::default()
        };
        let offer = offer(&caller, "", PLACE);
        assert_eq!(
            read(&offer).in_short(),
            "audio RTP/AVP PCMU,PCMA; video RTP/AVP H264 (profile-level-id=42801F;packetization-mode=1),VP8"
        );
        let answer = answer(&callee, &offer, PLACE).unwrap();
        assert_eq!(read(&answer).in_short(), "audio RTP/AVP PCMA; video refused");
    }

    #[test]
    fn short_form_shows_hold_and_keys() {
        let script = Script {
            secure: true,
            ..Script::default()
        };
        let place = Place {
            direction: Direction::SendOnly,
            ..PLACE
        };
        let offer = offer(&script, "", place);
        let told = "audio RTP/SAVP PCMU,PCMA with a key sendonly";
        assert_eq!(read(&offer).in_short(), told);
        assert_eq!(read(&offer).audio().unwrap().target().unwrap().port(), 4000);
    }

    #[test]
    fn dropped_video_is_refused_and_fax_accepted_where_supported() {
        let (seeing, blind) = (
            Script {
                video: true,
                fax: true,
                ..Script::default()
            },
            Script::default(),
        );
        let before = offer(&seeing, "", PLACE);
        assert_eq!(read(&offer(&blind, "", PLACE)).in_short(), "audio RTP/AVP PCMU,PCMA");
        let after = offer(&blind, &before, PLACE);
        assert_eq!(read(&after).in_short(), "audio RTP/AVP PCMU,PCMA; video refused");
        let fax = fax_offer(PLACE);
        assert_eq!(read(&fax).in_short(), "image udptl");
        assert_eq!(read(&answer(&seeing, &fax, PLACE).unwrap()).in_short(), "image udptl");
        assert_eq!(answer(&blind, &fax, PLACE), None);
    }
}
