//! A channel: the held caller, the caller behind a held loopback, or one leg to a phone.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::cause;
use super::held::{App, HeldState};
use super::phone::PhoneAct;
use super::template::When;

/// A channel variable. `later` is true if it was set after the channel was made.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) later: bool,
}

/// A leg's side that belongs to its phone.
pub(crate) struct LegState {
    /// Index into the phone table; `None` if no phone has the address.
    pub(crate) phone: Option<usize>,
    /// Index into that phone's list of INVITEs.
    pub(crate) invite: usize,
    /// Receives what a test makes the phone do, such as `phone.answer()`.
    pub(crate) acts: mpsc::UnboundedSender<PhoneAct>,
    /// Becomes true when the leg is hung up.
    pub(crate) gone: watch::Sender<bool>,
    /// It has left its originate.
    pub(crate) parked: bool,
    /// It was bridged with this channel too early, so the originate's thread will take it out of the bridge.
    pub(crate) cut: Option<String>,
}

/// Which side a channel is.
pub(crate) enum Role {
    /// The caller's own channel, held or behind a loopback, or the loopback that is held in its place.
    Held { loopback: bool, state: Box<HeldState> },
    /// A leg made by `originate`.
    Leg(LegState),
}

/// A live channel.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one channel")]
pub(crate) struct Channel {
    pub(crate) uuid: String,
    pub(crate) role: Role,
    pub(crate) session_id: u64,
    pub(crate) variables: Vec<Variable>,
    /// The running application, its argument and Application-UUID.
    pub(crate) app: (String, String, String),
    /// The argument of `socket`.
    pub(crate) socket: String,
    pub(crate) caller_name: String,
    pub(crate) caller_number: String,
    pub(crate) callee: String,
    pub(crate) destination: String,
    pub(crate) domain: String,
    pub(crate) sip_call_id: String,
    pub(crate) uri: String,
    pub(crate) user_agent: String,
    pub(crate) codec: Option<String>,
    /// Codecs in the caller's offer, or in the answer of a leg's phone.
    pub(crate) offer: Vec<String>,
    pub(crate) times: [u64; 6],
    pub(crate) cause: Option<String>,
    pub(crate) sip_failure: (u16, String),
    pub(crate) peer: Option<String>,
    /// Applications waiting for the channel's thread.
    pub(crate) apps: VecDeque<App>,
    /// What the caller hides: `name`, `number`.
    pub(crate) hides: Vec<String>,
    /// For a loopback: the channel that dialled it. For that channel: the loopback.
    pub(crate) behind: Option<String>,
    /// For both: the loopback's other end (`-a`), which clients do not subscribe to.
    pub(crate) end: String,
    /// A digit waits for the loopback's other end.
    pub(crate) digit_waits: bool,
    /// When another client took it and FreeSWITCH sent an event.
    pub(crate) taken: Option<Instant>,
    /// Another client parked it (`uuid_park`), which leaves no `transfer_source`.
    pub(crate) parked_elsewhere: bool,
    /// What took it out of its park last (`transfer_source`), and the whole history (`transfer_history`).
    pub(crate) transfer_source: String,
    pub(crate) transfers: Vec<String>,
    /// The channel that it is bridged with, and the last one that it was bridged with (`last_bridge_to`, which stays).
    pub(crate) bridge_uuid: String,
    pub(crate) last_bridge: String,
    pub(crate) partner: Partner,
    /// It is the A leg of its bridge.
    pub(crate) is_a_leg: bool,
    /// For a loopback: its caller was bridged in its place.
    pub(crate) replaced: bool,
}

/// The channel that ends if this one is picked up (`switch_channel_get_partner_uuid`).
#[derive(Clone)]
pub(crate) enum Partner {
    /// The leg most recently made as its child (`originate_signal_bond`).
    OfOriginate,
    /// The channel that it is bridged with, or will be (`signal_bond`).
    Bonded(String),
    /// No partner.
    None,
}

impl Channel {
    pub(crate) fn new(uuid: String, role: Role, session_id: u64) -> Self {
        Self {
            uuid,
            role,
            session_id,
            variables: Vec::new(),
            app: Default::default(),
            socket: String::new(),
            caller_name: String::new(),
            caller_number: String::new(),
            callee: String::new(),
            destination: String::new(),
            domain: String::new(),
            sip_call_id: String::new(),
            uri: String::new(),
            user_agent: String::new(),
            codec: None,
            offer: Vec::new(),
            times: [super::clock::micros(), 0, 0, 0, 0, 0],
            cause: None,
            sip_failure: (487, cause::phrase(487).to_owned()),
            peer: None,
            apps: VecDeque::new(),
            hides: Vec::new(),
            behind: None,
            end: String::new(),
            digit_waits: false,
            taken: None,
            parked_elsewhere: false,
            transfer_source: String::new(),
            transfers: Vec::new(),
            bridge_uuid: String::new(),
            last_bridge: String::new(),
            partner: Partner::OfOriginate,
            is_a_leg: false,
            replaced: false,
        }
    }

