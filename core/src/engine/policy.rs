//! The settings that decide when to ring, when to push and when to give up.

use std::sync::Arc;
use std::time::Duration;

use super::node::NodePolicy;
use super::options::Mode;
use crate::types::{DeviceKey, Provider, app_id};

/// What a 486, 600 or 603 from one device means for the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Decline {
    /// That device is out of this call; the others go on ringing.
    #[default]
    ThisDevice,
    /// The call ends and the caller gets busy or declined.
    All,
}

/// When a caller gets ringing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Alert {
    /// When a phone rings, or a provider has taken the push that will make it ring.
    #[default]
    Push,
    /// When a phone rings.
    Phone,
}

/// What an un-REGISTER (`Expires: 0`) by the device itself means for its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnUnregister {
    /// The user logged out: drop the token.
    #[default]
    Forget,
    /// Apps that un-REGISTER when they are swiped away: keep it, as mod_apn does.
    Keep,
}

/// One app's exceptions from the policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppPolicy {
    /// The provider of its devices; `None` covers all.
    pub provider: Option<Provider>,
    /// The app as devices name it ([`crate::types::PushParams::app`]); `None` covers all apps of the provider.
    pub app: Option<String>,
    /// Only devices whose AOR is in one of these domains (lower case); empty means all.
    pub domains: Vec<String>,
    /// What an un-REGISTER means.
    pub on_unregister: OnUnregister,
    /// Whether a push announces a missed call.
    pub missed_call_push: bool,
    /// Whether a change of the user's voicemail is announced by a push.
    pub voicemail_push: bool,
    /// Whether devices that were woken get a push when the call ends without them.
    pub cancel_push: bool,
    /// When a push asks its phones to register again, if at all.
    pub refresh: Option<Refresh>,
}

impl Default for AppPolicy {
    /// What holds for an app without settings of its own, for all devices.
    fn default() -> Self {
        Self {
            provider: None,
            app: None,
            domains: Vec::new(),
            on_unregister: OnUnregister::default(),
            missed_call_push: false,
            voicemail_push: false,
            cancel_push: true,
            refresh: None,
        }
    }
}

/// When a push asks a phone to register again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refresh {
    /// The latest time before the registration's end. Phones are spread over as much time ahead of it.
    pub before: Duration,
    /// The shortest time between two such pushes to a phone.
    pub gap: Duration,
}

/// [`Policy::park_timeout`], as it is by default.
pub const PARK_TIMEOUT: Duration = Duration::from_secs(20);

