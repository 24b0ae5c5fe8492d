//! Calls, to the phone and from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::sdp;
use super::{Message, PATIENCE, Phone, RETRANSMIT, Reaction, What, finish, unique};

/// One dialog of a phone.
#[derive(Debug)]
pub(super) struct Dialog {
    /// Our tag.
    tag: String,
    call_id: String,
    /// The INVITE that we got; `None` when we sent it.
    invite: Option<Arc<Message>>,
    /// Our INVITE's URI, number and branch.
    sent: Option<(String, u32, String)>,
    /// Where the far end's messages come from.
    far_end: SocketAddr,
    /// The far end's Contact.
    remote: Option<String>,
    remote_to: String,
    state: Stage,
    /// The last response that we sent.
    response: Option<String>,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Early,
    Answered,
    Confirmed,
    Over,
}

/// A call that the phone placed.
#[derive(Clone)]
pub struct OutgoingCall {
    phone: Phone,
    dialog: String,
    /// When the INVITE was sent.
    pub started: Instant,
    sequence: u32,
    branch: String,
    uri: String,
}

fn media_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Nobody listens there: these phones are deaf.
    10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 3000 * 2
}

impl Phone {
    pub(super) fn heard_invite(&self, message: Message, from: SocketAddr) {
        let key = message.dialog("From");
        let mut state = self.lock();
        let script = state.script.clone();
        if let Some(dialog) = state.dialogs.get(&key) {
            let again = dialog.response.clone();
            let (tag, port, confirmed) = (dialog.tag.clone(), dialog.port, dialog.state == Stage::Confirmed);
            drop(state);
            if confirmed && message.tag("To").is_some() {
                // A re-INVITE: agree with whatever it says.
                let codec = sdp::choose(&script.codecs, &message.body).unwrap_or(script.codecs[0]);
                self.send(
                    &self.response(&message, 200, Some(&tag), &sdp::write(&[codec], port)),
                    from,
                );
            } else if let Some(again) = again {
                self.send(&again, from);
            }
            return;
        }
        if script.on_invite == Reaction::Silent {
            return;
        }
        let (at, invite) = (message.at, Arc::new(message));
        let trying = Dialog {
            tag: unique(),
            call_id: invite.header("Call-ID").to_owned(),
            invite: Some(invite.clone()),
            sent: None,
            far_end: from,
            remote: invite.contact_uri().map(str::to_owned),
            remote_to: String::new(),
            state: Stage::Early,
            response: None,
            port: media_port(),
        };
        state.dialogs.insert(key.clone(), trying);
        drop(state);
        self.happened(at, &key, What::Invited(invite.clone()));
        self.send(&self.response(&invite, 100, None, ""), from);
        let phone = self.clone();
        tokio::spawn(async move { phone.react(&key, script.ring_after).await });
    }

    /// Does with an INVITE what the script says by now.
    async fn react(&self, key: &str, after: Duration) {
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        let script = self.lock().script.clone();
        match script.on_invite {
            Reaction::Silent => {}
            Reaction::Decline(status) => self.answer_with(key, status, "", What::Declined(status)),
            Reaction::Ring => self.answer_with(key, 180, "", What::Rang),
            Reaction::Answer(after) => {
                self.answer_with(key, 180, "", What::Rang);
                tokio::time::sleep(after).await;
                self.pick_up_dialog(key).await;
            }
        }
    }

    /// Answers the call that rings.
    pub async fn pick_up(&self) {
        let ringing = |d: &Dialog| d.state == Stage::Early && d.invite.is_some();
        let key = self
            .lock()
            .dialogs
            .iter()
            .find(|(_, d)| ringing(d))
            .map(|(key, _)| key.clone());
        match key {
            Some(key) => self.pick_up_dialog(&key).await,
            None => panic!("phone {} does not ring; {}", self.account().user, self.story()),
        }
    }

