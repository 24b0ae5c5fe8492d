//! Calls from the phone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::auth::Challenge;
use super::dialog::{Dialog, Line, SentInvite, Stage};
use super::{Leg, Message, PATIENCE, Phone, RETRANSMIT, What, finish, unique};

/// A call that the phone placed.
#[derive(Clone)]
pub struct OutgoingCall {
    phone: Phone,
    dialog: String,
    /// When the INVITE was sent.
    pub started: Instant,
    uri: String,
}

impl Phone {
    /// Places a call.
    pub fn call(&self, number: &str) -> OutgoingCall {
        self.call_as(number, &unique())
    }

    /// Places a call with this Call-ID.
    pub fn call_as(&self, number: &str, call_id: &str) -> OutgoingCall {
        let account = self.account().clone();
        let (tag, sequence) = (unique(), self.next_sequence());
        let uri = format!("sip:{number}@{}", account.domain);
        let key = format!("{call_id} {tag}");
        {
            let mut state = self.lock();
            let script = state.script.clone();
            let (order, display) = (state.dialogs.len(), &state.display);
            let mut line = Line::new(&script, account.server.ip());
            line.offer(&script);
            let dialog = Dialog {
                order,
                local: format!("{display}<sip:{}@{}>;tag={tag}", account.user, account.domain),
                remote: format!("<{uri}>"),
                tag,
                call_id: call_id.to_owned(),
                invite: None,
                sent: Some(SentInvite {
                    uri: uri.clone(),
                    sequence,
                    branch: format!("z9hG4bK{}", unique()),
                    proven: false,
                }),
                responses: Vec::new(),
                far_end: account.server,
                target: None,
                stage: Stage::Early,
                response: None,
                asked: 0,
                line,
            };
            state.dialogs.insert(key.clone(), dialog);
        }
        let started = Instant::now();
        self.send_invite(&key, "");
        let call = OutgoingCall {
            phone: self.clone(),
            dialog: key,
            started,
            uri,
        };
        let waiting = call.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(RETRANSMIT).await;
                if waiting.was_heard() {
                    return;
                }
                waiting.phone.send_invite(&waiting.dialog, "");
            }
        });
        call
    }

    /// Our INVITE, with or without the credentials that the server requires.
    fn send_invite(&self, key: &str, proof: &str) {
        let headers: String = {
            let state = self.lock();
            let own = state.script.headers.iter();
            own.flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect()
        };
        let Some((sent, offer)) = self.sent(key) else { return };
        let head = self.request_of(key, "INVITE", &sent.uri, sent.sequence, &sent.branch);
        self.send(&finish(head + &headers + proof, &offer), self.account().server);
    }

    fn sent(&self, key: &str) -> Option<(SentInvite, String)> {
        let state = self.lock();
        let dialog = state.dialogs.get(key)?;
        Some((dialog.sent.clone()?, dialog.line.ours.clone()))
    }

    /// A request of the INVITE transaction: the INVITE, its ACK or its CANCEL.
    fn request_of(&self, key: &str, method: &str, uri: &str, sequence: u32, branch: &str) -> String {
        let (via, contact) = (self.via(branch), self.plain_contact());
        let state = self.lock();
        let dialog = &state.dialogs[key];
        let to = match method {
            "CANCEL" => dialog.remote.split(";tag=").next().unwrap_or_default(),
            _ => &dialog.remote,
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\n\
             CSeq: {sequence} {method}\r\nContact: {contact}\r\nUser-Agent: live-phone\r\n",
            dialog.local, dialog.call_id,
        )
    }

    pub(super) fn heard_response(&self, message: Message, status: u16) {
        let (key, sequence) = (message.dialog("From"), message.sequence());
        if self.sent(&key).is_none_or(|(sent, _)| sent.sequence != sequence) {
            return self.heard_response_within(message, status);
        }
        if matches!(status, 401 | 407) && self.prove(&key, &message) {
            return;
        }
        let (at, message) = (message.at, Arc::new(message));
        let news = {
            let mut state = self.lock();
            let Some(dialog) = state.dialogs.get_mut(&key) else {
                return;
            };
            message.header("To").clone_into(&mut dialog.remote);
            let news = status < 200 || dialog.stage == Stage::Early;
            if news {
                dialog.responses.push(message.clone());
                dialog.line.learn(&message.body);
            }
            if status >= 200 {
                if let Some(contact) = message.contact_uri() {
                    dialog.target = Some(contact.to_owned());
                }
                match status {
                    ..300 if news => dialog.stage = Stage::Confirmed,
                    300.. => dialog.end(),
                    _ => {}
                }
            }
            news
        };
        if status >= 200 {
            self.acknowledge(&key, status);
        }
        if news {
            self.happened(at, &key, What::Response(status));
        }
    }

    /// Sends the INVITE again with credentials, only once.
    fn prove(&self, key: &str, message: &Message) -> bool {
        let Some(mut challenge) = Challenge::read(message) else {
            return false;
        };
        self.acknowledge(key, 407);
        let sequence = self.next_sequence();
        let uri = {
            let mut state = self.lock();
            let sent = state.dialogs.get_mut(key).and_then(|d| d.sent.as_mut());
            let Some(sent) = sent.filter(|s| !s.proven) else {
                return false;
            };
            sent.proven = true;
            sent.sequence = sequence;
            sent.branch = format!("z9hG4bK{}", unique());
            sent.uri.clone()
        };
        let proof = challenge.prove(self.account(), "INVITE", &uri);
        self.send_invite(key, &proof);
        true
    }

    fn acknowledge(&self, key: &str, status: u16) {
        let Some((sent, _)) = self.sent(key) else { return };
        let (uri, branch) = if status < 300 {
            let target = self.lock().dialogs[key].target.clone();
            (target.unwrap_or(sent.uri), format!("z9hG4bK{}", unique()))
        } else {
            (sent.uri, sent.branch)
        };
        let ack = self.request_of(key, "ACK", &uri, sent.sequence, &branch);
        self.send(&finish(ack, ""), self.account().server);
    }
}

