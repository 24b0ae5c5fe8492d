//! The configuration file as written: names and types only. Missing values are `None`; the checks handle values and
//! defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    pub freeswitch: FreeSwitches,
    pub cluster: Cluster,
    pub listen: Listen,
    pub wake: WakeSection,
    pub aor: AorNames,
    pub contact: Contact,
    pub notifications: Notifications,
    pub store: Store,
    pub http: Http,
    pub log: Log,
    pub run: Run,
    pub app: Vec<AppTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FreeSwitch {
    pub enabled: Option<bool>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub password_file: Option<String>,
    pub user: Option<String>,
    pub name: Option<String>,
    pub sip: Option<String>,
    pub profile: Option<String>,
    pub edges: Option<Vec<String>>,
}

/// `[freeswitch]`, or `[[freeswitch]]` for each of several.
#[derive(Debug)]
pub(super) struct FreeSwitches {
    pub all: Vec<FreeSwitch>,
    /// Written as `[[freeswitch]]`.
    pub is_list: bool,
}

impl Default for FreeSwitches {
    fn default() -> Self {
        Self {
            all: vec![FreeSwitch::default()],
            is_list: false,
        }
    }
}

impl<'de> Deserialize<'de> for FreeSwitches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = FreeSwitches;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a section [freeswitch], or one [[freeswitch]] for each")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FreeSwitches, A::Error> {
                let one = FreeSwitch::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(FreeSwitches {
                    all: vec![one],
                    is_list: false,
                })
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<FreeSwitches, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = items.next_element()? {
                    all.push(one);
                }
                Ok(FreeSwitches { all, is_list: true })
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub key_file: Option<String>,
    pub name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Listen {
    pub addresses: Option<Vec<String>>,
    pub allow: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WakeSection {
    pub fresh_for: Option<Time>,
    pub push_delay: Option<Time>,
    pub push_retry: Option<Time>,
    pub push_retries: Option<u32>,
    pub max_wait: Option<Time>,
    pub settle_delay: Option<Time>,
    pub push_gap: Option<Time>,
    pub debounce: Option<Time>,
    pub decline: Option<String>,
    pub alert: Option<String>,
    pub mode: Option<String>,
    pub wait_for: Option<String>,
    pub on_unregister: Option<String>,
    pub device_pushes_per_minute: Option<u32>,
    pub caller_pushes_per_minute: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AorNames {
    pub domain_aliases: BTreeMap<String, String>,
    pub ignore_domain: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Contact {
    pub strip_push_params: Option<bool>,
    pub webpush_p256dh: Option<String>,
    pub webpush_auth: Option<String>,
    pub params: Option<Vec<Params>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Params {
    pub preset: Option<String>,
    pub user_agent: Option<String>,
    pub user_agent_regex: Option<String>,
    pub voip_token: Option<String>,
    pub im_token: Option<String>,
    pub app_id: Option<String>,
    pub platform: Option<String>,
    pub platforms: BTreeMap<String, String>,
    pub provider: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Notifications {
    pub events: Option<bool>,
    pub device_per_minute: Option<u32>,
    pub ttl: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Store {
    pub path: Option<String>,
    pub url: Option<String>,
    pub password_file: Option<String>,
    pub token_ttl: Option<Time>,
    pub journal_keep: Option<Time>,
    pub journal_max_lines: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Http {
    pub addresses: Option<Vec<String>>,
    pub token_file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Log {
    pub format: Option<String>,
    pub filter: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Run {
    pub drain_timeout: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AppTable {
    pub name: Option<String>,
    pub provider: Option<String>,
    pub providers: Vec<String>,
    pub app_ids: Vec<String>,
    pub domains: Vec<String>,
    pub tenant: Option<String>,
    pub key_file: Option<String>,
    pub key_id: Option<String>,
    pub team_id: Option<String>,
    pub next_key_file: Option<String>,
    pub next_key_id: Option<String>,
    pub cert_file: Option<String>,
    pub cert_key_file: Option<String>,
    pub cert_password_file: Option<String>,
    pub service_account_file: Option<String>,
    pub client_id: Option<String>,
    pub client_secret_file: Option<String>,
    pub token_url: Option<String>,
    pub vapid_key_file: Option<String>,
    pub vapid_subject: Option<String>,
    pub allow_hosts: Vec<String>,
    pub deny_hosts: Vec<String>,
    pub allow_networks: Vec<String>,
    pub deny_networks: Vec<String>,
    pub base_url: Option<String>,
    pub ca_file: Option<String>,
    pub proxy: Option<String>,
    pub proxy_auth_file: Option<String>,
    pub topic: Option<String>,
    pub apns_collapse_id: BTreeMap<String, String>,
    pub apns_expiration: BTreeMap<String, Time>,
    pub apns_priority: BTreeMap<String, i64>,
    pub payload: Option<String>,
    pub payload_file: Option<String>,
    pub on_unregister: Option<String>,
    pub cancel_push: Option<bool>,
    pub missed_call_push: Option<bool>,
    pub voicemail_push: Option<bool>,
    pub refresh_before: Option<Time>,
    pub refresh_gap: Option<Time>,
    pub platforms: BTreeMap<String, String>,
    pub voip: Option<ProfileSection>,
    pub im: Option<ProfileSection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ProfileSection {
    pub url: Option<String>,
    pub method: Option<String>,
    pub auth_type: Option<String>,
    pub auth_file: Option<String>,
    pub client_id: Option<String>,
    pub token_url: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub content_type: Option<String>,
    pub body: Option<String>,
    pub body_file: Option<String>,
    pub connect_timeout: Option<Time>,
    pub timeout: Option<Time>,
    pub insecure: Option<bool>,
    pub refused_when: Vec<RefusedWhenTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RefusedWhenTable {
    pub pointer: Option<String>,
    pub is: Option<Values>,
    pub not: Option<Values>,
    pub exists: Option<bool>,
    pub means: Option<String>,
}

/// One or several texts, numbers or truths, each as text.
#[derive(Debug, Default)]
pub(super) struct Values(pub Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyOf;
        impl<'de> Visitor<'de> for AnyOf {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Values, E> {
                Ok(Values(vec![text.to_owned()]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Values, E> {
                Ok(Values(vec![number.to_string()]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Values, E> {
                Ok(Values(vec![number.to_string()]))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Values, E> {
                Ok(Values(vec![truth.to_string()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Values, A::Error> {
                let mut all = Vec::new();
                while let Some(Values(one)) = items.next_element()? {
                    all.extend(one);
                }
                Ok(Values(all))
            }
        }
        deserializer.deserialize_any(AnyOf)
    }
}

/// A duration as written, with its own type, so that a number without a unit gets a clear error.
#[derive(Debug)]
pub(super) struct Time(String);

impl Deref for Time {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                Ok(Time(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
