//! One row of the comparison: the steps of a call, and what is compared.

use std::time::Duration;

use fswake_test_support::realfs::{Plan, Routing};
use fswake_test_support::sip::{Reaction, Script};

/// Whose phone. The number is the last digit of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// User 0 calls.
    Caller,
    /// User 1 is called.
    Callee,
    /// Another phone of user 1, always awake.
    Other,
    /// User 2, reached as user 1 is.
    Third,
    /// User 5, always awake and reached by a plain bridge.
    Desk,
    /// User 6 subscribes to user 1's state.
    Watcher,
}

impl Who {
    pub fn digit(self) -> u8 {
        match self {
            Self::Caller => 0,
            Self::Callee | Self::Other => 1,
            Self::Third => 2,
            Self::Desk => 5,
            Self::Watcher => 6,
        }
    }

    /// The tone that it sends in RTP.
    pub fn voice(self) -> u8 {
        match self {
            Self::Other => 3,
            who => who.digit(),
        }
    }
}

/// A state to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This phone has sent 180 or 183.
    Rings(Who),
    /// The caller has got 180 or 183.
    Ringback,
    /// This phone's answer was acknowledged.
    Up(Who),
    /// The caller has got a final response.
    Final,
    /// Caller and callee receive each other's audio: FreeSWITCH has bridged them.
    Talk,
    /// The far end has hung up this phone's last call.
    Over(Who),
    /// All calls of this phone are over.
    Free(Who),
    /// The audio goes directly between caller and callee.
    Straight,
    /// FreeSWITCH has bridged the caller with the callee's leg, without a loopback between them.
    Bridged,
}

