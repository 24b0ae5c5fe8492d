//! Registrations and their events, with the recorded order of headers.

use std::borrow::Cow;
use std::sync::Arc;

use super::core::Core;
use super::event::{Event, percent_encode};
use super::phone::PhoneSpec;

/// FreeSWITCH rebuilds contacts in a buffer of 1024 bytes (mod_sofia/sofia_reg.c).
const CONTACT_BUFFER: usize = 1023;

/// A registration as FreeSWITCH stores it.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) user: String,
    pub(crate) domain: String,
    pub(crate) call_id: String,
    /// As in the event: `"" <sip:...>`, truncated if too long.
    pub(crate) contact: String,
    pub(crate) status: String,
    pub(crate) expires: u32,
    pub(crate) ip: String,
    pub(crate) port: String,
    pub(crate) transport: String,
    pub(crate) agent: String,
    pub(crate) authenticated: bool,
    pub(crate) profile: String,
    /// Seconds since 1970-01-01.
    pub(crate) since: u64,
}

impl Registration {
    pub(crate) fn new(spec: &PhoneSpec) -> Self {
        let (ip, port) = spec.address.rsplit_once(':').unwrap_or((&spec.address, "5060"));
        let tail = if spec.params.is_empty() {
            String::new()
        } else {
            format!(";{}", spec.params)
        };
        let shown = spec.behind.as_ref().unwrap_or(&spec.address);
        let mut contact = format!("\"\" <sip:{}@{shown}{tail}", spec.user);
        let transport = spec.transport.to_ascii_uppercase();
        let mut status = format!("Registered({transport})");
        if spec.behind.is_some() {
            let path = percent_encode(&format!("sip:{}@{}{tail}", spec.user, spec.address));
            contact.push_str(";fs_nat=yes;fs_path=");
            contact.push_str(&path);
            status = format!("Registered({transport}-NAT)");
        }
        contact.push('>');
        let mut cut = contact.len().min(CONTACT_BUFFER);
        while !contact.is_char_boundary(cut) {
            cut -= 1;
        }
        contact.truncate(cut);
        Self {
            user: spec.user.clone(),
            domain: spec.domain.clone(),
            call_id: spec.call_id.clone(),
            contact,
            status,
            expires: spec.expires,
            ip: ip.to_owned(),
            port: port.to_owned(),
            transport: spec.transport.clone(),
            agent: spec.agent.clone(),
            authenticated: spec.authenticated,
            profile: spec.profile.clone(),
            since: super::clock::micros() / 1_000_000,
        }
    }

    /// As with `multiple-registrations=contact`.
    pub(crate) fn key(&self) -> (String, String, String) {
        (self.user.clone(), self.domain.clone(), self.contact.clone())
    }

    /// The dial-string in `show registrations` and `sofia_contact`: the contact without `<` and `>`.
    pub(crate) fn dial_string(&self) -> String {
        let uri = self
            .contact
            .split_once('<')
            .map_or(self.contact.as_str(), |(_, uri)| uri);
        format!("sofia/{}/{}", self.profile, uri.trim_end_matches('>'))
    }

    fn username(&self) -> &str {
        if self.authenticated { &self.user } else { "unknown" }
    }

    fn directory_headers(&self) -> Vec<(&'static str, String)> {
        if !self.authenticated {
            return Vec::new();
        }
        let (user, domain) = (&self.user, &self.domain);
        vec![
            ("sip_number_alias", user.clone()),
            ("sip_auth_username", user.clone()),
            ("sip_auth_realm", domain.clone()),
            ("number_alias", user.clone()),
            ("user_name", user.clone()),
            ("domain_name", domain.clone()),
            ("user_context", "default".to_owned()),
        ]
    }
}

impl Core {
    /// A phone's registration, at the server's profile unless it names another.
    pub(crate) fn registration(&self, spec: &PhoneSpec) -> Registration {
        let mut registration = Registration::new(spec);
        if registration.profile.is_empty() {
            registration.profile.clone_from(&self.config.profile);
        }
        registration
    }

    /// Stores a registration and sends its event.
    pub(crate) fn register(&self, registration: &Registration, refresh: bool) -> Arc<Event> {
        self.world()
            .registrations
            .insert(registration.key(), registration.clone());
        self.announce(registration, refresh)
    }

