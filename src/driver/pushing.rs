//! A push's own task: the loop hands it over and gets its outcome.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tracing::{debug, error, info_span, warn};

use super::{Driver, DriverLoop};
use crate::clock::unix_now;
use crate::engine::Event;
use crate::esl::nodes::Nodes;
use crate::esl::peers::{News, Told, WakeNews};
use crate::input::Input;
use crate::types::push::{KeptBy, PushError, PushKind, PushOutcome, PushPurpose, PushReceipt, PushRequest};
use crate::types::{NodeId, PushId, UnixSeconds};

impl DriverLoop {
    /// Sends a push on a task of its own. A call push is given up when its call is over: a phone must not be woken for
    /// it.
    pub(super) fn push(&mut self, request: PushRequest) {
        if request.about.purpose() == PushPurpose::Refresh && !self.d.duty.is_on_duty() {
            // The process on duty sends its own. This one has no outcome to tell.
            return;
        }
        let pushers = self.d.pushers.clone();
        let inputs = self.d.inputs.clone();
        let push = request.id;
        let about = request.call();
        let call_id = about.map(|about| tracing::field::display(about.call));
        let span = info_span!("push", call.id = call_id, aor = %request.callee);
        let line = about
            .filter(|about| about.kind == PushKind::Call)
            .and_then(|about| Some((about.held_at, self.calls.get_mut(&about.call)?)));
        let news = line
            .as_ref()
            .and_then(|(_, line)| self.d.news_of(&request, line.node, !line.pushed));
        // The first push of a call shows how long it took to be sent.
        let first = line
            .as_ref()
            .filter(|(_, line)| !line.pushed)
            .map(|(held_at, _)| *held_at);
        let over = line.map(|(_, line)| {
            line.pushed = true;
            line.over.clone()
        });
        let over = over.unwrap_or_default();
        let warned = self.push_warned.clone();
        let metrics = self.d.metrics.clone();
        let claim = self.d.claim(&request);
        let task = async move {
            if let Some((nodes, claim)) = claim
                && !(nodes.claim(&claim[0]).await && nodes.claim(&claim[1]).await)
            {
                debug!(claim = claim[0], "another fswake sends this push");
                let _ = inputs.send(Input::Event(sent_by_another(push))).await;
                return;
            }
            // Looked up once, so that the app that serves the push is also the one that counts it.
            let app = pushers.app_of(&request);
            let counted = app
                .as_ref()
                .ok()
                .map(|app| Arc::clone(app.metrics(|name, provider| metrics.app(name, provider))));
            if let Some(held_at) = first {
                metrics.first_push(held_at.elapsed().unwrap_or_default());
            }
            let under_way = counted.as_ref().map(|app| app.under_way());
            let began = Instant::now();
            let outcome = tokio::select! {
                outcome = whatever_happens(async {
                    match app {
                        Ok(app) => pushers.push_by(app, &request).await,
                        Err(error) => Err(error),
                    }
                }) => outcome,
                () = over.cancelled() => Err(PushError::CallOver),
            };
            drop(under_way);
            // A push that was refused wakes nobody: then another fswake must not wait for it.
            if let Some((told, news)) = news.filter(|_| outcome.is_ok()) {
                // Without it a phone may be pushed twice.
                let _ = told.try_send(news);
            }
            match counted {
                Some(app) => app.pushed(&request.about, &outcome, began.elapsed()),
                None => metrics.unserved(),
            }
            if let Err(error @ (PushError::Misconfigured { .. } | PushError::NoApp { .. })) = &outcome
                && warned.is_due(&error.to_string(), Instant::now())
            {
                warn!(device = request.to.token().fingerprint(), %error, "push refused: an operator must act");
            }
            let ended = Event::PushEnded {
                push,
                outcome,
                at: unix_now(),
            };
            let _ = inputs.send(Input::Event(ended)).await;
        };
        self.d.tasks.spawn(tracing::Instrument::instrument(task, span));
    }
}

impl Driver {
    /// What other fswakes are told when a provider has taken a push for a call, and through whom.
    fn news_of(&self, request: &PushRequest, node: NodeId, is_first: bool) -> Option<(mpsc::Sender<Told>, Told)> {
        let about = request.call().filter(|_| self.nodes.key().is_some())?;
        let caller = if is_first {
            about.caller_number.to_string()
        } else {
            String::new()
        };
        let wake = WakeNews {
            user: request.callee.user.to_string(),
            domain: request.domain.to_string(),
            device: request.device().public_id().0,
            caller,
        };
        let through = self.connections.get(node.index())?.news.clone();
        Some((through, Told::now(News::Wake(wake))))
    }

    /// What has to be claimed before this push, where there are several fswakes: each of them finds at the same time
    /// that a phone has to register again.
    fn claim(&self, request: &PushRequest) -> Option<(Nodes, [String; 2])> {
        if request.about.purpose() != PushPurpose::Refresh || self.nodes.are_alone() {
            return None;
        }
        let minutes = overlapping_minutes(unix_now());
        let device = request.device().public_id();
        Some((
            self.nodes.clone(),
            minutes.map(|half| format!("refresh-{device}-{half}")),
        ))
    }
}

/// The two minutes that a time is in, by their first half: one begins with an even half, the other with an odd one. Two
/// times that are less than half a minute apart have one of them in common.
fn overlapping_minutes(now: UnixSeconds) -> [i64; 2] {
    let half = now.div_euclid(30);
    [half & !1, ((half + 1) & !1) - 1]
}

/// How a push ends that another fswake sends.
fn sent_by_another(push: PushId) -> Event {
    Event::PushEnded {
        push,
        outcome: Ok(PushReceipt {
            provider_id: None,
            status: 200,
            attempts: 0,
        }),
        at: unix_now(),
    }
}

/// The outcome of a push, also if a bug ends it: the call, or whoever asked, waits for it.
async fn whatever_happens(push: impl Future<Output = PushOutcome>) -> PushOutcome {
    let outcome = AssertUnwindSafe(push).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        error!("a bug in fswake ended a push");
        Err(PushError::Exhausted {
            kept_by: KeptBy::Us,
            reason: "a bug in fswake".into(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_close_have_a_minute_in_common() {
        for now in 1_800_000_000..1_800_000_120 {
            for later in now..now + 30 {
                let (one, other) = (overlapping_minutes(now), overlapping_minutes(later));
                assert!(one[0] == other[0] || one[1] == other[1], "{now} {later}");
            }
            // A claim is forgotten after a minute.
            let (one, other) = (overlapping_minutes(now), overlapping_minutes(now + 60));
            assert!(one.iter().all(|minute| !other.contains(minute)), "{now}");
        }
    }

    #[tokio::test]
    async fn push_that_a_defect_ends_has_an_outcome() {
        let ended = whatever_happens(async { panic!("a defect") }).await;
        assert!(matches!(ended, Err(PushError::Exhausted { .. })), "{ended:?}");
        let gone = Err(PushError::TokenGone {
            since: None,
            reason: "gone".into(),
        });
        assert_eq!(whatever_happens(async { gone.clone() }).await, gone);
    }
}