/// One step of a row.
#[derive(Clone, Debug)]
pub enum Step {
    /// Milliseconds.
    Wait(u64),
    Until(Moment),
    PickUp(Who),
    /// The same, if the phone still rings.
    PickUpIfItRings(Who),
    Refuse(Who, u16),
    HangUp(Who),
    /// The caller sends CANCEL.
    Cancel,
    /// An API command. `{caller}`, `{callee}` and `{desk}` (of the last [`Step::Call`]) are the channels, `{1}` user 1.
    Api(&'static str),
    /// Offers these codecs in the last call.
    Reinvite(Who, &'static [u8]),
    Hold(Who),
    Unhold(Who),
    /// Offers T.38 in the last call, and nothing else.
    OfferFax(Who),
    /// This phone adds video to the last call, and offers it from now on.
    AddVideo(Who),
    /// Removes video again.
    DropVideo(Who),
    /// This phone has video from now on, without offering it.
    CanVideo(Who),
    /// Blind transfer of the last call to this number.
    Blind(Who, &'static str),
    /// Calls this number, waits for the answer, and connects it with the first call.
    Attended(Who, &'static str),
    /// The same while the second call still rings.
    AttendedRinging(Who, &'static str),
    /// This phone calls a number. `{desk}` is the channel then.
    Call(Who, &'static str),
    /// Runs this command of baresip's menu.
    Baresip(&'static str, &'static str),
    /// Waits until baresip has printed this so many times.
    Says(&'static str, usize),
    /// baresip connects the far ends of its first and its second call, which is to the desk.
    Join,
    /// Presses these digits in the last call.
    Press(Who, &'static [u8]),
    /// Records an observation under this name.
    See(&'static str, Look),
}

/// What is observed, as a short text in which placeholders stand for users, ports, tags and UUIDs.
#[derive(Clone, Debug)]
pub enum Look {
    /// The responses to the caller's INVITE, each once.
    Answers,
    /// Whether the caller got no 18x before the phone rang.
    RingsInTime,
    /// A header of the last INVITE to this phone.
    Header(Who, &'static str),
    /// A header of the 200 to the caller.
    AnswerHeader(&'static str),
    /// The far end's name and number on this phone's display.
    Display(Who),
    /// The SDP in the last INVITE to this phone.
    Offered(Who),
    /// The last SDP answer in this phone's last call.
    Media(Who),
    /// The codecs of caller's and callee's channel.
    Codecs,
    Invites(Who),
    /// What this phone receives in its last call within so many milliseconds. It waits up to three times as long, so
    /// use it for a steady state.
    Hears(Who, u64),
    /// What the caller received while the callee's phone rang.
    HeardWhileItRang,
    /// Whose video this phone receives in its last call within so many milliseconds.
    Sees(Who, u64),
    /// Whose T.38 it receives there.
    Faxed(Who, u64),
    /// What this phone was offered in re-INVITEs of its last call.
    Reoffered(Who),
    /// What the caller received before the answer.
    HeardEarly,
    /// Whether the audio goes directly between the two phones.
    Direct,
    /// A variable of the caller's or the callee's channel.
    Variable(Who, &'static str),
    /// What the dialplan left in the global variable `fid-{id}-<name>`.
    Left(&'static str),
    Calls,
    /// How this phone's last call ended, or that it is up.
    End(Who),
    /// Only the cause of that.
    EndCause(Who),
    /// Whether this phone's last call ended at most so many milliseconds after FreeSWITCH answered the last command, or
    /// the last call.
    EndsWithin(Who, u64),
    /// How many channels the row has, by their kind.
    Channels,
    /// How many calls of this phone are up.
    CallsOf(Who),
    /// Whether so many milliseconds have passed since the call began.
    Took(u64, u64),
    /// The CDRs: these variables of each.
    Cdrs(&'static [&'static str]),
    /// The same for the CDRs in XML.
    XmlCdrs(&'static [&'static str]),
    /// The lines of the CDRs in CSV: caller, destination and cause.
    CsvCdrs,
    /// The caller's or the callee's channel's variables about the other leg (`Other-Leg-*`) in its events.
    OtherLeg(Who),
    /// The states that the watcher's lamp has shown.
    Lamp,
    /// The digits that this phone received in its last call.
    Digits(Who),
    /// Whether FreeSWITCH's own bridge or fswake has sent the last INVITE to this phone.
    RungBy(Who),
    /// Where CDRs of each format contain a push token or a push parameter.
    Tokens,
    /// Whether exactly one of callee and desk phone has audio with the caller.
    Settled,
    /// Whether fswake reports the call's result and a part of its steps. Without fswake there is no report.
    Booked(&'static str, &'static str),
    /// Whether a recording of this name has been made.
    Recorded(&'static str),
}

/// A row.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of the phones, and they combine freely"
)]
pub struct Row {
    pub name: &'static str,
    /// The group that it belongs to, as docs/ARCHITECTURE.md numbers them.
    pub item: u8,
    pub caller: Script,
    pub callee: Script,
    pub other: Option<Script>,
    pub third: Option<Script>,
    pub desk: Option<Script>,
    pub watched: bool,
    /// The callee's phone is awake.
    pub awake: bool,
    /// baresip is the caller, or the callee; the scripted phone in its place does nothing.
    pub baresip: Option<Who>,
    /// baresip encrypts.
    pub encrypts: bool,
    /// Callee and third register at a profile that asserts identities and sends no connected identity.
    pub asserting: bool,
    /// fswake has `wake.alert = "push"`.
    pub alert_by_push: bool,
    /// FreeSWITCH has to have a video codec; the row is skipped where it has none.
    pub needs_video: bool,
    /// FreeSWITCH still has a stale registration of the callee's phone. Otherwise it has none.
    pub stale: bool,
    pub display: &'static str,
    /// What is called; user 1 by default.
    pub dials: &'static str,
    pub plan: Plan,
    pub steps: Vec<Step>,
    /// The routings that it is played with.
    pub routings: Vec<Routing>,
    /// Why it is not played through two FreeSWITCHes.
    pub only_one: Option<&'static str>,
}

fn script(voice: u8, on_invite: Reaction) -> Script {
    Script {
        on_invite,
        voice: Some(voice),
        ..Script::default()
    }
}

/// A phone that answers soon.
pub fn answers(who: Who) -> Script {
    script(who.voice(), Reaction::Answer(Duration::from_millis(300)))
}

/// A phone that rings until the row tells it otherwise.
pub fn rings(who: Who) -> Script {
    script(who.voice(), Reaction::Ring)
}

/// A phone that declines at once.
pub fn declines(who: Who, status: u16) -> Script {
    script(who.voice(), Reaction::Decline(status))
}

/// A row of this group: user 0 calls user 1, whose phone answers (and sleeps, with fswake's routings).
pub fn row(item: u8, name: &'static str) -> Row {
    Row {
        name,
        item,
        caller: answers(Who::Caller),
        callee: answers(Who::Callee),
        other: None,
        third: None,
        desk: None,
        watched: false,
        awake: false,
        baresip: None,
        encrypts: false,
        asserting: false,
        alert_by_push: false,
        needs_video: false,
        stale: false,
        display: "",
        dials: "{1}",
        plan: Plan::default(),
        steps: Vec::new(),
        routings: Routing::ALL.to_vec(),
        only_one: None,
    }
}

fn pairs(actions: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(application, data): &(&str, &str)| ((*application).to_owned(), (*data).to_owned());
    actions.iter().map(pair).collect()
}

impl Row {
    pub fn caller(mut self, change: impl FnOnce(&mut Script)) -> Self {
        change(&mut self.caller);
        self
    }

    pub fn callee(mut self, script: Script) -> Self {
        self.callee = script;
        self
    }

    pub fn callee_with(mut self, change: impl FnOnce(&mut Script)) -> Self {
        change(&mut self.callee);
        self
    }

    pub fn other(mut self, script: Script) -> Self {
        self.other = Some(script);
        self
    }

    pub fn third(mut self, script: Script) -> Self {
        self.third = Some(script);
        self
    }

    pub fn desk(mut self, script: Script) -> Self {
        self.desk = Some(script);
        self
    }

    pub fn watched(mut self) -> Self {
        self.watched = true;
        self
    }

    pub fn awake(mut self) -> Self {
        self.awake = true;
        self
    }

    pub fn baresip(mut self, who: Who) -> Self {
        self.baresip = Some(who);
        if who == Who::Caller {
            // Nobody has it.
            self.dials = "0{id}";
        }
        self
    }

    pub fn encrypts(mut self) -> Self {
        self.encrypts = true;
        self
    }

    pub fn asserting(mut self) -> Self {
        self.asserting = true;
        self
    }

    pub fn alert_by_push(mut self) -> Self {
        self.alert_by_push = true;
        self
    }

    /// Video flows in it.
    pub fn needs_video(mut self) -> Self {
        self.needs_video = true;
        self
    }

    pub fn stale(mut self) -> Self {
        self.stale = true;
        self
    }

    pub fn display(mut self, display: &'static str) -> Self {
        self.display = display;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.caller.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn dials(mut self, number: &'static str) -> Self {
        self.dials = number;
        self
    }

    /// Actions between the settings and the bridge.
    pub fn before(mut self, actions: &[(&str, &str)]) -> Self {
        self.plan.before.extend(pairs(actions));
        self
    }

    /// Actions after the bridge.
    pub fn after(mut self, actions: &[(&str, &str)]) -> Self {
        self.plan.after.extend(pairs(actions));
        self
    }

    pub fn bridge(mut self, target: &str) -> Self {
        target.clone_into(&mut self.plan.bridge);
        self
    }

    /// Variables of user 1 in the directory.
    pub fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        self.plan.variables.extend(pairs(variables));
        self
    }

    pub fn routings(mut self, routings: &[Routing]) -> Self {
        self.routings = routings.to_vec();
        self
    }

    /// It makes no sense through two FreeSWITCHes.
    pub fn only_through_one(mut self, because: &'static str) -> Self {
        self.only_one = Some(because);
        self
    }

    pub fn steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }
}
