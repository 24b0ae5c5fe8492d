//! How to treat one call, by its channel or dial-string; these options override the policy (docs/VARIABLES.md).

use std::sync::Arc;

/// Who rings the phones that were registered when the call came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ringing {
    /// fswake does: nobody else dials them.
    #[default]
    Ours,
    /// FreeSWITCH does, from the same dial-string: we ring only what registers from now on, and never what FreeSWITCH
    /// rings.
    FreeSwitch,
}

/// How a held call's phones are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// fswake rings them and connects the call.
    #[default]
    Connect,
    /// The call goes back to the dialplan as soon as a phone can be rung: the site's own `bridge` rings.
    WakeFirst,
    /// It goes back when every phone that was pushed has registered, or at the deadline.
    WakeAll,
}

impl Mode {
    /// Whether fswake rings nobody.
    pub fn only_wakes(self) -> bool {
        self != Self::Connect
    }
}

/// The options of one call.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent options, each from a variable of its own"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CallOptions {
    /// No push for this call; it waits for phones that register by themselves (`enable_send_apn=false`).
    pub no_push: bool,
    /// Waits until the deadline for any REGISTER, although no device was or can be pushed (`apn_wait_any_register`).
    pub wait_any: bool,
    /// Who rings registered phones (`fswake_ring`, or the dial-string).
    pub ringing: Ringing,
    /// Not fswake's call: it goes back at once, untouched (`originate_reg_token`).
    pub hands_off: bool,
    /// Phones that seem awake are pushed too (`"force"` of `POST /v1/wake`).
    pub push_awake: bool,
    /// How its phones are reached, if the call sets it (`fswake_mode`, `fswake_wait`).
    pub mode: Option<Mode>,
    /// The call's own limit is its legs' (`leg_timeout`): they end as FreeSWITCH would end them.
    pub leg_timeout: bool,
    /// How to treat the early media of a phone that rings alone.
    pub early_media: EarlyMedia,
}

/// How to treat early media (`ignore_early_media`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EarlyMedia {
    /// The caller hears it.
    #[default]
    PassedOn,
    /// It is not passed on.
    Ignored,
    /// The caller hears ringing instead (`ring_ready`).
    Rings,
}

impl CallOptions {
    /// In words, for the journal; `None` without options.
    pub fn words(self) -> Option<Arc<str>> {
        if self == Self::default() {
            return None;
        }
        let all = [
            (self.hands_off, "hands off"),
            (self.no_push, "no push"),
            (self.wait_any, "wait for any register"),
            (self.push_awake, "push who is awake"),
            (self.ringing == Ringing::FreeSwitch, "ring what registers"),
            (self.mode == Some(Mode::WakeFirst), "wake only"),
            (self.mode == Some(Mode::WakeAll), "wake all, ring none"),
            (self.mode == Some(Mode::Connect), "wake and connect"),
        ];
        let words: Vec<_> = all.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        (!words.is_empty()).then(|| words.join(", ").into())
    }
}

/// The state of FreeSWITCH's own leg to a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OtherLegState {
    /// No leg, or it has ended.
    None,
    /// Dialled, but not ringing: its INVITE is repeated, and reaches a phone that wakes there.
    Dialed,
    /// The phone rings, or more.
    Rings,
}
