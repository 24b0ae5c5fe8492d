//! `originate`: one leg as a child of the held channel, parked when answered.
//!
//! FreeSWITCH reads commands byte by byte: 1 µs each if nothing else wants the processor, and a turn of the scheduler
//! if something does (measured). An `originate` has some 1,000. So all of it but the phone's address is stored on the
//! held channel ahead of time: `fswake_leg_N` has it for leg N, and `expand` inserts it. FreeSWITCH does not expand
//! variables inside that variable: the caller's text stays text. Of two values for one variable the later one counts
//! (an event with `EF_UNIQ_HEADERS`, switch_event.c), so what turns out differently follows what was prepared.

use std::fmt::Write as _;
use std::time::Duration;

use uuid::Uuid;

use super::decode::Parent;
use super::encode::{Word, codecs, forget_hooks, name, number, seconds_up, user};
use super::inherit::quoted;
use super::job::VARIABLE;
use super::leg_token::HEADER;
use crate::engine::policy::PARK_TIMEOUT;
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
    /// Which leg it is.
    pub leg: LegId,
}

/// How long a leg may ring as it is prepared. The engine's own deadline ends the leg, and its lease if fswake is dead;
/// without this FreeSWITCH would end it after 60 s.
const RINGS: Duration = Duration::from_secs(300);
/// The callee's name on a leg's channel, unless the phone or its Contact has one (switch_ivr_originate.c).
const CALLEE: &str = "Outbound Call";

/// Hooks that run at the end of a leg's originate, before FreeSWITCH swaps the leg's caller and callee: they make the
/// callee its caller too ([`super::encode::name_callee`]).
pub const NAMES: [&str; 2] = [
    "execute_on_post_originate_fswake_1",
    "execute_on_post_originate_fswake_2",
];

/// The hook that removes them and itself. FreeSWITCH runs it after them.
const FORGETS: &str = "api_on_post_originate_fswake";

/// Hooks that set the leg's context and names.
fn hooks(vars: &mut String, channel: Uuid, context: &str, number: &str) {
    if let Some(context) = quoted(&format!("set_profile_var context={context}")) {
        let _ = write!(vars, ",execute_on_originate_fswake={context}");
    }
    let [first, second] = NAMES;
    let _ = write!(
        vars,
        ",{first}='set_profile_var caller_id_name={CALLEE}',{second}='set_profile_var caller_id_number={number}'"
    );
    // FreeSWITCH would run them again whenever this channel calls another.
    if let Some(forget) = forget_hooks(&channel.to_string(), NAMES.into_iter().chain([FORGETS])) {
        let _ = write!(vars, ",{FORGETS}='{forget}'");
    }
}

