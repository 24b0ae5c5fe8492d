//! `originate`: one leg as a child of the held channel, parked when answered.
//!
//! FreeSWITCH reads commands byte by byte (1.7 µs each, measured), and an `originate` has some 800. So everything that
//! is the same for all phones is stored on the held channel ahead of time: `fswake_leg_N` has it for leg N, and
//! `expand` inserts it. FreeSWITCH does not expand variables inside that variable: the caller's text stays text.

use std::fmt::Write as _;
use std::time::Duration;

use uuid::Uuid;

use super::decode::Parent;
use super::encode::{Word, codecs, name, number, seconds_up, user};
use super::inherit::quoted;
use super::job::VARIABLE;
use super::leg_token::HEADER;
use crate::types::{Aor, LegId};

/// A leg of a held call: what is known before it is dialled.
#[derive(Clone, Copy, Debug)]
pub struct Leg<'a> {
    /// Which leg; its channel is [`LegId::channel`].
    pub leg: LegId,
    /// Who is called.
    pub aor: &'a Aor,
    /// Its parent channel.
    pub parent: &'a Parent,
    /// The callee's variables from the directory for the originate (`dial-var-..`).
    pub dial_variables: &'a [(String, String)],
    /// How many seconds it outlives a dead fswake at most: FreeSWITCH hangs it up unless this lease is renewed.
    pub lease: u32,
    /// Which codecs its INVITE offers.
    pub offer: Offer<'a>,
}

/// The codecs of a leg's INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer<'a> {
    /// The caller's, as with `bridge`.
    Callers,
    /// The caller's and the profile's: the phone supports none of the caller's.
    Any,
    /// The caller's and the profile's audio codecs: a caller without video cannot use any.
    Audio(&'a str),
}

/// How it is dialled.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    /// A safe dial-string to the phone.
    pub target: &'a str,
    /// The INVITE's Call-ID.
    pub sip_call_id: &'a str,
    /// How long it may ring.
    pub timeout: Duration,
    /// How long it may stay answered without a bridge.
    pub park_timeout: Duration,
    /// It rings alone: its early media is for the caller.
    pub early_media: bool,
    /// Through another FreeSWITCH.
    pub node: Option<&'a ViaNode>,
    /// Its channel.
    pub channel: Uuid,
}

/// How a leg through another FreeSWITCH is taken there.
#[derive(Clone, Debug)]
pub struct ViaNode {
    /// The request URI of its INVITE.
    pub request_uri: String,
    /// Its signed header ([`super::leg_token`]).
    pub header: String,
}

impl Leg<'_> {
    /// Everything that `bridge` gives its legs is here, or in what FreeSWITCH copies because of `origination_aleg_uuid`
    /// (docs/ARCHITECTURE.md, "What bridge does, and how fswake does it").
    pub fn variables(&self) -> String {
        let (channel, parent) = (self.leg.channel(), self.parent);
        let mut vars = format!(
            "origination_uuid={channel},sip_h_X-Fswake-Call={},\
             api_on_originate_fswake='sched_hangup +{} {channel} LOSE_RACE'",
            self.leg.call, self.lease,
        );
        if let Some(a_leg) = &parent.channel {
            let call = parent.call_uuid.as_ref().unwrap_or(a_leg);
            let _ = write!(
                vars,
                ",origination_aleg_uuid={a_leg},originating_leg_uuid={a_leg},call_uuid={call}"
            );
        } else {
            // The loopback's record is the call's. Without this, each unanswered leg would have one too, as a
            // call by itself.
            let _ = write!(
                vars,
                ",process_cdr=false,api_on_answer_fswake='uuid_setvar {channel} process_cdr true'"
            );
        }
        parent.inherited.write(&mut vars);
        if let Some(presence) = user(self.aor) {
            let (user, domain) = (&self.aor.user, &self.aor.domain);
            // As in FreeSWITCH's shipped dial-string, and as the endpoint `user/` does.
            let own = [
                ("sip_invite_domain", &**domain),
                ("presence_id", &presence),
                ("dialed_user", user),
                ("dialed_domain", domain),
            ];
            for (name, value) in own.iter().filter(|(name, _)| parent.inherited.get(name).is_none()) {
                let _ = write!(vars, ",{name}={value}");
            }
        }
        of_the_caller(&mut vars, parent);
        for (name, value) in self.dial_variables.iter().filter(|(name, _)| is_the_phones(name)) {
            if let Some(value) = quoted(value) {
                let _ = write!(vars, ",{name}={value}");
            }
        }
        let offered = parent.inherited.codecs.as_deref().or(parent.codecs.as_deref());
        let offered = match self.offer {
            Offer::Callers => offered.and_then(codecs),
            Offer::Audio(list) => codecs(list),
            Offer::Any => None,
        };
        if let Some(codecs) = offered {
            vars.push_str(",absolute_codec_string=^^:");
            vars.push_str(&codecs);
        } else if self.offer != Offer::Callers {
            // Otherwise the leg would offer only the A leg's codecs.
            vars.push_str(",media_mix_inbound_outbound_codecs=true");
        }
        vars
    }
}

