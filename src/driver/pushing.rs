//! A push's own task: the loop hands it over and gets its outcome.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tracing::{error, info_span, warn};

use super::DriverLoop;
use crate::clock::unix_now;
use crate::engine::Event;
use crate::input::Input;
use crate::types::push::{KeptBy, PushError, PushKind, PushOutcome, PushRequest};

impl DriverLoop {
    /// Sends a push on a task of its own. A call push is given up when its call is over: a phone must not be woken for
    /// it.
    pub(super) fn push(&mut self, request: PushRequest) {
        let pushers = self.d.pushers.clone();
        let inputs = self.d.inputs.clone();
        let push = request.id;
        let about = request.call();
        let call_id = about.map(|about| tracing::field::display(about.call));
        let span = info_span!("push", call.id = call_id, aor = %request.callee);
        let line = about
            .filter(|about| about.kind == PushKind::Call)
            .and_then(|about| Some((about.held_at, self.calls.get_mut(&about.call)?)));
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
        let task = async move {
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