/// The callee's name and number on a leg's channel, if its Contact has the user's own name for its user, and the phone
/// sends no other.
pub fn callee(aor: &Aor) -> Option<(&'static str, &str)> {
    user(aor).map(|_| (CALLEE, &*aor.user))
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
            let context = parent.inherited.plain("user_context");
            hooks(&mut vars, channel, context.as_deref().unwrap_or(&parent.context), user);
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
        let (rings, parks) = (RINGS.as_secs(), PARK_TIMEOUT.as_secs());
        let sip_call_id = self.leg.call.sip_call_id(0);
        let _ = write!(
            vars,
            ",originate_timeout={rings},park_timeout={parks},sip_invite_call_id={sip_call_id}"
        );
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
    pub fn command_prepared(&self, held: &str) -> Option<String> {
        if self.target.contains(['$', '\\']) {
            return None;
        }
        let (n, own, target) = (self.leg.n, self.variables(), self.target);
        Some(format!(
            "expand uuid:{held} originate ${{variable_{VARIABLE}{n}}}{own}}}{target} &park()"
        ))
    }

    /// The channel forgets the header when it is answered: a transfer would give it to whoever is dialled next. The
    /// phone's own FreeSWITCH tells the phone to answer (`sip_auto_answer`); told so itself, it would answer instead of
    /// the phone.
    ///
    /// Between FreeSWITCHes each leg has a Call-ID of its own: `inbound-use-callid-as-uuid` takes no second one. The
    /// phone's own FreeSWITCH gives the phone the one of its push.
    fn via(&self, node: &ViaNode) -> String {
        let (channel, ViaNode { request_uri, header }) = (self.leg.channel(), node);
        let sip_call_id = Uuid::new_v5(&channel, b"between nodes");
        format!(
            ",sip_invite_call_id={sip_call_id},sip_auto_answer_suppress_notify=true,sip_invite_req_uri={request_uri},\
             sip_h_{HEADER}={header},api_on_answer_fswake_leg='uuid_setvar {channel} sip_h_{HEADER}'"
        )
    }

    /// What differs from [`Leg::variables`].
    fn variables(&self) -> String {
        let mut vars = String::new();
        // FreeSWITCH counts full seconds of the clock, so N lasts between N - 1 and N (measured).
        let timeout = seconds_up(self.timeout) + 1;
        if timeout > RINGS.as_secs() {
            let _ = write!(vars, ",originate_timeout={timeout}");
        }
        if self.park_timeout != PARK_TIMEOUT {
            let _ = write!(vars, ",park_timeout={}", seconds_up(self.park_timeout));
        }
        match self.node {
            Some(node) => vars.push_str(&self.via(node)),
            None if self.sip_call_id == &*self.leg.call.sip_call_id(0) => {}
            None => {
                let _ = write!(vars, ",sip_invite_call_id={}", self.sip_call_id);
            }
        }
        if !self.early_media {
            vars.push_str(",ignore_early_media=true");
        }
        vars
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
    /// Of a phone that does not ring alone.
    const DIAL: Dial<'_> = Dial {
        target: "sofia/internal/sip:1@h",
        sip_call_id: "id",
        timeout: Duration::from_secs(25),
        park_timeout: PARK_TIMEOUT,
        early_media: false,
        node: None,
        leg: LEG,
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
    fn legs_are_dialled_as_prepared_unless_they_differ() {
        let prepared = variables(&Parent::default(), Offer::Callers);
        let likely = CALL.sip_call_id(0);
        let more = format!(",originate_timeout=300,park_timeout=20,sip_invite_call_id={likely}");
        assert!(prepared.ends_with(&more), "{prepared}");
        let alone = Dial {
            sip_call_id: &likely,
            early_media: true,
            ..DIAL
        };
        assert_eq!(alone.command("x"), "originate {x}sofia/internal/sip:1@h &park()");
        let longer = Dial {
            timeout: Duration::from_secs(7200),
            park_timeout: Duration::from_millis(4500),
            ..DIAL
        };
        assert_eq!(
            longer.command("x"),
            "originate {x,originate_timeout=7201,park_timeout=5,sip_invite_call_id=id,ignore_early_media=true}\
             sofia/internal/sip:1@h &park()"
        );
    }

    #[test]
    fn leg_has_the_callee_as_its_caller_before_freeswitch_swaps_them() {
        let context = Parent {
            context: "o'ffice, 2".into(),
            ..Parent::default()
        };
        let text = variables(&context, Offer::Callers);
        for part in [
            r",execute_on_originate_fswake='set_profile_var context=o\\\\\\\'ffice\, 2'",
            ",execute_on_post_originate_fswake_1='set_profile_var caller_id_name=Outbound Call'",
            ",execute_on_post_originate_fswake_2='set_profile_var caller_id_number=1001',",
            "execute_on_post_originate_fswake_2=;api_on_post_originate_fswake=',",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(callee(&Aor::new("a b", "fs.test")), None, "not a word in a command");
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
            DIAL.command_prepared("held").as_deref(),
            Some(
                "expand uuid:held originate ${variable_fswake_leg_0},sip_invite_call_id=id,ignore_early_media=true}\
                 sofia/internal/sip:1@h &park()"
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
            assert_eq!(Dial { target, ..DIAL }.command_prepared("held"), None, "{target}");
        }
    }
}
