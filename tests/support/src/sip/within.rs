//! What either side can do during a call: hang up, hold, change codecs, transfer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dialog::{Dialog, Line, Stage};
use super::sdp::{self, Direction, Session};
use super::stream::Stream;
use super::{Message, Noise, Phone, Script, What};

/// One phone's side of a call.
#[derive(Clone)]
pub struct Leg {
    phone: Phone,
    key: String,
}

impl Phone {
    /// Its calls that are up, oldest first.
    pub fn legs(&self) -> Vec<Leg> {
        let state = self.lock();
        let up = state.dialogs.iter().filter(|(_, d)| d.stage == Stage::Confirmed);
        let mut up: Vec<_> = up.map(|(key, d)| (d.order, key.clone())).collect();
        up.sort();
        up.into_iter().map(|(_, key)| Leg::new(self.clone(), key)).collect()
    }

    /// All its calls, oldest first, including finished ones.
    pub fn all_legs(&self) -> Vec<Leg> {
        let state = self.lock();
        let mut all: Vec<_> = state.dialogs.iter().map(|(key, d)| (d.order, key.clone())).collect();
        all.sort();
        all.into_iter().map(|(_, key)| Leg::new(self.clone(), key)).collect()
    }

    /// Hangs up all its calls.
    pub async fn hang_up(&self) {
        for leg in self.legs() {
            leg.hang_up().await;
        }
    }

    /// Waits for the answer to a re-INVITE.
    pub(super) fn heard_response_within(&self, message: Message, status: u16) {
        if status < 200 {
            return;
        }
        let Some(key) = self.find_own(&message) else { return };
        let waiter = self.lock().answers.remove(&(message.sequence(), "INVITE".to_owned()));
        if status < 300 {
            let mut state = self.lock();
            if let Some(dialog) = state.dialogs.get_mut(&key) {
                dialog.line.learn(&message.body);
            }
        }
        let via = message.header("Via").to_owned();
        let branch = via.split("branch=").nth(1).and_then(|b| b.split(';').next());
        self.acknowledge_within(&key, &message, branch.filter(|_| status >= 300));
        if let Some(waiter) = waiter {
            let _ = waiter.send(message);
        }
    }

    /// The dialog of a response to one of this phone's requests.
    fn find_own(&self, response: &Message) -> Option<String> {
        let (call_id, tag) = (response.header("Call-ID"), response.tag("From")?);
        let state = self.lock();
        let mut all = state.dialogs.iter();
        let found = all.find(|(_, d)| d.call_id == call_id && d.tag == tag);
        found.map(|(key, _)| key.clone())
    }
}

impl Leg {
    pub(super) fn new(phone: Phone, key: String) -> Self {
        Self { phone, key }
    }

    /// Hangs up, if the call is up.
    pub async fn hang_up(&self) {
        let up = {
            let mut state = self.phone.lock();
            let dialog = state.dialogs.get_mut(&self.key);
            dialog
                .filter(|d| d.stage == Stage::Confirmed)
                .map(Dialog::end)
                .is_some()
        };
        if up {
            self.ask("BYE", "", "").await;
        }
    }

    /// Sends a request inside the call. Returns its answer. Every header ends with a line end.
    pub async fn ask(&self, method: &str, headers: &str, body: &str) -> Option<Message> {
        let request = self.phone.request_within(&self.key, method, headers, body)?;
        self.phone
            .transact(&request.text, request.sequence, method, request.to)
            .await
    }

    /// Offers these codecs and this direction from now on. Returns the status of the answer, or 0 without one.
    pub async fn reinvite(&self, codecs: &[u8], direction: Direction) -> u16 {
        let script = Script {
            codecs: codecs.to_vec(),
            ..self.phone.lock().script.clone()
        };
        self.offer(|line| {
            line.direction = direction;
            line.offer(&script)
        })
        .await
    }

    /// Offers T.38 instead of the current media. Returns the status of the answer, or 0 without one.
    pub async fn offer_fax(&self) -> u16 {
        self.offer(Line::fax_offer).await
    }

    /// Sends a re-INVITE. Returns the status of the answer, or 0 without one.
    async fn offer(&self, describe: impl FnOnce(&mut Line) -> String) -> u16 {
        let (before, offer) = {
            let mut state = self.phone.lock();
            let Some(dialog) = state.dialogs.get_mut(&self.key) else {
                return 0;
            };
            (dialog.line.ours.clone(), describe(&mut dialog.line))
        };
        let answer = self.ask("INVITE", "", &offer).await;
        let status = answer.and_then(|m| m.status()).unwrap_or_default();
        if !(200..300).contains(&status)
            && let Some(dialog) = self.phone.lock().dialogs.get_mut(&self.key)
        {
            dialog.line.take_back(before);
        }
        status
    }

