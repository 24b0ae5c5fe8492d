//! Legs from other FreeSWITCHes: the call is held there, and the phone is registered here.
//!
//! The dialplan (`fswake_node`) hands over an INVITE that has a signed header ([`crate::esl::leg_token`]). fswake rings
//! nothing itself: it sets `fswake_bridge` to the one binding that the header names and hands the channel back at once.
//! The dialplan's own `bridge` rings the phone, so everything between the two is FreeSWITCH's: caller id, codecs,
//! headers, early media, causes, cancel. Without a valid header `fswake_bridge` stays what the dialplan has set before:
//! a failure.
//!
//! If the call's FreeSWITCH goes away, [`crate::esl::bonds`] ends what rings here on its behalf.
//!
//! "Once" is kept by the FreeSWITCH that the INVITE came to (mod_hash, `insert_ifempty`), because any of several
//! fswakes may get the channel. Without mod_hash each fswake remembers what it has taken itself.

use std::time::Duration;

use freeswitch_esl_tokio::{EslError, EslResponse};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Outbound;
use super::command::api;
use super::hand_back::hand_back;
use super::taken_legs::REMEMBERED;
use crate::clock::unix_now;
use crate::esl::encode;
use crate::esl::leg_token::{HEADER, LegClaims, Refusal};
use crate::esl::link::Link;
use crate::input::{Ask, Input, Query};
use crate::types::Target;
use crate::words;

/// How long a REGISTER's event may come later here than at the fswake that has signed the header.
const EVENT_IS_LATE: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_millis(5);

/// The header of a channel that is a leg from another FreeSWITCH. Any caller may send such a header, and a leg's own
/// channel has it: only an INVITE to the snippet's own user is a leg.
pub(super) fn header(data: &EslResponse) -> Option<&str> {
    let is_leg = data.header("Caller-Destination-Number") == Some(encode::LEG_USER)
        && data.header("Call-Direction") == Some("inbound");
    let header = data.header(format!("variable_sip_h_{HEADER}"));
    header.filter(|header| is_leg && !header.is_empty())
}

/// A leg that may ring, and where.
struct Granted {
    claims: LegClaims,
    target: Target,
}

impl Outbound {
    /// Lets the dialplan ring the phone that the header names.
    pub(super) async fn take_leg(self, mut link: Link, data: &EslResponse, header: &str) {
        let Some(channel) = data.header("Unique-ID").and_then(|id| id.parse::<Uuid>().ok()) else {
            return hand_back(link, data).await;
        };
        match self.granted(&mut link, header).await {
            Ok(Some(granted)) => {
                let LegClaims { leg, from, .. } = &granted.claims;
                debug!(%leg, from, aor = %granted.claims.aor(), "a leg from another FreeSWITCH rings its phone");
                let commands = encode::pass_on(channel, &granted.target, &granted.claims);
                let _ = link.send_all(&commands.into_iter().map(api).collect::<Vec<_>>()).await;
                if let Some(calls) = self.nodes.named(&granted.claims.from) {
                    self.nodes
                        .bonds
                        .add(self.node, channel, calls.id, calls.core(), calls.is_up());
                }
            }
            Ok(None) => {}
            Err(refusal) => {
                self.nodes.refused_leg(refusal);
                if self.warned.is_due(&format!("leg {refusal}"), std::time::Instant::now()) {
                    let node = self.nodes.get(self.node).label();
                    warn!(node, reason = %refusal, "refused a leg that says it is from another FreeSWITCH: nothing is rung");
                }
            }
        }
        hand_back(link, data).await;
    }

    /// What the header allows. `None`: its phone is not registered here any more, or the leg is gone.
    async fn granted(&self, link: &mut Link, header: &str) -> Result<Option<Granted>, Refusal> {
        let key = self.nodes.key().ok_or(Refusal::NoKey)?;
        let node = self.nodes.get(self.node);
        let claims = key.claims(header, &node.name, unix_now())?;
        if !self.taken_legs.note(claims.leg, Instant::now()) {
            return Err(Refusal::Replayed);
        }
        match is_first(link, claims.leg).await {
            Ok(true) => {}
            Ok(false) => return Err(Refusal::Replayed),
            Err(error) => {
                debug!(leg = %claims.leg, error = words::of_esl(&error), "a leg from another FreeSWITCH is gone again");
                return Ok(None);
            }
        }
        let Some(target) = self.address(&claims).await else {
            let (leg, aor) = (claims.leg, claims.aor());
            info!(%leg, %aor, "a leg from another FreeSWITCH is for a phone that is no longer registered here");
            return Ok(None);
        };
        Ok(Some(Granted { claims, target }))
    }

    /// Where the phone is. The fswake that has signed may have seen the REGISTER a moment earlier.
    async fn address(&self, claims: &LegClaims) -> Option<Target> {
        let since = Instant::now();
        loop {
            let (answer, address) = oneshot::channel();
            let ask = Ask::Address(claims.aor(), self.node, claims.binding, answer);
            self.inputs.send(Input::Ask(Query::at_once(ask))).await.ok()?;
            let target = address.await.ok()?;
            if target.is_some() {
                return target;
            }
            if since.elapsed() > EVENT_IS_LATE {
                return None;
            }
            sleep(AGAIN).await;
        }
    }
}

/// Whether no fswake has taken this leg from this FreeSWITCH before.
async fn is_first(link: &mut Link, leg: Uuid) -> Result<bool, EslError> {
    let [insert, forget] = encode::take_once(leg, REMEMBERED).map(api);
    let reply = link.send(insert).await?;
    if encode::is_taken(reply.body().unwrap_or_default()) {
        return Ok(false);
    }
    let _ = link.send(forget).await?;
    Ok(true)
}
