//! Dials legs, follows their events, and keeps them alive by leases.

use freeswitch_esl_tokio::{EslCommand, EslError, EslResponse};
use tokio::time::Instant;

use super::command::{api, filter};
use super::connection::{Connection, Place};
use super::lease_time::LeaseTime;
use super::prepared_originate::PreparedOriginate;
use super::shared::Counted;
use crate::engine::{Cause, Event, LegEnd, Ring};
use crate::esl::originate::{self, Dial, Leg, Offer};
use crate::esl::{decode, encode};
use crate::types::LegId;

impl Connection {
    pub(super) async fn ring(&mut self, ring: Ring) -> Result<(), EslError> {
        let leg = ring.leg;
        if self.place != Place::Held {
            // The caller is gone: this phone is out of the call, but reachable.
            self.never_was(leg, "NO_ANSWER").await;
            return Ok(());
        }
        let audio = self.audio_of_the_profile(&ring).await?;
        let offer = match &audio {
            _ if !ring.any_codec => Offer::Callers,
            Some(audio) => Offer::Audio(audio),
            None => Offer::Any,
        };
        let lease = self.shared.lease_time.lease();
        let command = self.originate(&ring, offer, lease);
        let is_first = self.ringing.is_empty();
        self.may_not_be_taken(&ring);
        self.ringing.push(leg);
        self.dialed.push(leg);
        self.emit(Event::LegDialed(leg)).await;
        let mut commands = self.arming(leg.n);
        commands.push(EslCommand::BgApi { command });
        let replies = self.all(commands).await?;
        // FreeSWITCH makes the first lease of a leg after this reply.
        if is_first {
            self.renew_at = Instant::now() + LeaseTime::renewal(lease);
        }
        if !replies.last().is_some_and(EslResponse::is_success) {
            self.ringing.retain(|l| *l != leg);
            self.never_was(leg, "COMMAND_REFUSED").await;
        }
        Ok(())
    }

    /// The command that dials a leg: the prepared one, if it is still valid.
    fn originate(&self, ring: &Ring, offer: Offer<'_>, lease: u32) -> String {
        let (target, node) = self.route(ring);
        let dial = Dial {
            target: &target,
            node: node.as_ref(),
            leg: ring.leg,
            sip_call_id: &ring.sip_call_id,
            timeout: ring.timeout,
            park_timeout: ring.park_timeout,
            early_media: ring.early_media,
        };
        let is_good = |known: &&PreparedOriginate| {
            known.leg == ring.leg
                && known.lease >= lease
                && known.variables == self.leg(ring.leg, known.lease, offer).variables()
        };
        let prepared = self.prepared.as_ref().filter(is_good);
        prepared
            .and_then(|_| dial.command_prepared(&self.held.channel))
            .unwrap_or_else(|| dial.command(&self.leg(ring.leg, lease, offer).variables()))
    }

    /// The caller's audio codecs and those of the phone's profile: for a phone that supports none of the caller's, and
    /// a caller without video.
    async fn audio_of_the_profile(&mut self, ring: &Ring) -> Result<Option<String>, EslError> {
        let codecs = self.held.parent.codecs.clone();
        let profile = self.profile(ring).filter(|_| ring.any_codec);
        let (Some(profile), Some(codecs)) = (profile, codecs.filter(|codecs| !encode::has_video(codecs))) else {
            return Ok(None);
        };
        let status = self.ask(format!("sofia xmlstatus profile {profile}")).await?;
        Ok(decode::audio_offered(&status).map(|more| encode::and_codecs(&codecs, &more)))
    }

    fn leg<'a>(&'a self, leg: LegId, lease: u32, offer: Offer<'a>) -> Leg<'a> {
        let (aor, parent) = (&self.held.call.aor, &self.held.parent);
        // Behind a loopback, FreeSWITCH has set them there.
        let is_child = self.held.behind.is_none();
        Leg {
            leg,
            aor,
            parent,
            dial_variables: if is_child { self.callee.dial_variables() } else { &[] },
            lease,
            offer,
        }
    }

    /// The next leg to dial.
    fn next_leg(&self) -> LegId {
        let (call, n) = (self.call, self.dialed.last().map_or(0, |last| last.n + 1));
        LegId { call, n }
    }

