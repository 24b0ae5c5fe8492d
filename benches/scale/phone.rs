//! REGISTERs, as FreeSWITCH reports them.

use std::sync::Arc;

use fswake_test_support::freeswitch::{Event, FakeFreeSwitch};

/// A phone that registers.
pub struct Phone<'a> {
    pub user: &'a str,
    pub domain: &'a str,
    /// Of its Contact; empty or with a `;` in front.
    pub params: &'a str,
    pub call_id: &'a str,
    pub user_agent: &'a str,
}

impl Phone<'_> {
    /// Registers it for an hour.
    pub fn register(&self, fs: &FakeFreeSwitch) -> Arc<Event> {
        let contact = format!("\"\" <sip:{}@127.0.0.9:5060;transport=tls{}>", self.user, self.params);
        let headers = [
            ("profile-name", "internal"),
            ("from-user", self.user),
            ("from-host", self.domain),
            ("presence-hosts", "n/a"),
            ("contact", contact.as_str()),
            ("call-id", self.call_id),
            ("rpid", "unknown"),
            ("status", "Registered(TLS)"),
            ("expires", "3600"),
            ("to-user", self.user),
            ("to-host", self.domain),
            ("network-ip", "127.0.0.9"),
            ("network-port", "5060"),
            ("username", self.user),
            ("realm", self.domain),
            ("user-agent", self.user_agent),
            ("sip_number_alias", self.user),
            ("sip_auth_username", self.user),
            ("sip_auth_realm", self.domain),
            ("number_alias", self.user),
            ("user_name", self.user),
            ("domain_name", self.domain),
            ("user_context", "default"),
        ];
        fs.fire_custom("sofia::register", &headers)
    }
}