    /// As [`Phone::pick_up`], without waiting for the far end's ACK.
    pub fn pick_up_soon(&self) {
        let phone = self.clone();
        tokio::spawn(async move { phone.pick_up().await });
    }

    async fn pick_up_dialog(&self, key: &str) {
        let answer = {
            let state = self.lock();
            let Some(dialog) = state.dialogs.get(key).filter(|d| d.state == Stage::Early) else {
                return;
            };
            let offer = dialog.invite.as_ref().map(|i| i.body.clone()).unwrap_or_default();
            let codecs = &state.script.codecs;
            sdp::choose(codecs, &offer).map(|codec| sdp::write(&[codec], dialog.port))
        };
        let Some(answer) = answer else {
            self.answer_with(key, 488, "", What::Declined(488));
            return;
        };
        self.answer_with(key, 200, &answer, What::Answered);
        for _ in 0..8 {
            tokio::time::sleep(RETRANSMIT).await;
            let again = {
                let state = self.lock();
                let waits = state.dialogs.get(key).filter(|d| d.state == Stage::Answered);
                waits.and_then(|d| Some((d.response.clone()?, d.far_end)))
            };
            let Some((response, to)) = again else { return };
            self.send(&response, to);
        }
    }

    fn answer_with(&self, key: &str, status: u16, body: &str, what: What) {
        let (invite, tag, to) = {
            let state = self.lock();
            let Some(dialog) = state.dialogs.get(key).filter(|d| d.state == Stage::Early) else {
                return;
            };
            let Some(invite) = dialog.invite.clone() else { return };
            (invite, dialog.tag.clone(), dialog.far_end)
        };
        let response = self.response(&invite, status, Some(&tag), body);
        if let Some(dialog) = self.lock().dialogs.get_mut(key) {
            dialog.response = Some(response.clone());
            dialog.state = match status {
                ..200 => Stage::Early,
                200 => Stage::Answered,
                _ => Stage::Over,
            };
        }
        self.send(&response, to);
        self.happened(Instant::now(), key, what);
    }

    pub(super) fn heard_cancel(&self, message: &Message, from: SocketAddr) {
        let key = message.dialog("From");
        self.send(&self.response(message, 200, None, ""), from);
        let early = self
            .lock()
            .dialogs
            .get(&key)
            .is_some_and(|dialog| dialog.state == Stage::Early);
        if early {
            self.answer_with(&key, 487, "", What::Cancelled(message.reason()));
        }
    }

    pub(super) fn heard_ack(&self, message: &Message) {
        let key = message.dialog("From");
        let confirmed = {
            let mut state = self.lock();
            let dialog = state.dialogs.get_mut(&key).filter(|d| d.state == Stage::Answered);
            dialog.map(|dialog| dialog.state = Stage::Confirmed).is_some()
        };
        if confirmed {
            self.happened(message.at, &key, What::Confirmed);
        }
    }

    pub(super) fn heard_bye(&self, message: &Message, from: SocketAddr) {
        self.send(&self.response(message, 200, None, ""), from);
        let call_id = message.header("Call-ID");
        let to = message.tag("To").unwrap_or_default().to_owned();
        let key = {
            let mut state = self.lock();
            let found = state
                .dialogs
                .iter_mut()
                .find(|(_, d)| d.call_id == call_id && d.tag == to && d.state != Stage::Over);
            found.map(|(key, dialog)| {
                dialog.state = Stage::Over;
                key.clone()
            })
        };
        if let Some(key) = key {
            self.happened(message.at, &key, What::Ended(message.reason()));
        }
    }

    /// Places a call.
    pub fn call(&self, number: &str) -> OutgoingCall {
        self.call_as(number, &unique())
    }

