//! Notifications: pushes on request, without a call.
//!
//! One push per device that has a token of the type asked for; when all have ended, one answer. No timer: every push
//! ends in exactly one outcome.
//!
//! Races, each with its test in `tests/notifications.rs`:
//! - the phone registers with another token while its push is under way: a refusal of the old one does not affect the
//!   new;
//! - the device is forgotten while its push is under way: the answer still comes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::command::{Command, Delivery, DeviceDelivery, Nobody, NotSent, Note};
use super::directory::{AorKey, Binding, KnownDevice};
use super::event::{Audience, Notification};
use super::ids::IdMap;
use super::limits::Windows;
use super::ordered_hash::ordered_hash;
use super::step::Step;
use super::world::{PendingPush, Purpose, World};
use crate::types::push::{About, NotificationPurpose, NotificationPush, PushOutcome, PushRequest};
use crate::types::{Aor, DeviceKey, NotificationId, PushParams, PushToken, TokenType, app_id};

/// Notifications whose pushes are under way.
#[derive(Clone, Debug, Default)]
pub struct Notifications {
    open: IdMap<NotificationId, Open>,
    /// How many each device got in its minute. Not in the directory, because few devices get any.
    recent: Windows,
}

impl Hash for Notifications {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { open, recent } = self;
        ordered_hash(open, state);
        recent.hash(state);
    }
}

#[derive(Clone, Debug, Hash)]
struct Open {
    aor: Aor,
    under_way: usize,
    delivery: Delivery,
}

/// A device that the notification is for.
struct Recipient {
    key: Arc<DeviceKey>,
    label: Arc<str>,
    token: PushToken,
    to: PushParams,
    /// Why its token is not used, if it is not.
    set_aside: Option<Arc<str>>,
}

impl Notifications {
    /// Pushes to every device that it is for; answers at once if there is none.
    pub fn ask(&mut self, id: NotificationId, asked: &Notification, key: &AorKey, world: &mut World) {
        let (recipients, nobody) = match recipients(asked, key, world) {
            Ok(recipients) => (recipients, None),
            Err(nobody) => (Vec::new(), Some(nobody)),
        };
        if asked.audience != Audience::All
            && let Some(nobody) = nobody
        {
            // Every chat message of the site comes here; those that need no push are not recorded.
            return answer_nobody(id, nobody, world);
        }
        let step = Step::NotificationAsked {
            by: asked.by,
            token_type: asked.token_type.as_str(),
            app: asked.app.clone(),
            devices: count(recipients.len()),
        };
        note(&asked.aor, step, world);
        let mut open = Open {
            aor: asked.aor.clone(),
            under_way: 0,
            delivery: Delivery {
                devices: Vec::with_capacity(recipients.len()),
                nobody,
            },
        };
        for mut to in recipients {
            let refused = if let Some(reason) = to.set_aside.take() {
                Some(NotSent::SetAside(reason))
            } else {
                let most = world.policy.device_notifications_per_minute;
                (!self.recent.admit(world.now, &to.label, most)).then_some(NotSent::Limited)
            };
            if let Some(why) = refused {
                open.refuse(to.label, why, world);
            } else {
                open.under_way += 1;
                push(id, asked, to, key, world);
            }
        }
        self.open.insert(id, open);
        self.answer_if_done(id, world);
    }

    /// One of its pushes ended.
    pub fn on_push_ended(&mut self, id: NotificationId, device: &DeviceKey, outcome: &PushOutcome, world: &mut World) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.under_way = open.under_way.saturating_sub(1);
        let label = device.label().into();
        match outcome {
            Ok(receipt) => {
                let step = Step::NotificationAccepted {
                    device: Arc::clone(&label),
                    provider_id: receipt.provider_id.as_deref().map(Arc::from),
                    status: receipt.status,
                    attempts: receipt.attempts,
                };
                note(&open.aor, step, world);
                open.delivery.devices.push(DeviceDelivery {
                    device: label,
                    outcome: Ok(receipt.clone()),
                });
            }
            Err(error) => open.refuse(label, NotSent::Push(error.clone()), world),
        }
        self.answer_if_done(id, world);
    }

    fn answer_if_done(&mut self, id: NotificationId, world: &mut World) {
        if self.open.get(&id).is_none_or(|open| open.under_way > 0) {
            return;
        }
        let Some(Open { aor, delivery, .. }) = self.open.remove(&id) else {
            return;
        };
        let sent = delivery.sent();
        let step = Step::NotificationOver {
            sent: count(sent),
            not_sent: count(delivery.devices.len() - sent),
            reason: delivery.nobody.map(|why| why.as_str().into()),
        };
        note(&aor, step, world);
        world.out.push_back(Command::Answer(id, delivery));
    }
}