    /// Transfers the far end to a number (blind transfer). Returns the status of the answer.
    pub async fn refer(&self, number: &str) -> u16 {
        let domain = &self.phone.account().domain;
        self.refer_to(&format!("<sip:{number}@{domain}>")).await
    }

    /// Connects the far ends of two of its calls (attended transfer). Returns the status of the answer.
    pub async fn refer_to_far_end_of(&self, other: &Leg) -> u16 {
        let to = {
            let state = self.phone.lock();
            let Some(dialog) = state.dialogs.get(&other.key) else {
                return 0;
            };
            let uri = dialog.remote.split(['<', '>']).nth(1).unwrap_or_default();
            let theirs = dialog.remote.split(";tag=").nth(1).unwrap_or_default();
            format!(
                "<{uri}?Replaces={}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{}>",
                dialog.call_id, dialog.tag
            )
        };
        self.refer_to(&to).await
    }

    async fn refer_to(&self, to: &str) -> u16 {
        let account = self.phone.account();
        let by = format!("<sip:{}@{}>", account.user, account.domain);
        let headers = format!("Refer-To: {to}\r\nReferred-By: {by}\r\n");
        let answer = self.ask("REFER", &headers, "").await;
        answer.and_then(|m| m.status()).unwrap_or_default()
    }

    /// The far end's last session description.
    pub fn theirs(&self) -> Session {
        let state = self.phone.lock();
        let dialog = state.dialogs.get(&self.key);
        dialog.map(|d| sdp::read(&d.line.theirs)).unwrap_or_default()
    }

    /// The audio addresses in the far end's SDP and in the phone's.
    pub fn ours(&self) -> Session {
        let state = self.phone.lock();
        let dialog = state.dialogs.get(&self.key);
        dialog.map(|d| sdp::read(&d.line.ours)).unwrap_or_default()
    }

    /// Sends these digits, if the phone has a voice.
    pub fn press(&self, digits: &[u8]) {
        let state = self.phone.lock();
        let sound = state.dialogs.get(&self.key).and_then(|d| d.line.sound.as_ref());
        if let Some(sound) = sound {
            sound.press(digits);
        }
    }

    /// What it has received, with times.
    pub fn heard(&self) -> Vec<(Instant, Noise)> {
        let state = self.phone.lock();
        let sound = state.dialogs.get(&self.key).and_then(|d| d.line.sound.as_ref());
        sound.map(super::sound::Sound::heard).unwrap_or_default()
    }

    /// What it receives within this time from now on.
    pub async fn listen(&self, time: Duration) -> Vec<Noise> {
        let from = Instant::now();
        tokio::time::sleep(time).await;
        let heard = self.heard();
        heard.iter().filter(|(at, _)| *at > from).map(|(_, n)| *n).collect()
    }

    /// Whose video it receives within this time from now on: the sender's voice for each packet.
    pub async fn watch_video(&self, time: Duration) -> Vec<Option<u8>> {
        self.watch(time, |line| &line.video).await
    }

    /// Whose T.38 it receives within this time from now on.
    pub async fn watch_fax(&self, time: Duration) -> Vec<Option<u8>> {
        self.watch(time, |line| &line.fax).await
    }

    async fn watch(&self, time: Duration, of: impl Fn(&Line) -> &Option<Stream>) -> Vec<Option<u8>> {
        let from = Instant::now();
        tokio::time::sleep(time).await;
        let state = self.phone.lock();
        let stream = state.dialogs.get(&self.key).and_then(|d| of(&d.line).as_ref());
        let came = stream.map(Stream::received).unwrap_or_default();
        came.into_iter()
            .filter(|(at, _)| *at > from)
            .map(|(_, voice)| voice)
            .collect()
    }

    /// Whether the call is up.
    pub fn is_up(&self) -> bool {
        let state = self.phone.lock();
        state
            .dialogs
            .get(&self.key)
            .is_some_and(|d| d.stage == Stage::Confirmed)
    }

    /// What the far end has sent in this call, in order: its INVITE or its responses to ours, and other requests.
    pub fn messages(&self) -> Vec<Arc<Message>> {
        let mut all: Vec<Arc<Message>> = {
            let state = self.phone.lock();
            let dialog = state.dialogs.get(&self.key);
            let begun = dialog.map(|d| d.invite.iter().chain(&d.responses).cloned().collect());
            begun.unwrap_or_default()
        };
        for happening in self.phone.happenings() {
            if let What::Asked(message) = happening.what
                && happening.dialog == self.key
            {
                all.push(message);
            }
        }
        all.sort_by_key(|m| m.at);
        all
    }

    /// The far end's Reason for its BYE or CANCEL; `None` if it sent neither.
    pub fn end(&self) -> Option<String> {
        let of_this = self.phone.happenings().into_iter().filter(|h| h.dialog == self.key);
        of_this.into_iter().find_map(|h| match h.what {
            What::Ended(reason) | What::Cancelled(reason) => Some(reason.unwrap_or_default()),
            _ => None,
        })
    }
}