    /// Whether there is nothing to prepare, or no time: while a phone rings, FreeSWITCH's events come first.
    pub(super) fn is_prepared(&self) -> bool {
        let lease = self.shared.lease_time.lease();
        let is_next = |known: &PreparedOriginate| known.leg == self.next_leg() && known.lease >= lease;
        self.place != Place::Held || !self.ringing.is_empty() || self.prepared.as_ref().is_some_and(is_next)
    }

    /// Stores the variables of the next leg's originate in FreeSWITCH ahead of time.
    pub(super) async fn prepare_leg(&mut self) -> Result<(), EslError> {
        let (leg, lease) = (self.next_leg(), self.shared.lease_time.lease());
        self.ask_for_callee();
        let mut variables = self.leg(leg, lease, Offer::Callers).variables();
        if !self
            .api(originate::prepare(&self.held.channel, leg, &variables))
            .await?
        {
            // It is dialled with the whole command.
            variables.clear();
        }
        self.prepared = Some(PreparedOriginate { leg, lease, variables });
        Ok(())
    }

    /// Variables for a report that clear what was prepared.
    pub(super) fn forget_prepared(&self) -> String {
        originate::forget_prepared(self.prepared.as_ref().map_or(0, |known| known.leg.n + 1))
    }

    /// Ends a leg, even if FreeSWITCH has not made its channel yet.
    pub(super) async fn kill(&mut self, leg: LegId, cause: &Cause) -> Result<(), EslError> {
        let is_known = self.api(encode::kill(leg.channel(), cause.as_str())).await?;
        if !is_known && !self.ended.iter().any(|(ended, _)| *ended == leg) {
            self.api(encode::kill_later(leg.channel(), cause.as_str())).await?;
        }
        Ok(())
    }

    /// A leg is over: it does not ring, cannot be bridged, and its originate's result does not matter.
    pub(super) fn leg_is_over(&mut self, leg: LegId, end: LegEnd) {
        self.jobs.retain(|(_, l, _)| *l != leg);
        self.ringing.retain(|l| *l != leg);
        self.parked.retain(|l| *l != leg);
        self.ended.push((leg, end));
    }

    /// A leg that was ordered, but that FreeSWITCH never got.
    async fn never_was(&self, leg: LegId, cause: &str) {
        let (cause, sip_status) = (cause.into(), None);
        let end = LegEnd { cause, sip_status };
        self.emit(Event::LegEnded { leg, end }).await;
    }

    /// Renews the leases of all legs. Each leg has one at any moment, so that legs end soon if this process dies.
    pub(super) async fn renew_leases(&mut self) -> Result<(), EslError> {
        let seconds = self.shared.lease_time.lease();
        // Not later: the answers may show that FreeSWITCH is slow, but these leases are as long as they are.
        self.renew_at = Instant::now() + LeaseTime::renewal(seconds);
        let mut commands = Vec::with_capacity(2 * self.ringing.len());
        for leg in &self.ringing {
            let renewals = self.renewals.entry(*leg).or_default();
            let last = *renewals;
            *renewals += 1;
            commands.push(api(encode::lease_renew(leg.channel(), last + 1, seconds)));
            // A busy FreeSWITCH may have made the first one after it was told to delete it.
            if last == 1 {
                commands.push(api(encode::lease_end(leg.channel(), 0)));
            }
            commands.push(api(encode::lease_end(leg.channel(), last)));
        }
        self.all(commands).await?;
        Ok(())
    }

    /// Ends the lease of a leg that is about to be bridged: it would cut the call.
    pub(super) fn lease_ends(&self, leg: LegId) -> impl Iterator<Item = EslCommand> + use<> {
        let renewals = self.renewals.get(&leg).copied().unwrap_or_default();
        let first = (renewals > 0).then_some(0);
        let all = first.into_iter().chain([renewals]);
        all.map(move |n| api(encode::lease_end(leg.channel(), n)))
    }

    /// The commands that subscribe to the events of leg `n` and of all before it.
    pub(super) fn arming(&mut self, n: u32) -> Vec<EslCommand> {
        let mut commands = Vec::new();
        while self.armed <= n {
            let leg = LegId {
                call: self.call,
                n: self.armed,
            };
            let channel = leg.channel().to_string();
            commands.push(filter("Unique-ID", &channel));
            self.legs.insert(channel, leg);
            self.armed += 1;
        }
        commands
    }

    pub(super) fn count_ringing(&mut self, rings: bool) {
        let counted = self.counted.take().filter(|_| rings);
        self.counted = counted.or_else(|| rings.then(|| Counted::new(&self.shared.ringing)));
    }
}