impl Dial<'_> {
    /// Dials a leg with these [`Leg::variables`].
    pub fn command(&self, variables: &str) -> String {
        format!("originate {{{variables}{}}}{} &park()", self.variables(), self.target)
    }

    /// The same with those that [`prepare`] has stored on the held channel; `None` if `expand` would not leave this
    /// phone's address as it is.
    pub fn command_prepared(&self, held: &str, leg: LegId) -> Option<String> {
        if self.target.contains(['$', '\\']) {
            return None;
        }
        let (n, own, target) = (leg.n, self.variables(), self.target);
        Some(format!(
            "expand uuid:{held} originate ${{variable_{VARIABLE}{n}}}{own}}}{target} &park()"
        ))
    }

    /// The channel forgets the header when it is answered: a transfer would give it to whoever is dialled next. The
    /// phone's own FreeSWITCH tells the phone to answer (`sip_auto_answer`); told so itself, it would answer instead of
    /// the phone.
    fn via(&self, node: &ViaNode) -> String {
        let (channel, ViaNode { request_uri, header }) = (self.channel, node);
        format!(
            ",sip_auto_answer_suppress_notify=true,sip_invite_req_uri={request_uri},sip_h_{HEADER}={header},\
             api_on_answer_fswake_leg='uuid_setvar {channel} sip_h_{HEADER}'"
        )
    }

    fn variables(&self) -> String {
        // FreeSWITCH counts full seconds of the clock, so N lasts between N - 1 and N (measured). The engine's own
        // deadline ends the leg; this one is the fallback.
        let timeout = seconds_up(self.timeout) + 1;
        let park = seconds_up(self.park_timeout);
        let early = if self.early_media {
            ""
        } else {
            ",ignore_early_media=true"
        };
        // Between FreeSWITCHes each leg has a Call-ID of its own: `inbound-use-callid-as-uuid` takes no second one. The
        // phone's own FreeSWITCH gives the phone the one of its push.
        let to = match self.node {
            Some(node) => self.via(node),
            None => format!(",sip_invite_call_id={}", self.sip_call_id),
        };
        format!(",originate_timeout={timeout},park_timeout={park}{to}{early}")
    }
}

/// Leaves a leg's [`Leg::variables`] on the held channel, with the brace before them: of a channel that is gone
/// `expand` makes nothing, and what is left then dials nobody. FreeSWITCH reads quotes and backslashes of the argument
/// (`uuid_setvar` is split at blanks); what is in quotes, with both escaped, comes out as it was.
pub fn prepare(held: &str, leg: LegId, variables: &str) -> String {
    let mut command = format!("uuid_setvar {held} {VARIABLE}{} '{{", leg.n);
    for c in variables.chars() {
        if matches!(c, '\'' | '\\') {
            command.push('\\');
        }
        command.push(c);
    }
    command.push('\'');
    command
}