    /// Places a call with this Call-ID.
    pub fn call_as(&self, number: &str, call_id: &str) -> OutgoingCall {
        let account = self.account().clone();
        let (sequence, branch, tag, port) = (
            self.next_sequence(),
            format!("z9hG4bK{}", unique()),
            unique(),
            media_port(),
        );
        let uri = format!("sip:{number}@{}", account.domain);
        let dialog = format!("{call_id} {tag}");
        let codecs = self.lock().script.codecs.clone();
        let invite = self.request("INVITE", &uri, call_id, &tag, &format!("<{uri}>"), sequence, &branch);
        let invite = finish(invite, &sdp::write(&codecs, port));
        self.lock().dialogs.insert(
            dialog.clone(),
            Dialog {
                tag,
                call_id: call_id.to_owned(),
                invite: None,
                sent: Some((uri.clone(), sequence, branch.clone())),
                far_end: account.server,
                remote: None,
                remote_to: format!("<{uri}>"),
                state: Stage::Early,
                response: None,
                port,
            },
        );
        let started = Instant::now();
        self.send(&invite, account.server);
        let call = OutgoingCall {
            phone: self.clone(),
            dialog,
            started,
            sequence,
            branch,
            uri,
        };
        let waiting = call.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                let answered = waiting.response_within(RETRANSMIT, |_| true).await;
                if answered.is_some() {
                    return;
                }
                waiting.phone.send(&invite, account.server);
            }
        });
        call
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a request line and its headers")]
    fn request(
        &self,
        method: &str,
        uri: &str,
        call_id: &str,
        tag: &str,
        to: &str,
        sequence: u32,
        branch: &str,
    ) -> String {
        let account = self.account();
        let display = self.lock().display.clone();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};rport;branch={branch}\r\nMax-Forwards: 70\r\n\
             From: {display}<sip:{}@{}>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {sequence} {method}\r\n\
             Contact: {}\r\nUser-Agent: live-phone\r\n",
            self.address(),
            account.user,
            account.domain,
            self.plain_contact(),
        )
    }

    pub(super) fn heard_response(&self, message: &Message, status: u16) {
        let key = message.dialog("From");
        let news = {
            let mut state = self.lock();
            let Some(dialog) = state.dialogs.get_mut(&key) else {
                return;
            };
            message.header("To").clone_into(&mut dialog.remote_to);
            let news = status < 200 || dialog.state == Stage::Early;
            if status >= 200 {
                if let Some(contact) = message.contact_uri() {
                    dialog.remote = Some(contact.to_owned());
                }
                if news {
                    dialog.state = if status < 300 { Stage::Confirmed } else { Stage::Over };
                }
            }
            news
        };
        if status >= 200 {
            self.acknowledge(&key, status);
        }
        if news {
            self.happened(message.at, &key, What::Response(status));
        }
    }

    fn acknowledge(&self, key: &str, status: u16) {
        let parts = {
            let state = self.lock();
            let Some(dialog) = state.dialogs.get(key) else { return };
            let Some((uri, sequence, branch)) = dialog.sent.clone() else {
                return;
            };
            let (uri, branch) = if status < 300 {
                (dialog.remote.clone().unwrap_or(uri), format!("z9hG4bK{}", unique()))
            } else {
                (uri, branch)
            };
            (
                uri,
                sequence,
                branch,
                dialog.call_id.clone(),
                dialog.tag.clone(),
                dialog.remote_to.clone(),
            )
        };
        let (uri, sequence, branch, call_id, tag, to) = parts;
        let ack = self.request("ACK", &uri, &call_id, &tag, &to, sequence, &branch);
        self.send(&finish(ack, ""), self.account().server);
    }

    /// Hangs up every call that it is in.
    pub async fn hang_up(&self) {
        let up: Vec<String> = {
            let state = self.lock();
            let up = state.dialogs.iter().filter(|(_, d)| d.state == Stage::Confirmed);
            up.map(|(key, _)| key.clone()).collect()
        };
        for key in up {
            self.hang_up_dialog(&key).await;
        }
    }

    async fn hang_up_dialog(&self, key: &str) {
        let sequence = self.next_sequence() + 1000;
        let address = self.address();
        let bye = {
            let mut state = self.lock();
            let Some(dialog) = state.dialogs.get_mut(key).filter(|d| d.state == Stage::Confirmed) else {
                return;
            };
            dialog.state = Stage::Over;
            let uri = dialog.remote.clone().unwrap_or_default();
            let (from, to) = if let Some(invite) = &dialog.invite {
                let own = format!("{};tag={}", invite.header("To"), dialog.tag);
                (own, invite.header("From").to_owned())
            } else {
                let account = self.account();
                let own = format!("<sip:{}@{}>;tag={}", account.user, account.domain, dialog.tag);
                (own, dialog.remote_to.clone())
            };
            let call_id = &dialog.call_id;
            format!(
                "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport;branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
                 From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {sequence} BYE\r\nContent-Length: 0\r\n\r\n",
                unique(),
            )
        };
        let server = self.account().server;
        let _ = self.transact(&bye, sequence, "BYE", server).await;
    }
}

