//! Calls to the phone, and other requests of a call's far end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dialog::{Dialog, Stage};
use super::{Message, Phone, RETRANSMIT, Reaction, What};

/// How long a phone takes to switch to T.38, as real ones do.
const CHANGES_TO_FAX: Duration = Duration::from_millis(100);

impl Phone {
    pub(super) fn heard_invite(&self, message: Message, from: SocketAddr) {
        if let Some(key) = self.find(&message) {
            return self.heard_invite_again(&key, message, from);
        }
        let key = message.dialog("From");
        let mut state = self.lock();
        let script = state.script.clone();
        if script.on_invite == Reaction::Silent {
            return;
        }
        let (at, invite) = (message.at, Arc::new(message));
        let dialog = Dialog::begun_by(&invite, from, state.dialogs.len(), &script);
        state.dialogs.insert(key.clone(), dialog);
        drop(state);
        self.happened(at, &key, What::Invited(invite.clone()));
        self.send(&self.response(&invite, 100, None, ""), from);
        let phone = self.clone();
        tokio::spawn(async move { phone.react(&key, script.ring_after).await });
    }

    /// Handles a repeated INVITE, or a re-INVITE, which is accepted.
    fn heard_invite_again(&self, key: &str, message: Message, from: SocketAddr) {
        let (again, tag, is_new) = {
            let mut state = self.lock();
            let dialog = state.dialogs.get_mut(key).expect("the dialog was found above");
            let is_new = message.sequence() != dialog.asked && message.tag("To").is_some();
            dialog.asked = message.sequence();
            (dialog.response.clone(), dialog.tag.clone(), is_new)
        };
        if is_new {
            let answer = self.describe(key, &message.body);
            let response = match answer {
                Some(answer) => self.response(&message, 200, Some(&tag), &answer),
                None => self.response(&message, 488, Some(&tag), ""),
            };
            if let Some(dialog) = self.lock().dialogs.get_mut(key) {
                dialog.response = Some(response.clone());
            }
            let is_fax = message.body.contains("m=image");
            self.happened(message.at, key, What::Asked(Arc::new(message)));
            if !is_fax {
                return self.send(&response, from);
            }
            let phone = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(CHANGES_TO_FAX).await;
                phone.send(&response, from);
            });
        } else if let Some(again) = again {
            self.send(&again, from);
        }
    }

    /// Our answer to an offer, by the current script.
    fn describe(&self, key: &str, offer: &str) -> Option<String> {
        let mut state = self.lock();
        let script = state.script.clone();
        state.dialogs.get_mut(key)?.line.answer(&script, offer)
    }

    /// Handles a request other than INVITE, ACK, CANCEL and BYE.
    pub(super) fn heard_request(&self, message: Message, from: SocketAddr) {
        let key = self.find(&message);
        let status = if message.method() == "REFER" { 202 } else { 200 };
        let offers = message.method() == "UPDATE" && message.body.contains("m=");
        let body = match &key {
            Some(key) if offers => self.describe(key, &message.body).unwrap_or_default(),
            _ => String::new(),
        };
        self.send(&self.response(&message, status, None, &body), from);
        if message.method() != "OPTIONS" {
            self.happened(message.at, &key.unwrap_or_default(), What::Asked(Arc::new(message)));
        }
    }

    /// Handles an INVITE by the current script.
    async fn react(&self, key: &str, after: Duration) {
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        let script = self.lock().script.clone();
        match script.on_invite {
            Reaction::Silent => {}
            Reaction::Decline(status) => self.answer_with(key, status, "", What::Declined(status)),
            Reaction::Redirect => self.answer_with(key, 302, "", What::Declined(302)),
            Reaction::Ring => self.ring(key, script.early_media),
            Reaction::Answer(after) => {
                self.ring(key, script.early_media);
                tokio::time::sleep(after).await;
                self.pick_up_dialog(key).await;
            }
        }
    }

    fn ring(&self, key: &str, early_media: bool) {
        let early = if early_media { self.answer_to_invite(key) } else { None };
        match early {
            Some(sdp) => self.answer_with(key, 183, &sdp, What::Rang),
            None => self.answer_with(key, 180, "", What::Rang),
        }
    }

    /// The answer to the INVITE's offer. It is the same in 183 and 200.
    fn answer_to_invite(&self, key: &str) -> Option<String> {
        let (offer, said) = {
            let state = self.lock();
            let dialog = state.dialogs.get(key)?;
            let offer = dialog.invite.as_ref().map(|i| i.body.clone()).unwrap_or_default();
            (offer, dialog.line.ours.clone())
        };
        if said.is_empty() {
            self.describe(key, &offer)
        } else {
            Some(said)
        }
    }

    /// Answers the ringing call.
    pub async fn pick_up(&self) {
        match self.ringing() {
            Some(key) => self.pick_up_dialog(&key).await,
            None => panic!("phone {} does not ring; {}", self.account().user, self.story()),
        }
    }

    /// The ringing call.
    fn ringing(&self) -> Option<String> {
        let ringing = |d: &Dialog| d.stage == Stage::Early && d.invite.is_some();
        let state = self.lock();
        let mut all = state.dialogs.iter();
        all.find(|(_, d)| ringing(d)).map(|(key, _)| key.clone())
    }

    /// As [`Phone::pick_up`], but does not wait for the far end's ACK.
    pub fn pick_up_soon(&self) {
        let phone = self.clone();
        tokio::spawn(async move { phone.pick_up().await });
    }

    /// Answers the ringing call without waiting for the far end's ACK. Returns false if no call rings.
    pub fn answer_soon(&self) -> bool {
        let Some(key) = self.ringing() else { return false };
        let phone = self.clone();
        tokio::spawn(async move { phone.pick_up_dialog(&key).await });
        true
    }

    /// Refuses the ringing call with this status, if there is one.
    pub fn refuse(&self, status: u16) {
        if let Some(key) = self.ringing() {
            self.answer_with(&key, status, "", What::Declined(status));
        }
    }

    async fn pick_up_dialog(&self, key: &str) {
        let early = self.lock().dialogs.get(key).is_some_and(|d| d.stage == Stage::Early);
        if !early {
            return;
        }
        let Some(answer) = self.answer_to_invite(key) else {
            self.answer_with(key, 488, "", What::Declined(488));
            return;
        };
        self.answer_with(key, 200, &answer, What::Answered);
        for _ in 0..8 {
            tokio::time::sleep(RETRANSMIT).await;
            let again = {
                let state = self.lock();
                let waits = state.dialogs.get(key).filter(|d| d.stage == Stage::Answered);
                waits.and_then(|d| Some((d.response.clone()?, d.far_end)))
            };
            let Some((response, to)) = again else { return };
            self.send(&response, to);
        }
    }

    fn answer_with(&self, key: &str, status: u16, body: &str, what: What) {
        let (invite, tag, to) = {
            let state = self.lock();
            let Some(dialog) = state.dialogs.get(key).filter(|d| d.stage == Stage::Early) else {
                return;
            };
            let Some(invite) = dialog.invite.clone() else { return };
            (invite, dialog.tag.clone(), dialog.far_end)
        };
        let mut response = self.response(&invite, status, Some(&tag), body);
        if status == 302 {
            let to = self.lock().script.redirect_to.clone();
            let (head, rest) = response.split_once("Contact: ").unwrap_or((&response, ""));
            let rest = rest.split_once("\r\n").map_or("", |(_, rest)| rest);
            response = format!("{head}Contact: <{to}>\r\n{rest}");
        }
        if let Some(dialog) = self.lock().dialogs.get_mut(key) {
            dialog.response = Some(response.clone());
            match status {
                ..200 => dialog.stage = Stage::Early,
                200 => dialog.stage = Stage::Answered,
                _ => dialog.end(),
            }
        }
        self.send(&response, to);
        self.happened(Instant::now(), key, what);
    }

    pub(super) fn heard_cancel(&self, message: &Message, from: SocketAddr) {
        let key = message.dialog("From");
        self.send(&self.response(message, 200, None, ""), from);
        let early = |d: &Dialog| d.stage == Stage::Early;
        if self.lock().dialogs.get(&key).is_some_and(early) {
            self.answer_with(&key, 487, "", What::Cancelled(message.reason()));
        }
    }

    pub(super) fn heard_ack(&self, message: &Message) {
        let Some(key) = self.find(message) else { return };
        let confirmed = {
            let mut state = self.lock();
            let dialog = state.dialogs.get_mut(&key).expect("the dialog was found above");
            dialog.line.learn(&message.body);
            let first = dialog.stage == Stage::Answered;
            if first {
                dialog.stage = Stage::Confirmed;
            }
            first
        };
        if confirmed {
            self.happened(message.at, &key, What::Confirmed);
        }
    }

    pub(super) fn heard_bye(&self, message: &Message, from: SocketAddr) {
        self.send(&self.response(message, 200, None, ""), from);
        let Some(key) = self.find(message) else { return };
        let ended = {
            let mut state = self.lock();
            let dialog = state.dialogs.get_mut(&key).expect("the dialog was found above");
            let ended = dialog.stage != Stage::Over;
            dialog.end();
            ended
        };
        if ended {
            self.happened(message.at, &key, What::Ended(message.reason()));
        }
    }
}