/// All decisions about one wake. [`Policy::default`] is the shipped configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// A binding with proof of life younger than this is awake: it is rung, and the push waits `push_delay`.
    pub fresh_for: Duration,
    /// How long the push to an awake device waits for an 18x from it.
    pub push_delay: Duration,
    /// Without a REGISTER this long after a push it is pushed again, with the same call id.
    pub push_retry: Duration,
    /// How many times a device is pushed again in one call.
    pub push_retries: u32,
    /// How long a call waits for a phone to ring at most; its own limit (`call_timeout`, ..) shortens it. A phone that
    /// rings by then rings on for as long as FreeSWITCH's own `bridge` would let it.
    pub max_wait: Duration,
    /// Between the REGISTER and the INVITE, for apps that register before they can take a call.
    pub settle_delay: Duration,
    /// A device pushed less than this ago is not pushed again for another call: that call shares the wake under way.
    pub push_gap: Duration,
    /// REGISTERs of one device within this time of its leg belong to one wake-up and bring no second leg.
    pub debounce: Duration,
    /// What a decline means.
    pub decline: Decline,
    /// When the caller gets ringing.
    pub alert: Alert,
    /// Registrations are told by another SIP server: there is no FreeSWITCH that could be asked which a user has. Read
    /// when the engine is made.
    pub registrations_are_told: bool,
    /// How calls without an option of their own reach their phones.
    pub mode: Mode,
    /// Call pushes per device and minute; 0 means no limit.
    pub device_pushes_per_minute: u32,
    /// Call pushes per caller's number and minute; 0 means no limit. Calls without a number share none.
    pub caller_pushes_per_minute: u32,
    /// Notifications (pushes without a call) per device and minute; 0 means no limit.
    pub device_notifications_per_minute: u32,
    /// How long a provider may keep a notification of type `im` for a phone that is out of reach.
    pub notification_ttl: Duration,
    /// A device that has not registered for this long is forgotten.
    pub token_ttl: Duration,
    /// `park_timeout` of every leg: an answered leg that nobody bridges ends after this long. An overloaded FreeSWITCH
    /// may take seconds for each step to the bridge (2 s for one command, measured).
    pub park_timeout: Duration,
    /// Compare AORs by user only: for sites with one domain.
    pub ignore_domain: bool,
    /// Other names of a domain (left, lower case) and the one that phones register with (right).
    pub domain_aliases: Vec<(String, String)>,
    /// Exceptions by app; the first that matches counts.
    pub apps: Vec<AppPolicy>,
    /// The FreeSWITCHes, by [`crate::types::NodeId`]; may be empty if there is only one.
    pub nodes: Vec<NodePolicy>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            fresh_for: Duration::from_secs(30),
            push_delay: Duration::from_millis(500),
            push_retry: Duration::from_secs(5),
            push_retries: 2,
            max_wait: Duration::from_secs(25),
            settle_delay: Duration::ZERO,
            push_gap: Duration::from_secs(5),
            debounce: Duration::from_secs(1),
            decline: Decline::ThisDevice,
            alert: Alert::Push,
            registrations_are_told: false,
            mode: Mode::Connect,
            device_pushes_per_minute: 10,
            caller_pushes_per_minute: 60,
            device_notifications_per_minute: 60,
            notification_ttl: Duration::from_secs(24 * 3600),
            token_ttl: Duration::from_secs(60 * 24 * 3600),
            park_timeout: PARK_TIMEOUT,
            ignore_domain: false,
            domain_aliases: Vec::new(),
            apps: Vec::new(),
            nodes: Vec::new(),
        }
    }
}

impl Policy {
    /// Whether both compare AORs in the same way.
    pub fn names_alike(&self, other: &Self) -> bool {
        self.ignore_domain == other.ignore_domain && self.domain_aliases == other.domain_aliases
    }

    /// The domain of an AOR as it is compared: aliases resolved, in lower case; empty with `ignore_domain`.
    pub fn domain_of(&self, domain: &Arc<str>) -> Arc<str> {
        if self.ignore_domain {
            return Arc::default();
        }
        let lower = lower(domain);
        let alias = self.domain_aliases.iter().find(|(alias, _)| **alias == *lower);
        alias.map_or(lower, |(_, real)| real.to_ascii_lowercase().into())
    }

    /// All names of an AOR's domain; empty where any domain is the same (`ignore_domain`).
    pub fn names_of(&self, domain: &Arc<str>) -> Vec<Arc<str>> {
        if self.ignore_domain {
            return Vec::new();
        }
        let own = self.domain_of(domain);
        let aliases = self.domain_aliases.iter();
        let others = aliases.filter(|(_, real)| real.eq_ignore_ascii_case(&own));
        let mut names: Vec<Arc<str>> = others.map(|(alias, _)| alias.as_str().into()).collect();
        names.push(own);
        names
    }

    /// The exceptions that hold for a device, if any.
    pub fn app(&self, device: &DeviceKey) -> Option<&AppPolicy> {
        let domain = &device.aor.domain;
        let concerned = |stands_for: fn(&DeviceKey, &str) -> bool| {
            self.apps.iter().find(move |a| {
                a.provider.as_ref().is_none_or(|provider| *provider == device.provider)
                    && a.app.as_deref().is_none_or(|app| stands_for(device, app))
                    && (a.domains.is_empty() || a.domains.iter().any(|d| d.eq_ignore_ascii_case(domain)))
            })
        };
        let exactly = concerned(|device, app| *device.app == *app);
        let exactly_by_name = exactly.filter(|a| a.app.is_some());
        exactly_by_name.or_else(|| concerned(|device, app| app_id::stands_for(&device.provider, &device.app, app)))
    }
}

/// The same text where it is in lower case already, as nearly always.
fn lower(text: &Arc<str>) -> Arc<str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.clone()
    }
}