/// More variables for [`super::encode::report`] that remove what was prepared for so many legs.
pub fn forget_prepared(legs: u32) -> String {
    (0..legs).fold(String::new(), |mut all, n| {
        let _ = write!(all, ";{VARIABLE}{n}=");
        all
    })
}

/// Whether a `dial-var-` is about the phone, and not about how its leg is made.
fn is_the_phones(name: &str) -> bool {
    let is_ours = [
        "origination_uuid",
        "origination_aleg_uuid",
        "originate_",
        "park_",
        "leg_",
        "fswake_",
        "api_on_originate",
    ];
    Word::new(name).is_some() && !is_ours.iter().any(|ours| name.starts_with(ours))
}

/// The caller as shown to the phone.
fn of_the_caller(vars: &mut String, parent: &Parent) {
    let number = number(&parent.number);
    if !number.is_empty() {
        let _ = write!(vars, ",origination_caller_id_number={number}");
    }
    let ani = self::number(&parent.ani);
    if !ani.is_empty() {
        let _ = write!(vars, ",origination_ani={ani}");
    }
    if let Some(name) = quoted(&name(&parent.name)) {
        let _ = write!(vars, ",origination_caller_id_name={name}");
    }
    // FreeSWITCH's default is to screen.
    let (hides_name, hides_number) = parent.hides;
    if hides_name || hides_number || !parent.is_screened {
        let flags = [
            (parent.is_screened, "screen"),
            (hides_name, "hide_name"),
            (hides_number, "hide_number"),
        ];
        let flags: Vec<_> = flags.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag).collect();
        let flags = if flags.is_empty() {
            "none".into()
        } else {
            flags.join(":")
        };
        let _ = write!(vars, ",origination_privacy={flags}");
    }
    if let Some(hops) = parent.max_forwards {
        let _ = write!(vars, ",max_forwards={hops}");
    }
    if parent.asserts_identity && parent.inherited.get("sip_cid_type").is_none() {
        vars.push_str(",sip_cid_type=pid");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esl::inherit;
    use crate::types::CallId;

    const CALL: CallId = CallId(Uuid::nil());
    const LEG: LegId = LegId { call: CALL, n: 0 };
    const DIAL: Dial<'_> = Dial {
        target: "sofia/internal/sip:1@h",
        sip_call_id: "id",
        timeout: Duration::from_secs(1),
        park_timeout: Duration::from_millis(4500),
        early_media: false,
        node: None,
        channel: Uuid::nil(),
    };

    fn variables(parent: &Parent, offer: Offer<'_>) -> String {
        let aor = &Aor::new("1001", "fs.test");
        let (leg, lease) = (LEG, 6);
        Leg {
            leg,
            aor,
            parent,
            dial_variables: &[],
            lease,
            offer,
        }
        .variables()
    }

    fn text(parent: &Parent) -> String {
        DIAL.command(&variables(parent, Offer::Callers))
    }

    #[test]
    fn legs_never_ring_for_zero_seconds() {
        let text = Dial {
            timeout: Duration::ZERO,
            ..DIAL
        }
        .command("");
        assert!(text.contains(",originate_timeout=2,park_timeout=5,"), "{text}");
    }

    #[test]
    fn leg_is_a_child_of_the_held_channel() {
        let parent = Parent {
            channel: Some("a-leg".into()),
            max_forwards: Some(69),
            asserts_identity: true,
            inherited: inherit::read(inherit::Of::Caller, &[("sip_h_X-Own", "7")]),
            ..Parent::default()
        };
        let text = text(&parent);
        for part in [
            ",origination_aleg_uuid=a-leg,originating_leg_uuid=a-leg,call_uuid=a-leg",
            ",sip_h_X-Own=7",
            ",sip_invite_domain=fs.test,presence_id=1001@fs.test,dialed_user=1001,dialed_domain=fs.test",
            ",max_forwards=69",
            ",sip_cid_type=pid",
            ",ignore_early_media=true",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn leg_without_a_caller_has_a_record_only_once_it_is_answered() {
        let alone = variables(&Parent::default(), Offer::Callers);
        let answered = format!("api_on_answer_fswake='uuid_setvar {} process_cdr true'", LEG.channel());
        assert!(alone.contains(&format!(",process_cdr=false,{answered}")), "{alone}");
        // FreeSWITCH itself sets the A leg's `process_cdr` on the others.
        let child = Parent {
            channel: Some("a-leg".into()),
            ..Parent::default()
        };
        assert!(!variables(&child, Offer::Callers).contains("process_cdr"));
    }

    #[test]
    fn what_a_dial_string_says_of_domain_and_presence_stays() {
        let said: &[inherit::Variable<'_>] = &[("presence_id", "7@other"), ("sip_invite_domain", "other")];
        let parent = Parent {
            inherited: inherit::read(inherit::Of::Loopback, said),
            ..Parent::default()
        };
        let text = text(&parent);
        assert!(text.contains(",presence_id=7@other,sip_invite_domain=other"), "{text}");
        assert_eq!(text.matches("presence_id=").count(), 1, "{text}");
    }

    #[test]
    fn exported_codecs_are_the_legs_and_else_those_of_the_caller() {
        let mut parent = Parent {
            codecs: Some("CORE_PCM_MODULE.PCMU@8000h@20i@64000b".into()),
            ..Parent::default()
        };
        assert!(text(&parent).contains(",absolute_codec_string=^^:PCMU@8000h@20i,"));
        let any = variables(&parent, Offer::Any);
        assert!(!any.contains("absolute_codec_string"), "{any}");
        assert!(any.contains(",media_mix_inbound_outbound_codecs=true"), "{any}");
        parent.inherited.codecs = Some("PCMA".into());
        assert!(text(&parent).contains(",absolute_codec_string=^^:PCMA,"));
    }

    #[test]
    fn private_callers_are_private_on_the_leg() {
        let private = |hides| {
            let parent = Parent {
                hides,
                number: "4711".into(),
                is_screened: true,
                ..Parent::default()
            };
            text(&parent)
        };
        let both = private((true, true));
        assert!(both.contains(",origination_caller_id_number=4711"), "{both}");
        assert!(
            both.contains(",origination_privacy=screen:hide_name:hide_number"),
            "{both}"
        );
        assert!(private((false, true)).contains(",origination_privacy=screen:hide_number,"));
        assert!(!private((false, false)).contains("privacy"));
    }

    #[test]
    fn early_media_is_heard_of_a_phone_alone() {
        let alone = Dial {
            early_media: true,
            ..DIAL
        };
        assert!(!alone.command("").contains("ignore_early_media"));
    }

    #[test]
    fn what_is_prepared_comes_out_as_it_was() {
        let command = prepare("held", LEG, r"a='b c',d=\\\\\\'e");
        let value = command
            .strip_prefix("uuid_setvar held fswake_leg_0 ")
            .expect("the variable");
        assert_eq!(value, r"'{a=\'b c\',d=\\\\\\\\\\\\\'e'");
        assert_eq!(
            DIAL.command_prepared("held", LEG).as_deref(),
            Some(
                "expand uuid:held originate ${variable_fswake_leg_0},originate_timeout=2,park_timeout=5,\
                 sip_invite_call_id=id,ignore_early_media=true}sofia/internal/sip:1@h &park()"
            )
        );
        assert_eq!(forget_prepared(2), ";fswake_leg_0=;fswake_leg_1=");
    }

    #[test]
    fn phones_address_is_never_expanded() {
        for target in [
            "sofia/internal/sip:${system}@h",
            "sofia/internal/sip:$1@h",
            r"sofia/internal/sip:a\\b@h",
        ] {
            assert_eq!(Dial { target, ..DIAL }.command_prepared("held", LEG), None, "{target}");
        }
    }
}
