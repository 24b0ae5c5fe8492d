//! A dialog (RFC 3261 section 12), in either direction, and its media.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::sdp::{self, Direction, Place};
use super::sound::Sound;
use super::stream::{Form, Stream};
use super::{Message, Phone, Script, finish, unique};

/// A dialog of a phone.
#[derive(Debug)]
pub(super) struct Dialog {
    /// How many dialogs the phone had before.
    pub order: usize,
    /// Our tag.
    pub tag: String,
    pub call_id: String,
    /// Our side of From and To, tag included.
    pub local: String,
    /// The far end's side, with its tag once that is known.
    pub remote: String,
    /// The INVITE that we received; `None` if we sent it.
    pub invite: Option<Arc<Message>>,
    /// The INVITE that we sent.
    pub sent: Option<SentInvite>,
    /// The far end's responses.
    pub responses: Vec<Arc<Message>>,
    /// The address that the far end's messages come from.
    pub far_end: SocketAddr,
    /// The far end's Contact.
    pub target: Option<String>,
    pub stage: Stage,
    /// The last response that we sent.
    pub response: Option<String>,
    /// The CSeq number of the far end's last request.
    pub asked: u32,
    pub line: Line,
}

/// The INVITE of a dialog that we began.
#[derive(Clone, Debug)]
pub(super) struct SentInvite {
    pub uri: String,
    pub sequence: u32,
    pub branch: String,
    pub proven: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Early,
    Answered,
    Confirmed,
    Over,
}

/// The media of a dialog.
#[derive(Debug)]
pub(super) struct Line {
    host: IpAddr,
    port: u16,
    pub sound: Option<Sound>,
    /// Its video and its fax, if it has a voice.
    pub video: Option<Stream>,
    pub fax: Option<Stream>,
    version: u32,
    pub direction: Direction,
    /// Our last session description and the far end's. Empty at first.
    pub ours: String,
    pub theirs: String,
}

fn deaf_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // No socket listens there, because these phones receive no media.
    10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 1000 * 6
}

impl Line {
    pub fn new(script: &Script, host: IpAddr) -> Self {
        let sound = script.voice.map(|voice| Sound::start(voice, host));
        let stream = |voice| Stream::start(voice, host);
        let (video, fax) = (script.voice.map(stream), script.voice.map(stream));
        Self {
            host,
            port: sound.as_ref().map_or_else(deaf_port, |s| s.port),
            sound,
            video,
            fax,
            version: 0,
            direction: Direction::Both,
            ours: String::new(),
            theirs: String::new(),
        }
    }

    fn place(&mut self) -> Place {
        self.version += 1;
        let of = |stream: &Option<Stream>, beside: u16| stream.as_ref().map_or(self.port + beside, |s| s.port);
        Place {
            host: self.host,
            port: self.port,
            video_port: of(&self.video, 2),
            fax_port: of(&self.fax, 4),
            version: self.version,
            direction: self.direction,
        }
    }

    /// Our next offer.
    pub fn offer(&mut self, script: &Script) -> String {
        let place = self.place();
        self.ours = sdp::offer(script, &self.ours, place);
        self.ours.clone()
    }

    /// An offer to switch to T.38.
    pub fn fax_offer(&mut self) -> String {
        let place = self.place();
        self.ours = sdp::fax_offer(place);
        self.ours.clone()
    }

    /// The far end has rejected the last offer, so `ours` applies again.
    pub fn take_back(&mut self, ours: String) {
        self.ours = ours;
        self.speak();
    }

    /// The answer to the far end's new offer.
    pub fn answer(&mut self, script: &Script, offer: &str) -> Option<String> {
        let mut place = self.place();
        place.direction = Direction::Both;
        self.ours = sdp::answer(script, offer, place)?;
        offer.clone_into(&mut self.theirs);
        self.speak();
        Some(self.ours.clone())
    }

    /// The far end has sent its session description.
    pub fn learn(&mut self, theirs: &str) {
        if !theirs.trim().is_empty() {
            theirs.clone_into(&mut self.theirs);
            self.speak();
        }
    }