impl OutgoingCall {
    /// Waits so long for a response that is wanted, or came already.
    pub async fn response_within(&self, patience: Duration, wanted: impl Fn(u16) -> bool) -> Option<(Instant, u16)> {
        let found = self
            .phone
            .wait(patience, |h| {
                h.dialog == self.dialog && matches!(h.what, What::Response(status) if wanted(status))
            })
            .await?;
        match found.what {
            What::Response(status) => Some((found.at, status)),
            _ => None,
        }
    }

    /// Waits for the final response; fails the test when there is none.
    pub async fn outcome(&self) -> u16 {
        self.outcome_at().await.1
    }

    /// Waits for the final response, and says when it came.
    pub async fn outcome_at(&self) -> (Instant, u16) {
        self.outcome_within(PATIENCE).await
    }

    /// Waits so long for the final response; fails the test when there is none.
    pub async fn outcome_within(&self, patience: Duration) -> (Instant, u16) {
        match self.response_within(patience, |status| status >= 200).await {
            Some(outcome) => outcome,
            None => panic!("call to {} has no final response; {}", self.uri, self.phone.story()),
        }
    }

    /// Waits until the far end rings.
    pub async fn ringing(&self) -> Instant {
        let found = self.response_within(PATIENCE, |s| s == 180 || s == 183).await;
        match found {
            Some((at, _)) => at,
            None => panic!("call to {} does not ring; {}", self.uri, self.phone.story()),
        }
    }

    /// All responses so far.
    pub fn responses(&self) -> Vec<u16> {
        let of_this = self.phone.happenings().into_iter().filter(|h| h.dialog == self.dialog);
        of_this
            .filter_map(|h| match h.what {
                What::Response(status) => Some(status),
                _ => None,
            })
            .collect()
    }

    /// Cancels, once there is a response to cancel.
    pub async fn cancel(&self) {
        let _ = self.response_within(PATIENCE, |_| true).await;
        let (tag, call_id) = {
            let state = self.phone.lock();
            let dialog = &state.dialogs[&self.dialog];
            (dialog.tag.clone(), dialog.call_id.clone())
        };
        let to = format!("<{}>", self.uri);
        let cancel = self
            .phone
            .request("CANCEL", &self.uri, &call_id, &tag, &to, self.sequence, &self.branch);
        let server = self.phone.account().server;
        let _ = self
            .phone
            .transact(&finish(cancel, ""), self.sequence, "CANCEL", server)
            .await;
    }

    /// Hangs up.
    pub async fn hang_up(&self) {
        self.phone.hang_up_dialog(&self.dialog).await;
    }

    /// Whether the far end has hung up.
    pub fn is_ended(&self) -> bool {
        let happenings = self.phone.happenings();
        happenings
            .iter()
            .any(|h| h.dialog == self.dialog && matches!(h.what, What::Ended(_)))
    }

    /// Waits until the far end hangs up.
    pub async fn ended(&self) -> Instant {
        let ended = |h: &super::Happening| h.dialog == self.dialog && matches!(h.what, What::Ended(_));
        self.phone.expect("BYE to the caller", ended).await.at
    }
}