    /// Only sends the event, and stores nothing (for benches).
    pub(crate) fn announce(&self, r: &Registration, refresh: bool) -> Arc<Event> {
        let mut fields = vec![
            ("profile-name", r.profile.clone()),
            ("from-user", r.user.clone()),
            ("from-host", r.domain.clone()),
            ("presence-hosts", "n/a".to_owned()),
            ("contact", r.contact.clone()),
            ("call-id", r.call_id.clone()),
            ("rpid", "unknown".to_owned()),
            ("status", r.status.clone()),
            ("expires", r.expires.to_string()),
            ("to-user", r.user.clone()),
            ("to-host", r.domain.clone()),
            ("network-ip", r.ip.clone()),
            ("network-port", r.port.clone()),
            ("username", r.username().to_owned()),
            ("realm", r.domain.clone()),
            ("user-agent", r.agent.clone()),
        ];
        if refresh {
            fields.push(("update-reg", "true".to_owned()));
        }
        fields.extend(r.directory_headers());
        self.custom(
            "sofia::register",
            ("sofia_reg.c", "sofia_reg_handle_register_token", "2059"),
            fields,
        )
    }

    /// A REGISTER with Expires 0.
    pub(crate) fn unregister(&self, r: &Registration) {
        self.world().registrations.remove(&r.key());
        let mut fields = vec![
            ("profile-name", r.profile.clone()),
            ("username", r.username().to_owned()),
            ("from-user", r.user.clone()),
            ("from-host", r.domain.clone()),
            ("contact", r.contact.clone()),
            ("call-id", r.call_id.clone()),
            ("rpid", "unknown".to_owned()),
            ("realm", r.domain.clone()),
            ("network-ip", r.ip.clone()),
            ("network-port", r.port.clone()),
            ("user-agent", r.agent.clone()),
            ("expires", "0".to_owned()),
        ];
        fields.extend(r.directory_headers());
        self.custom(
            "sofia::unregister",
            ("sofia_reg.c", "sofia_reg_handle_register_token", "2213"),
            fields,
        );
    }

    /// Closes a TCP connection on a profile with `tcp-unreg-on-socket-close`: removes the row of this Call-ID and
    /// address.
    pub(crate) fn socket_disconnection(&self, r: &Registration) {
        self.world()
            .registrations
            .retain(|_, row| (&row.call_id, &row.ip, &row.port) != (&r.call_id, &r.ip, &r.port));
        let fields = vec![
            ("profile-name", r.profile.clone()),
            ("from-user", r.user.clone()),
            ("from-host", r.domain.clone()),
            ("call-id", r.call_id.clone()),
            ("rpid", "unknown".to_owned()),
            ("reason", "socket-disconnection".to_owned()),
        ];
        self.custom(
            "sofia::unregister",
            ("sofia.c", "our_sofia_event_callback", "2080"),
            fields,
        );
    }

    /// Expires a registration (sofia_reg.c, `sofia_reg_del_callback`; not in the recordings).
    pub(crate) fn expire(&self, r: &Registration) {
        self.world().registrations.remove(&r.key());
        let fields = vec![
            ("profile-name", r.profile.clone()),
            ("call-id", r.call_id.clone()),
            ("user", r.user.clone()),
            ("username", r.user.clone()),
            ("host", r.domain.clone()),
            ("contact", r.contact.clone()),
            ("expires", (r.since + u64::from(r.expires)).to_string()),
            ("user-agent", r.agent.clone()),
            ("realm", r.domain.clone()),
            ("network-ip", r.ip.clone()),
            ("network-port", r.port.clone()),
        ];
        self.custom(
            "sofia::expire",
            ("sofia_reg.c", "sofia_reg_del_callback", "726"),
            fields,
        );
    }

    /// Reports an answered or missed OPTIONS ping (sofia_reg.c, `sofia_reg_fire_custom_sip_user_state_event`; not in
    /// the recordings). The event has REACHABLE in capitals, lists have Reachable.
    pub(crate) fn ping(&self, r: &Registration, reachable: bool) {
        let (state, status, phrase) = if reachable {
            ("REACHABLE", "200", "OK")
        } else {
            ("UNREACHABLE", "408", "Request Timeout")
        };
        let fields = vec![
            ("sip_contact", r.contact.clone()),
            ("profile-name", r.profile.clone()),
            ("sip_user", format!("{}@{}", r.user, r.domain)),
            ("from-user", r.user.clone()),
            ("from-host", r.domain.clone()),
            ("call-id", r.call_id.clone()),
            ("Ping-Status", state.to_owned()),
            ("Status", status.to_owned()),
            ("Phrase", phrase.to_owned()),
        ];
        let calling = ("sofia_reg.c", "sofia_reg_fire_custom_sip_user_state_event", "180");
        self.custom("sofia::sip_user_state", calling, fields);
    }

    pub(crate) fn custom(
        &self,
        subclass: &str,
        calling: (&str, &str, &str),
        fields: Vec<(&'static str, String)>,
    ) -> Arc<Event> {
        let mut headers = self.base_headers("CUSTOM", Some(subclass), calling);
        headers.extend(fields.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)));
        self.fire("CUSTOM", headers, None)
    }
}