    /// Sends the media that both sides have agreed on.
    fn speak(&self) {
        let (ours, theirs) = (sdp::read(&self.ours), sdp::read(&self.theirs));
        let agreed = |kind: &str| {
            let ours = ours.of(kind).filter(|m| m.port != 0)?;
            let theirs = theirs.of(kind)?;
            Some((ours, theirs, theirs.target()?))
        };
        if let Some(sound) = &self.sound {
            let target = agreed("audio").and_then(|(ours, theirs, to)| {
                let known = |format: &&u8| [0, 8].contains(*format) && ours.formats.contains(*format);
                Some((to, *theirs.formats.iter().find(known)?))
            });
            sound.speak_to(target);
        }
        if let Some(video) = &self.video {
            let target = agreed("video").and_then(|(_, theirs, to)| Some((to, Form::Video(*theirs.formats.first()?))));
            video.send_to(target);
        }
        if let Some(fax) = &self.fax {
            fax.send_to(agreed("image").map(|(.., to)| (to, Form::Fax)));
        }
    }

    pub fn hush(&self) {
        if let Some(sound) = &self.sound {
            sound.speak_to(None);
        }
        for stream in [&self.video, &self.fax].into_iter().flatten() {
            stream.send_to(None);
        }
    }
}

impl Dialog {
    /// The dialog for an INVITE from the far end.
    pub fn begun_by(invite: &Arc<Message>, from: SocketAddr, order: usize, script: &Script) -> Self {
        let tag = unique();
        Self {
            order,
            call_id: invite.header("Call-ID").to_owned(),
            local: format!("{};tag={tag}", invite.header("To")),
            remote: invite.header("From").to_owned(),
            tag,
            invite: Some(invite.clone()),
            sent: None,
            responses: Vec::new(),
            far_end: from,
            target: invite.contact_uri().map(str::to_owned),
            stage: Stage::Early,
            response: None,
            asked: invite.sequence(),
            line: Line::new(script, from.ip()),
        }
    }

    pub fn end(&mut self) {
        self.stage = Stage::Over;
        self.line.hush();
    }
}

/// A request, ready to send.
pub(super) struct Request {
    pub text: String,
    pub sequence: u32,
    pub branch: String,
    pub to: SocketAddr,
}

impl Phone {
    /// The key of the dialog of a request from the far end.
    pub(super) fn find(&self, request: &Message) -> Option<String> {
        let (call_id, from) = (request.header("Call-ID"), request.dialog("From"));
        let state = self.lock();
        match request.tag("To") {
            Some(to) => {
                let found = state.dialogs.iter().find(|(_, d)| d.call_id == call_id && d.tag == to);
                found.map(|(key, _)| key.clone())
            }
            None => state.dialogs.contains_key(&from).then_some(from),
        }
    }

    /// A request inside a dialog; `None` if there is no such dialog.
    pub(super) fn request_within(&self, key: &str, method: &str, headers: &str, body: &str) -> Option<Request> {
        let (sequence, branch) = (self.next_sequence() + 1000, format!("z9hG4bK{}", unique()));
        let address = self.via(&branch);
        let contact = self.plain_contact();
        let state = self.lock();
        let dialog = state.dialogs.get(key)?;
        let uri = dialog.target.clone().unwrap_or_default();
        let head = format!(
            "{method} {uri} SIP/2.0\r\nVia: {address}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {sequence} {method}\r\nContact: {contact}\r\nUser-Agent: live-phone\r\n{headers}",
            dialog.local, dialog.remote, dialog.call_id,
        );
        Some(Request {
            text: finish(head, body),
            sequence,
            branch,
            to: dialog.far_end,
        })
    }

    /// Acknowledges the answer to a re-INVITE.
    pub(super) fn acknowledge_within(&self, key: &str, answer: &Message, branch: Option<&str>) {
        let sequence = answer.sequence();
        let Some(request) = self.request_within(key, "ACK", "", "") else {
            return;
        };
        let text = request.text.replace(
            &format!("CSeq: {} ACK", request.sequence),
            &format!("CSeq: {sequence} ACK"),
        );
        let text = match branch {
            Some(branch) => text.replace(&request.branch, branch),
            None => text,
        };
        self.send(&text, request.to);
    }
}
