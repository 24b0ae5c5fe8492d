//! Events that contain texts, and the ids of calls and legs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::beginnings::{Beginning, Phone};
use crate::engine::{HeldCall, LegEnd, Registration, Routing, Source, UnregisterWhy, Unregistration};
use crate::types::{Aor, CallId, LegId, NodeId, Provider, PushParams, PushToken, Target, Tokens};

/// The wall clock in all events.
pub(crate) const T0: i64 = 1_800_000_000;

/// The events that contain texts. Every thread has its own, because threads that share texts would contend for their
/// reference counts.
pub struct Cast {
    pub(crate) registers: [[Registration; 2]; 2],
    pub(crate) ends: [Unregistration; 2],
    pub(crate) calls: [HeldCall; 2],
    pub(crate) busy: LegEnd,
    pub(crate) refused: LegEnd,
    pub(crate) failed: LegEnd,
    pub(crate) hung_up: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Cast {
    /// The events for one beginning.
    pub fn of(beginning: &Beginning) -> Self {
        let aor = Aor::new("1001", "fs.test");
        let register = |phone: usize, at: usize| {
            let who = if beginning.shares_place && at == 1 { 9 } else { phone };
            let push = (beginning.phones[phone] != Phone::Desk).then(|| PushParams {
                provider: Provider::Apns,
                app: "com.example.app".into(),
                team: None,
                tokens: Tokens::Call(PushToken::new(["tok0", "tok1"][phone])),
            });
            Registration {
                aor: aor.clone(),
                call_id: ["r0", "r1"][phone].into(),
                target: Some(Target::new(format!("sofia/i/sip:{who}@h:{at}"))),
                wants_no_push: push.is_none(),
                push,
                user_agent: "".into(),
                expires: Duration::from_secs(3600),
                at: T0,
                stamp: T0 * 1_000_000,
                source: Source::Event,
            }
        };
        let end = |phone: usize| Unregistration {
            node: NodeId::FIRST,
            aor: aor.clone(),
            call_id: ["r0", "r1"][phone].into(),
            target: None,
            push: None,
            user_agent: "".into(),
            at: T0,
            stamp: T0 * 1_000_000,
            why: UnregisterWhy::ConnectionClosed,
        };
        let call = |n: u8| HeldCall {
            node: NodeId::FIRST,
            call: call(n),
            aor: aor.clone(),
            caller_number: "2".into(),
            caller_name: "".into(),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            max_wait: None,
            routing: Routing::Dialplan,
            options: beginning.options,
            query: None,
            sip_call_id: None,
        };
        let ended = |cause: &str, sip_status| LegEnd {
            cause: cause.into(),
            sip_status,
        };
        Self {
            registers: [0, 1].map(|phone| [0, 1].map(|at| register(phone, at))),
            ends: [0, 1].map(end),
            calls: [0, 1].map(call),
            busy: ended("USER_BUSY", Some(486)),
            refused: ended("CALL_REJECTED", Some(403)),
            failed: ended("RECOVERY_ON_TIMER_EXPIRE", None),
            hung_up: "ORIGINATOR_CANCEL".into(),
            name: "9".into(),
        }
    }
}

/// The id of a call.
pub(crate) fn call(n: u8) -> CallId {
    CallId(Uuid::from_u128(u128::from(n) + 1))
}

/// The id of a leg.
pub(crate) fn leg(call_number: u8, n: u8) -> LegId {
    LegId {
        call: call(call_number),
        n: u32::from(n),
    }
}