impl OutgoingCall {
    fn was_heard(&self) -> bool {
        let state = self.phone.lock();
        let dialog = state.dialogs.get(&self.dialog);
        dialog.is_none_or(|d| !d.responses.is_empty() || d.sent.as_ref().is_none_or(|s| s.proven))
    }

    /// Waits up to `patience` for a matching response, unless it is there already.
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

    /// Waits for the final response. Fails the test if there is none.
    pub async fn outcome(&self) -> u16 {
        self.outcome_at().await.1
    }

    /// Waits for the final response, and returns its time of arrival.
    pub async fn outcome_at(&self) -> (Instant, u16) {
        self.outcome_within(PATIENCE).await
    }

    /// Waits this long for the final response. Fails the test if there is none.
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
        self.answers().iter().filter_map(|m| m.status()).collect()
    }

    /// All responses so far, as complete messages.
    pub fn answers(&self) -> Vec<Arc<Message>> {
        let state = self.phone.lock();
        let dialog = state.dialogs.get(&self.dialog);
        dialog.map(|d| d.responses.clone()).unwrap_or_default()
    }

    /// This call, for what both callers and callees can do.
    pub fn leg(&self) -> Leg {
        Leg::new(self.phone.clone(), self.dialog.clone())
    }

    /// Cancels the call, once there has been a response.
    pub async fn cancel(&self) {
        let _ = self.response_within(PATIENCE, |_| true).await;
        let Some((sent, _)) = self.phone.sent(&self.dialog) else {
            return;
        };
        let cancel = self
            .phone
            .request_of(&self.dialog, "CANCEL", &self.uri, sent.sequence, &sent.branch);
        let server = self.phone.account().server;
        let _ = self
            .phone
            .transact(&finish(cancel, ""), sent.sequence, "CANCEL", server)
            .await;
    }

    /// Hangs up.
    pub async fn hang_up(&self) {
        self.leg().hang_up().await;
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
        let ended = |h: &super::StoryEvent| h.dialog == self.dialog && matches!(h.what, What::Ended(_));
        self.phone.expect("BYE to the caller", ended).await.at
    }
}
