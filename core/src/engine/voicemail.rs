//! Voicemail: a mailbox has changed, and the phones whose app wants that are told.
//!
//! FreeSWITCH says what a mailbox holds more often than it changes: for every SUBSCRIBE and REGISTER that asks, and FusionPBX
//! once for every profile. One change is one push.

use std::sync::Arc;

use serde_json::{Map, json};

use super::Engine;
use super::command::Nobody;
use super::event::{Audience, Mailbox, MessagesWaiting, Notification};
use super::notification::answer_nobody;
use crate::types::push::Payload;
use crate::types::{NotificationId, TokenType};

impl Engine {
    pub(super) fn messages_waiting(&mut self, id: NotificationId, told: &MessagesWaiting) {
        let key = self.key_of(&told.aor, told.at);
        let world = &mut self.world;
        let Some(before) = world.directory.mailbox(&key, told.mailbox) else {
            return answer_nobody(id, Nobody::NoDevice, world);
        };
        let has_changed = match before {
            Some(before) => before != told.mailbox,
            // What it held before this daemon started is not known.
            None => !told.is_answer && told.mailbox.new > 0,
        };
        if !has_changed {
            return answer_nobody(id, Nobody::Unchanged, world);
        }
        let notification = Notification {
            aor: told.aor.clone(),
            token_type: TokenType::Im,
            app: None,
            payload: Arc::new(payload(told.mailbox, before.unwrap_or_default())),
            audience: Audience::WantsVoicemail,
            by: "voicemail",
            at: told.at,
        };
        self.notifications.ask(id, &notification, &key, world);
    }
}

/// With a text only where a message has come: that others were heard or deleted is for the app's badge.
fn payload(now: Mailbox, before: Mailbox) -> Payload {
    let Mailbox {
        new,
        saved,
        new_urgent,
        saved_urgent,
    } = now;
    let mut keys = Map::new();
    if new > before.new || new_urgent > before.new_urgent {
        keys.insert("title".into(), "Voicemail".into());
        keys.insert("body".into(), format!("New messages: {new}").into());
        keys.insert("sound".into(), "default".into());
    }
    keys.insert("badge".into(), new.into());
    let own = json!({
        "kind": "voicemail",
        "new": new,
        "saved": saved,
        "new_urgent": new_urgent,
        "saved_urgent": saved_urgent,
    });
    keys.insert("custom".into(), own);
    Payload::from(keys)
}
