//! Early media of a phone that rings alone, as FreeSWITCH's `bridge` passes it on: the caller is bridged with the leg
//! before it answers, and from then on FreeSWITCH itself connects the call or ends it.

use std::sync::Arc;

use super::end::End;
use super::{Call, Phase};
use crate::engine::command::HoldResult;
use crate::engine::event::{DirectoryQuery, LegEnd, Verdict};
use crate::engine::options::{EarlyMedia, Ringing};
use crate::engine::order::{CallOrder, Connect};
use crate::engine::party::LegState;
use crate::engine::step::Step;
use crate::engine::world::World;

impl Call {
    /// Whether the caller may hear early media from a leg of this call: no other phone could answer.
    pub(super) fn rings_alone(&self) -> bool {
        let options = self.held.options;
        let is_ours = options.ringing == Ringing::Ours && !self.is_asked(DirectoryQuery::WhoRings);
        let is_wanted = options.early_media == EarlyMedia::PassedOn;
        self.parties.len() == 1 && is_wanted && is_ours && !options.wait_any
    }

    /// 183 with media on a leg that was to ring alone.
    pub fn on_early_media(&mut self, n: u32, codec: Option<Arc<str>>, world: &mut World) {
        if self.held.options.early_media == EarlyMedia::Rings {
            return self.on_ringing(n, world);
        }
        self.on_progress(n, world);
        let Some(p) = self.party_of_leg(n) else { return };
        let rings = self.parties[p].leg.is(LegState::Ringing);
        if self.phase != Phase::Holding || !rings || !self.rings_alone() {
            return;
        }
        self.phase = Phase::Connecting(n);
        // FreeSWITCH may connect the two at any moment, so the record has to be written before.
        self.record(Some(self.parties[p].label()), false, world);
        let leg = self.leg_id(n);
        let early = true;
        self.order(CallOrder::Connect(Connect { leg, codec, early }), world);
    }

    /// The caller hears the phone's early media.
    pub fn on_early_bridged(&mut self, n: u32, world: &mut World) {
        if self.phase != Phase::Connecting(n) {
            return;
        }
        self.phase = Phase::Early(n);
        let Some(p) = self.party_of_leg(n) else { return };
        let device = self.parties[p].label();
        self.note(world, Step::EarlyMedia { device });
        if self.parties[p].leg.is(LegState::Answered) {
            self.connected(n, world);
        }
    }

    /// The phone ended before it answered: FreeSWITCH has answered the caller with that, or goes on in the dialplan.
    pub(super) fn on_early_ended(&mut self, n: u32, end: &LegEnd, world: &mut World) {
        let Some(p) = self.party_of_leg(n) else { return };
        let Some(leg) = self.parties[p].leg.take_own() else {
            return;
        };
        self.note_leg_ended(p, &leg, end, world);
        self.parties[p].leave();
        let result = match end.verdict() {
            Verdict::Declined { .. } => HoldResult::Declined,
            _ if end.is_picked_off() => HoldResult::Taken,
            _ => HoldResult::Timeout,
        };
        self.end(End::of_channel(result, &end.cause), world);
    }
}
