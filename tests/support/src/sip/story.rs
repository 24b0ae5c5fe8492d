//! Records what happened to a phone, and waits for it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Message, PATIENCE, Phone};

/// Events of a phone.
#[derive(Clone, Debug)]
pub enum What {
    /// A REGISTER was answered with this status.
    Registered(u16),
    /// An INVITE arrived (once for each dialog, not for retransmissions).
    Invited(Arc<Message>),
    /// The phone sent 180.
    Rang,
    /// The phone sent 200.
    Answered,
    /// The phone sent this refusal.
    Declined(u16),
    /// The far end acknowledged the phone's 200.
    Confirmed,
    /// The far end cancelled, with this Reason.
    Cancelled(Option<String>),
    /// The far end hung up, with this Reason.
    Ended(Option<String>),
    /// The far end answered the phone's INVITE with this status.
    Response(u16),
    /// The far end sent another request, such as re-INVITE, UPDATE, INFO, NOTIFY or REFER.
    Asked(Arc<Message>),
}

/// A recorded event.
#[derive(Clone, Debug)]
pub struct StoryEvent {
    /// Its time.
    pub at: Instant,
    /// Its dialog (Call-ID and tag); empty for registrations.
    pub dialog: String,
    /// The event itself.
    pub what: What,
}

impl Phone {
    pub(super) fn happened(&self, at: Instant, dialog: &str, what: What) {
        let mut state = self.lock();
        state.happenings.push(StoryEvent {
            at,
            dialog: dialog.to_owned(),
            what,
        });
        let count = state.happenings.len();
        drop(state);
        self.inner.changes.send_replace(count);
    }

    /// All events so far.
    pub fn happenings(&self) -> Vec<StoryEvent> {
        self.lock().happenings.clone()
    }

    /// How often something happened.
    pub fn count(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.lock().happenings.iter().filter(|h| wanted(&h.what)).count()
    }

    /// Waits until something happens, unless it has already. Fails the test if it does not.
    pub async fn expect(&self, name: &str, wanted: impl Fn(&StoryEvent) -> bool) -> StoryEvent {
        match self.wait(PATIENCE, wanted).await {
            Some(happening) => happening,
            None => panic!(
                "phone {}: no {name} within {PATIENCE:?}; {}",
                self.inner.account.user,
                self.story()
            ),
        }
    }

    /// Waits up to `patience` until something happens, unless it has already.
    pub async fn wait(&self, patience: Duration, wanted: impl Fn(&StoryEvent) -> bool) -> Option<StoryEvent> {
        let mut changes = self.inner.changes.subscribe();
        let find = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.lock().happenings.iter().find(|h| wanted(h)) {
                    return found.clone();
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(patience, find).await.ok()
    }

    /// The record as text.
    pub fn story(&self) -> String {
        let state = self.lock();
        let Some(first) = state.happenings.first().map(|h| h.at) else {
            return "nothing happened".to_owned();
        };
        let mut story = "what happened:".to_owned();
        for h in &state.happenings {
            let what = match &h.what {
                What::Invited(invite) => format!("Invited, From {}", invite.header("From")),
                What::Asked(request) => format!("Asked, {}", request.start),
                what => format!("{what:?}"),
            };
            let ms = (h.at - first).as_millis();
            let _ = write!(story, "\n  {ms:>6} ms [{}] {what}", h.dialog);
        }
        story
    }

    /// Waits until this many of its REGISTERs were accepted. Returns the time of the last one.
    pub async fn registered(&self, times: usize) -> Instant {
        let mut changes = self.inner.changes.subscribe();
        let find = async {
            loop {
                changes.mark_unchanged();
                let accepted = |h: &&StoryEvent| matches!(h.what, What::Registered(200));
                if let Some(nth) = self.happenings().iter().filter(accepted).nth(times - 1) {
                    return nth.at;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, find).await.ok();
        found.unwrap_or_else(|| {
            let user = &self.inner.account.user;
            panic!("phone {user}: fewer than {times} REGISTERs; {}", self.story())
        })
    }

    /// Waits for the first INVITE.
    pub async fn invited(&self) -> Arc<Message> {
        let found = self.expect("INVITE", |h| matches!(h.what, What::Invited(_))).await;
        let What::Invited(invite) = found.what else {
            unreachable!()
        };
        invite
    }

    /// How many INVITEs arrived.
    pub fn invites(&self) -> usize {
        self.count(|w| matches!(w, What::Invited(_)))
    }

    /// The time between the answer to its last REGISTER and its last INVITE.
    pub fn invited_after(&self) -> Duration {
        let all = self.happenings();
        let last = |is: fn(&What) -> bool| all.iter().rev().find(|h| is(&h.what)).map(|h| h.at);
        let registered = last(|w| matches!(w, What::Registered(200))).expect("a REGISTER");
        let invited = last(|w| matches!(w, What::Invited(_))).expect("an INVITE");
        invited.saturating_duration_since(registered)
    }

    /// Waits until it rings.
    pub async fn rang(&self) -> Instant {
        self.expect("ringing", |h| matches!(h.what, What::Rang)).await.at
    }

    /// Waits until its answer is acknowledged.
    pub async fn on_the_line(&self) -> Instant {
        self.expect("answered call", |h| matches!(h.what, What::Confirmed))
            .await
            .at
    }

    /// Waits until it has declined.
    pub async fn declined(&self) -> Instant {
        self.expect("decline", |h| matches!(h.what, What::Declined(_))).await.at
    }

    /// Waits for a CANCEL; returns its time and Reason.
    pub async fn cancelled(&self) -> (Instant, String) {
        let found = self.expect("CANCEL", |h| matches!(h.what, What::Cancelled(_))).await;
        let What::Cancelled(reason) = found.what else {
            unreachable!()
        };
        (found.at, reason.unwrap_or_default())
    }

    /// Waits for a BYE; returns its time and Reason.
    pub async fn ended(&self) -> Instant {
        self.expect("BYE", |h| matches!(h.what, What::Ended(_))).await.at
    }
}
