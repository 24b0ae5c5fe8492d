//! What follows from a push that has ended: for its device, for the call or the asker that it was sent for, and for
//! calls that share it.

use super::Engine;
use super::command::{Command, Note};
use super::directory::AorKey;
use super::world::{PendingPush, Purpose, World};
use crate::types::push::{PushError, PushOutcome};
use crate::types::{CallId, DeviceKey, PushId, PushToken, UnixSeconds};

impl Engine {
    pub(super) fn push_ended(&mut self, push: PushId, outcome: &PushOutcome, at: UnixSeconds) {
        let Some(pending) = self.world.pushes.end(push) else {
            return;
        };
        match pending.purpose {
            // News of a call's end may go to another token of the device, and its result is not about the one that
            // wakes it.
            Purpose::News => {}
            Purpose::Wake(call) => {
                if let Err(error) = outcome {
                    self.wake_failed(push, &pending, error, at);
                }
                self.wake_ended(call, &pending, outcome);
                if let Err(error) = outcome {
                    self.ride_over(push, &pending, error);
                }
            }
            Purpose::Refresh(ref token) => {
                if let Err(error) = outcome {
                    self.judge_token(&pending.key, &pending.device, token, error, at);
                    self.refreshes.on_push_refused(&pending, error, &mut self.world);
                }
            }
            Purpose::Notification(id, token) => {
                if let Err(error) = outcome {
                    self.judge_token(&pending.key, &pending.device, &token, error, at);
                }
                let world = &mut self.world;
                self.notifications.on_push_ended(id, &pending.device, outcome, world);
            }
        }
    }

    fn wake_failed(&mut self, id: PushId, push: &PendingPush, error: &PushError, at: UnixSeconds) {
        if let Some(known) = self.world.directory.device_mut(&push.key, &push.device) {
            // That wake has ended, so no other call can share it. A later wake can be shared.
            known.last_push = known.last_push.filter(|last| last.push != id);
        }
        self.judge_token(&push.key, &push.device, &push.device.token, error, at);
    }

    /// Informs the calls that share a push that it has failed or was cancelled.
    fn ride_over(&mut self, id: PushId, push: &PendingPush, error: &PushError) {
        let entry = self.world.directory.entry(&push.key);
        let waiting = entry.map(|entry| entry.waiting.clone()).unwrap_or_default();
        for call in waiting {
            self.with(call, |call, world| call.on_ride_over(id, push, error, world));
        }
    }

    fn wake_ended(&mut self, call: CallId, push: &PendingPush, outcome: &PushOutcome) {
        if self.calls.contains_key(&call) {
            self.with(call, |call, world| match outcome {
                Ok(receipt) => call.on_push_accepted(push, receipt, world),
                Err(error) => call.on_push_refused(push, error, world),
            });
            return;
        }
        // Too late for the call, but the journal records the provider's answer.
        let device = push.device.label().into();
        let step = match outcome {
            Ok(receipt) => push.accepted(device, receipt, self.world.now),
            Err(error) => push.refused(device, error, self.world.now),
        };
        self.world.out.push_back(Command::Note(Note {
            call: Some(call),
            aor: push.device.aor.clone(),
            step,
        }));
    }

    fn judge_token(&mut self, key: &AorKey, device: &DeviceKey, token: &PushToken, error: &PushError, at: UnixSeconds) {
        let World { directory, out, .. } = &mut self.world;
        let mut out = |c| out.push_back(c);
        directory.judge(key, device, token, error, at, &mut out);
    }
}
