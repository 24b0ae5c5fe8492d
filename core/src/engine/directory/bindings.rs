//! The bindings of one AOR: made, renewed, and removed.

use std::sync::Arc;
use std::time::Duration;

use super::binding::{Age, BindOutcome, Binding, InDoubt, PhoneId};
use super::entry::{AorEntry, MOST_PER_AOR};
use crate::engine::event::{Registration, Source};
use crate::types::{DeviceKey, Moment, Target};

/// Two lists differ in a registration's end by less than this.
const LIST_TO_LIST: Duration = Duration::from_secs(3);

/// FreeSWITCH keeps a registration for longer than it told the phone: `sip-expires-late-margin`, 60 s unless the
/// profile sets it.
pub const EVENT_TO_LIST: Duration = Duration::from_secs(63);

impl AorEntry {
    /// Records where a phone is: at one address, the one of its last REGISTER.
    pub(super) fn bind(
        &mut self,
        now: Moment,
        device: Option<&Arc<DeviceKey>>,
        reg: &Registration,
        target: &Target,
        age: Age,
    ) -> BindOutcome {
        let Age {
            generation,
            asked,
            may_be_over,
        } = age;
        let expires = now.plus(reg.expires);
        let is_listed = reg.source != Source::Event;
        let bindings = &mut self.bindings;
        let phone = PhoneId {
            device,
            call_id: &reg.call_id,
            target,
        };
        // It arrived after the resync began: newer than its list.
        if is_listed && bindings.iter().any(|b| phone.has(b) && b.heard >= generation) {
            return BindOutcome::default();
        }
        if is_listed
            && let Some(b) = bindings
                .iter_mut()
                .find(|b| b.target == *target && b.call_id == reg.call_id)
        {
            // Its expiry moves only if it registered while fswake was disconnected. A list has it later than an event.
            let margin = if b.alive.is_some() { EVENT_TO_LIST } else { LIST_TO_LIST };
            let refreshed = expires > b.expires.plus(margin);
            b.expires = expires;
            (b.generation, b.asked) = (generation, asked);
            let is_certain = std::mem::take(&mut b.in_doubt);
            return BindOutcome {
                is_news: refreshed || is_certain,
                ..BindOutcome::default()
            };
        }
        // A phone that moved is listed at its old place too, until that runs out: the new one lasts longer, or comes
        // later in the list.
        if is_listed && bindings.iter().any(|b| phone.has(b) && b.expires > expires) {
            return BindOutcome::default();
        }
        let is_refresh = bindings.iter().any(|b| b.target == *target && b.call_id == reg.call_id);
        bindings.retain(|b| !phone.has(b));
        let is_new = !is_listed && !is_refresh;
        // Where a user may have one registration only, whoever has registered since the list was read has replaced the
        // others.
        let is_row = matches!(reg.source, Source::Resync(_));
        let in_doubt = is_row && (may_be_over || bindings.iter().any(|b| b.heard >= generation));
        let others = is_new && bindings.iter().any(|b| b.expires > now);
        // Most users have one phone.
        bindings.reserve_exact(1);
        bindings.push(Binding {
            target: target.clone(),
            call_id: reg.call_id.clone(),
            domain: reg.aor.domain.clone(),
            user_agent: device.map_or_else(|| reg.user_agent.clone(), |_| Arc::default()),
            device: device.cloned(),
            expires,
            alive: (!is_listed).then_some(now),
            generation,
            heard: if is_listed { 0 } else { generation },
            asked,
            in_doubt,
        });
        if bindings.len() > MOST_PER_AOR {
            bindings.remove(0);
        }
        BindOutcome {
            is_news: !in_doubt,
            is_new,
            in_doubt: match in_doubt {
                true => InDoubt::Itself,
                false if others => InDoubt::Others,
                false => InDoubt::Nothing,
            },
        }
    }

    /// Whether a phone is registered at this address.
    pub fn is_bound_to(&self, target: &Target, now: Moment) -> bool {
        self.bindings.iter().any(|b| b.expires > now && b.target == *target)
    }

    /// Whether a device is registered somewhere.
    pub fn is_bound(&self, device: &DeviceKey, now: Moment) -> bool {
        let its = |b: &Binding| b.expires > now && b.device.as_deref() == Some(device);
        self.bindings.iter().any(its)
    }
}
