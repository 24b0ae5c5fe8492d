//! Legs: dialled, heard, and kept alive by their leases.

use std::sync::atomic::Ordering;

use freeswitch_esl_tokio::{EslCommand, EslError};

use super::Ring;
use super::connection::{Connection, Place};
use crate::engine::{Cause, Event, LegEnd};
use crate::esl::encode;
use crate::types::LegId;

impl Connection {
    pub(super) async fn ring(&mut self, ring: Ring) -> Result<(), EslError> {
        let leg = ring.leg;
        if self.place != Place::Held {
            // Nobody is held whom it could be bridged with. The phone is out of this call, and not out of reach.
            self.never_was(leg, "NO_ANSWER").await;
            return Ok(());
        }
        self.arm(leg.n).await?;
        let dialed = encode::Leg {
            leg,
            target: ring.target.as_str(),
            aor: &self.held.call.aor,
            sip_call_id: &ring.sip_call_id,
            timeout: ring.timeout,
            lease: self.shared.pace.lease(),
            park_timeout: ring.park_timeout,
            any_codec: ring.any_codec,
            early_media: ring.early_media,
        };
        let command = encode::originate(&dialed, &self.held.parent);
        self.ringing.push(leg);
        self.dialed.push(leg);
        self.tell(Event::LegDialed(leg)).await;
        let reply = self.link.send(EslCommand::BgApi { command }).await?;
        if !reply.is_success() {
            self.ringing.retain(|l| *l != leg);
            self.never_was(leg, "COMMAND_REFUSED").await;
        }
        // The next leg's filter is set while nobody waits for it.
        self.arm(leg.n + 1).await
    }

    /// Ends a leg; also one whose channel FreeSWITCH is only about to make.
    pub(super) async fn kill(&mut self, leg: LegId, cause: &Cause) -> Result<(), EslError> {
        let is_known = self.api(encode::kill(leg.channel(), cause.as_str())).await?;
        if !is_known && !self.ended.iter().any(|(ended, _)| *ended == leg) {
            self.api(encode::kill_later(leg.channel(), cause.as_str())).await?;
        }
        Ok(())
    }

    /// A leg that was ordered, and that FreeSWITCH has never heard of.
    async fn never_was(&self, leg: LegId, cause: &str) {
        let (cause, sip_status) = (cause.into(), None);
        let end = LegEnd { cause, sip_status };
        self.tell(Event::LegEnded { leg, end }).await;
    }

    /// Each leg has a lease at any moment: should this process end here, its legs end soon.
    pub(super) async fn renew_leases(&mut self) -> Result<(), EslError> {
        let seconds = self.shared.pace.lease();
        for leg in self.ringing.clone() {
            let renewals = self.renewals.entry(leg).or_default();
            let last = *renewals;
            *renewals += 1;
            self.api(encode::lease_renew(leg.channel(), last + 1, seconds)).await?;
            self.api(encode::lease_end(leg.channel(), last)).await?;
        }
        Ok(())
    }

    /// A leg that is to be bridged has no lease: it would end the call.
    pub(super) async fn end_lease(&mut self, leg: LegId) -> Result<(), EslError> {
        let renewals = self.renewals.get(&leg).copied().unwrap_or_default();
        self.api(encode::lease_end(leg.channel(), renewals)).await?;
        Ok(())
    }

    /// Hears the events of leg `n`, and of all before it.
    pub(super) async fn arm(&mut self, n: u32) -> Result<(), EslError> {
        while self.armed <= n {
            let leg = LegId {
                call: self.call,
                n: self.armed,
            };
            let channel = leg.channel().to_string();
            self.filter("Unique-ID", &channel).await?;
            self.legs.insert(channel, leg);
            self.armed += 1;
        }
        Ok(())
    }

    pub(super) fn count_ringing(&mut self, rings: bool) {
        if rings != self.counted {
            self.counted = rings;
            if rings {
                self.shared.ringing.fetch_add(1, Ordering::Relaxed);
            } else {
                self.shared.ringing.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
