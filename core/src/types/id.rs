//! fswake's own ids: calls, legs, pushes, notifications.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// One held call. Also the namespace of its legs' channel UUIDs and SIP Call-IDs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub Uuid);

impl CallId {
    /// The SIP Call-ID of every INVITE to one party of the call, and what that party's push carries.
    ///
    /// One for each party: two dialogs with one Call-ID confuse phones and FreeSWITCH.
    ///
    /// # Examples
    /// ```
    /// use fswake_core::types::CallId;
    ///
    /// let call = CallId(uuid::Uuid::from_u128(1));
    /// assert_eq!(call.sip_call_id(0), call.sip_call_id(0));
    /// assert_ne!(call.sip_call_id(0), call.sip_call_id(1));
    /// ```
    pub fn sip_call_id(self, party: usize) -> Arc<str> {
        Uuid::new_v5(&self.0, format!("party {party}").as_bytes())
            .to_string()
            .into()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One B-leg of a held call, numbered from 0 within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId {
    /// The call that the leg belongs to.
    pub call: CallId,
    /// Its number within that call.
    pub n: u32,
}

impl LegId {
    /// The channel UUID of the leg (`origination_uuid`).
    ///
    /// Derived (UUID version 5, RFC 9562 section 5.5), so that the connection can set its event filter for the next leg
    /// ahead of time.
    pub fn channel(self) -> Uuid {
        Uuid::new_v5(&self.call.0, format!("leg {}", self.n).as_bytes())
    }
}

/// One push: a request to a provider for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PushId(pub u64);

/// One requested notification: a message to every device of one AOR, not a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotificationId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_of_a_call_have_distinct_repeatable_channels() {
        let call = CallId(Uuid::from_u128(7));
        assert_eq!(LegId { call, n: 1 }.channel(), LegId { call, n: 1 }.channel());
        assert_ne!(LegId { call, n: 1 }.channel(), LegId { call, n: 2 }.channel());
    }
}