impl Open {
    fn refuse(&mut self, device: Arc<str>, why: NotSent, world: &mut World) {
        let step = Step::NotificationRefused {
            device: Arc::clone(&device),
            reason: why.to_string().into(),
        };
        note(&self.aor, step, world);
        self.delivery.devices.push(DeviceDelivery {
            device,
            outcome: Err(why),
        });
    }
}

fn recipients(asked: &Notification, key: &AorKey, world: &World) -> Result<Vec<Recipient>, Nobody> {
    let devices = world.directory.entry(key).map_or(&[][..], |e| &e.devices);
    if devices.is_empty() {
        return Err(Nobody::NoDevice);
    }
    let of_app: Vec<_> = devices.iter().filter(|d| is_for(d, asked.app.as_deref())).collect();
    if of_app.is_empty() {
        return Err(Nobody::NoSuchApp);
    }
    let with_token: Vec<_> = of_app
        .into_iter()
        .filter_map(|known| recipient(known, asked.token_type))
        .collect();
    if with_token.is_empty() {
        return Err(Nobody::NoToken);
    }
    match asked.audience {
        Audience::All => return Ok(with_token),
        Audience::WantsVoicemail => {
            let wants = |to: &Recipient| world.policy.app(&to.key).is_some_and(|app| app.voicemail_push);
            let wanting: Vec<_> = with_token.into_iter().filter(wants).collect();
            return if wanting.is_empty() {
                Err(Nobody::NotWanted)
            } else {
                Ok(wanting)
            };
        }
        Audience::Absent => {}
    }
    let is_present = |device: &DeviceKey| {
        let live = |b: &Binding| b.expires > world.now && b.device.as_deref() == Some(device);
        world.directory.entry(key).is_some_and(|e| e.bindings.iter().any(live))
    };
    let absent: Vec<_> = with_token.into_iter().filter(|to| !is_present(&to.key)).collect();
    if absent.is_empty() {
        return Err(Nobody::AllPresent);
    }
    Ok(absent)
}

/// It was for nobody.
pub(super) fn answer_nobody(id: NotificationId, nobody: Nobody, world: &mut World) {
    let delivery = Delivery {
        devices: Vec::new(),
        nobody: Some(nobody),
    };
    world.out.push_back(Command::Answer(id, delivery));
}

fn recipient(known: &KnownDevice, kind: TokenType) -> Option<Recipient> {
    let token = known.device.push.token_for(kind)?.clone();
    // Only the identifying token is set aside; another one of the device may still be good.
    let set_aside = known.device.set_aside.clone().filter(|_| token == known.key.token);
    Some(Recipient {
        key: known.key.clone(),
        label: known.label.clone(),
        token,
        to: known.device.push.clone(),
        set_aside,
    })
}

fn push(notification: NotificationId, asked: &Notification, recipient: Recipient, key: &AorKey, world: &mut World) {
    let Recipient {
        key: device, token, to, ..
    } = recipient;
    let domain = device.aor.domain.clone();
    let id = world.pushes.begin(PendingPush {
        key: key.clone(),
        device,
        purpose: Purpose::Notification(notification, token),
        since: world.now,
    });
    world.out.push_back(Command::Push(Box::new(PushRequest {
        id,
        to,
        about: About::Notification(NotificationPush {
            purpose: match asked.audience {
                Audience::WantsVoicemail => NotificationPurpose::Voicemail(notification),
                Audience::All | Audience::Absent => NotificationPurpose::Request(notification),
            },
            token_type: asked.token_type,
            payload: Arc::clone(&asked.payload),
        }),
        callee: asked.aor.clone(),
        domain,
        ttl: match asked.token_type {
            TokenType::Voip => world.policy.max_wait,
            TokenType::Im => world.policy.notification_ttl,
        },
    })));
}

/// Whether this is a device's app; it may be named like Apple's voip topic, or with its team.
fn is_for(known: &KnownDevice, app: Option<&str>) -> bool {
    let own = &known.device.push;
    app.is_none_or(|app| {
        app_id::stands_for(&own.provider, app, &own.app) || app_id::stands_for(&own.provider, &own.app, app)
    })
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn note(aor: &Aor, step: Step, world: &mut World) {
    world.out.push_back(Command::Note(Note {
        call: None,
        aor: aor.clone(),
        step,
    }));
}
