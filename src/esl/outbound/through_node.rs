//! Legs to a phone at another FreeSWITCH: an INVITE with a signed header to that FreeSWITCH, whose dialplan rings the
//! phone ([`super::passed_on`]).
//!
//! Without the snippet there, or with an ACL that refuses this host, that FreeSWITCH answers by itself, with 403 or 404
//! as a phone might. But a leg that was taken is noted there (mod_hash). So before the end of a leg that never rang
//! is believed to be the phone's, that FreeSWITCH is asked.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::warn;

use super::connection::Connection;
use super::taken_legs::REMEMBERED;
use crate::clock::unix_now;
use crate::engine::node::Via;
use crate::engine::{Event, LegEnd, Ring};
use crate::esl::encode::{self, seconds_up};
use crate::esl::leg_token::{LegClaims, TOLD};
use crate::esl::originate::ViaNode;
use crate::input::Input;
use crate::types::LegId;

/// How long a leg's note is there for sure.
const NOTED: Duration = Duration::from_secs(REMEMBERED.as_secs() - 10);
/// How long the other FreeSWITCH may take to say whether it has taken a leg.
const ASKED: Duration = Duration::from_secs(1);

impl Connection {
    /// What is dialled, and what a leg through another FreeSWITCH has besides.
    pub(super) fn route<'a>(&self, ring: &'a Ring) -> (Cow<'a, str>, Option<ViaNode>) {
        let nodes = &self.shared.nodes;
        if ring.target.node() == self.shared.node {
            return (Cow::Borrowed(ring.target.as_str()), None);
        }
        let profile = self.profile(ring).unwrap_or_else(|| "internal".to_owned());
        let (Via::Node(node), Some(key)) = (ring.via, nodes.key()) else {
            return (encode::by_profile(&ring.target, &profile), None);
        };
        let (here, there) = (nodes.get(self.shared.node), nodes.get(node));
        nodes
            .bonds
            .add(here.id, ring.leg.channel(), there.id, there.core(), there.is_up());
        let claims = LegClaims {
            leg: ring.leg.channel(),
            from: here.name.to_string(),
            to: there.name.to_string(),
            user: ring.aor.user.to_string(),
            domain: ring.aor.domain.to_string(),
            binding: ring.target.digest(),
            call_id: ring.sip_call_id.to_string(),
            context: self.held.parent.context.clone(),
            variables: self.told_to_nodes(),
            bypasses_media: self.held.bypasses_media(),
            // Its caller ends it; this is for a call whose FreeSWITCH is gone.
            ring: u32::try_from(seconds_up(ring.timeout))
                .unwrap_or(u32::MAX)
                .saturating_add(5),
            until: LegClaims::until(unix_now()),
        };
        let address = there.settings.borrow().sip.clone().unwrap_or_default();
        let target = encode::to_node(&profile, &address, &ring.aor.user);
        let node = ViaNode {
            request_uri: encode::at_node(&address),
            header: key.header(&claims),
        };
        (Cow::Owned(target), Some(node))
    }

    /// What the phone's own FreeSWITCH has to know of the leg.
    fn told_to_nodes(&self) -> Vec<(String, String)> {
        let inherited = &self.held.parent.inherited;
        let told = TOLD
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), inherited.plain(name)?)));
        told.collect()
    }

    /// The profile of the call's FreeSWITCH that dials it: the phone's is that of the FreeSWITCH that it is registered
    /// at.
    pub(super) fn profile(&self, ring: &Ring) -> Option<String> {
        let here = self.shared.nodes.get(self.shared.node);
        let is_elsewhere = ring.target.node() != here.id;
        let own = here.settings.borrow().profile.clone().filter(|_| is_elsewhere);
        own.or_else(|| encode::profile_of(&ring.target).map(str::to_owned))
    }

    /// A leg is dialled; if through another FreeSWITCH, it is not known to be taken there yet.
    pub(super) fn may_not_be_taken(&mut self, ring: &Ring) {
        if let Via::Node(node) = ring.via {
            self.untaken.push((ring.leg, node, Instant::now()));
        }
    }

    /// The phone rings or answers, so its FreeSWITCH has taken the leg.
    pub(super) fn was_taken_there(&mut self, leg: LegId) {
        self.untaken.retain(|(untaken, ..)| *untaken != leg);
    }

    /// Tells the engine of a leg's end.
    pub(super) async fn emit_end(&mut self, leg: LegId, end: LegEnd) {
        // 503 says nothing of the phone in any case. Later the note is gone.
        let is_doubtful = end.sip_status.is_some_and(|status| status != 503);
        let place = self.untaken.iter().position(|(untaken, ..)| *untaken == leg);
        let untaken = place.map(|place| self.untaken.swap_remove(place));
        let Some((_, node, _)) = untaken.filter(|(.., since)| is_doubtful && since.elapsed() < NOTED) else {
            return self.emit(Event::LegEnded { leg, end }).await;
        };
        let shared = self.shared.clone();
        // The call goes on meanwhile.
        let ask = async move {
            let there = shared.nodes.get(node);
            let question = encode::ask_taken(leg.channel());
            let is_free = matches!(
                timeout(ASKED, there.socket.api(&question)).await,
                Ok(Ok(answer)) if encode::is_free(&answer)
            );
            let end = if is_free {
                let (node, status) = (there.label(), end.sip_status);
                if shared
                    .warned
                    .is_due(&format!("not taken by {node}"), std::time::Instant::now())
                {
                    warn!(
                        node,
                        status,
                        "a FreeSWITCH does not take legs from the others: is 00_fswake_node.xml in the context of its SIP \
                         profile, and this host in the profile's ACL?"
                    );
                }
                LegEnd::not_taken()
            } else {
                end
            };
            let _ = shared.inputs.send(Input::Event(Event::LegEnded { leg, end })).await;
        };
        tokio::spawn(tracing::Instrument::instrument(ask, tracing::Span::current()));
    }
}