    /// Whether `socket` without `async` holds it.
    pub(crate) fn is_static(&self) -> bool {
        matches!(&self.role, Role::Held { state, .. } if state.is_static)
    }

    pub(crate) fn is_leg(&self) -> bool {
        matches!(self.role, Role::Leg(_))
    }

    /// Whether this is the caller's own channel behind a loopback.
    pub(crate) fn is_behind(&self) -> bool {
        !self.is_loopback() && self.behind.is_some()
    }

    pub(crate) fn is_loopback(&self) -> bool {
        matches!(self.role, Role::Held { loopback: true, .. })
    }

    pub(crate) fn held(&mut self) -> Option<&mut HeldState> {
        match &mut self.role {
            Role::Held { state, .. } => Some(state),
            Role::Leg(_) => None,
        }
    }

    pub(crate) fn leg(&self) -> Option<&LegState> {
        match &self.role {
            Role::Leg(leg) => Some(leg),
            Role::Held { .. } => None,
        }
    }

    pub(crate) fn time(&self, when: When) -> u64 {
        self.times[when as usize]
    }

    pub(crate) fn stamp(&mut self, when: When) {
        self.times[when as usize] = super::clock::micros();
    }

    /// Whether it can be bridged: answered, or with early media.
    pub(crate) fn has_media(&self) -> bool {
        self.is_answered() || self.time(When::Media) != 0
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.time(When::Answered) != 0
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .iter()
            .find(|variable| variable.name == name)
            .map(|variable| variable.value.as_str())
    }

    /// Sets a variable as FreeSWITCH does. A changed variable moves to the end; an empty value removes it.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str, later: bool) {
        match (name, value, &self.partner) {
            ("signal_bond", "", Partner::Bonded(_)) => self.partner = Partner::OfOriginate,
            ("signal_bond", other, _) if !other.is_empty() => return self.partner = Partner::Bonded(other.to_owned()),
            ("originate_signal_bond", "", Partner::OfOriginate) => self.partner = Partner::None,
            _ => {}
        }
        self.variables.retain(|variable| variable.name != name);
        if !value.is_empty() {
            self.variables.push(Variable {
                name: name.to_owned(),
                value: value.to_owned(),
                later,
            });
        }
    }

    /// Records a transfer in `transfer_source`.
    pub(crate) fn is_moved(&mut self, source: String) {
        self.transfers.push(source.clone());
        self.transfer_source = source;
    }

    /// The value of a variable that FreeSWITCH maintains itself.
    pub(crate) fn own_variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "signal_bond" => self.bond().unwrap_or_default().to_owned(),
            "transfer_history" if self.transfers.len() > 1 => format!("ARRAY::{}", self.transfers.join("|:")),
            "transfer_source" | "transfer_history" => self.transfer_source.clone(),
            "caller_id_number" => self.caller_number.clone(),
            "bridge_uuid" | "bridge_to" => self.bridge_uuid.clone(),
            "last_bridge_to" => self.last_bridge.clone(),
            _ => String::new(),
        };
        Some(value).filter(|value| !value.is_empty())
    }

    /// `signal_bond`.
    pub(crate) fn bond(&self) -> Option<&str> {
        match &self.partner {
            Partner::Bonded(other) => Some(other),
            Partner::OfOriginate | Partner::None => None,
        }
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.variable(name)
            .is_some_and(|value| matches!(value, "true" | "yes" | "on" | "1" | "t" | "enabled"))
    }

    /// `host:port` of a leg's URI.
    pub(crate) fn uri_address(&self) -> &str {
        let plain = self.uri.split(';').next().unwrap_or("");
        plain
            .rsplit_once('@')
            .map_or_else(|| plain.trim_start_matches("sip:"), |(_, address)| address)
    }

    /// `sofia/internal/1001@127.0.0.1:55301`, `loopback/1001@fs.test-b`, ...
    pub(crate) fn name(&self) -> String {
        if self.is_leg() {
            format!("sofia/internal/{}@{}", self.callee, self.uri_address())
        } else if self.is_loopback() {
            format!("loopback/{}-b", self.destination)
        } else {
            format!("sofia/internal/{}@{}", self.caller_number, self.domain)
        }
    }

    /// `ep_codec_string`: module, name, rate, packet time and bit rate of every offered codec.
    pub(crate) fn offer_as_endpoint_string(&self) -> String {
        let named = |codec: &String| match codec.as_str() {
            "opus" => "mod_opus.opus@48000h@20i@2c".to_owned(),
            "G722" => "mod_spandsp.G722@8000h@20i@64000b".to_owned(),
            other => format!("CORE_PCM_MODULE.{other}@8000h@20i@64000b"),
        };
        self.offer.iter().map(named).collect::<Vec<_>>().join(",")
    }
}
