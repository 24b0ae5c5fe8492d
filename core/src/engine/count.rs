//! What is counted for metrics, without any other effect.

use std::sync::Arc;
use std::time::Duration;

use crate::types::DeviceKey;

/// Something that happened to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// A call is over for which the device was pushed.
    Wake {
        /// The device.
        device: Arc<DeviceKey>,
        /// The result.
        outcome: WakeOutcome,
        /// From a push to the first REGISTER after it, if it registered.
        push_to_register: Option<Duration>,
    },
    /// It was pushed so that it registers again before its registration ends.
    Refresh {
        /// The device.
        device: Arc<DeviceKey>,
        /// From the push to its next REGISTER; `None`: there was none before the registration ended.
        came: Option<Duration>,
    },
    /// It registered when the call that it was pushed for was over.
    Late {
        /// The device.
        device: Arc<DeviceKey>,
        /// How long the call had been over.
        late: Duration,
    },
}

/// The result of pushing one device for one call: the furthest that it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WakeOutcome {
    /// It took the call.
    Answered,
    /// It rang, and did not take the call.
    Rang,
    /// It registered, and did not ring.
    Registered,
    /// The provider took the push, the call was held to its end, and the phone never registered.
    Bounced,
    /// No push was taken by the provider.
    Refused,
    /// The call was over before the phone could react: the caller hung up, or another phone answered.
    CallOver,
}

impl WakeOutcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Answered,
        Self::Rang,
        Self::Registered,
        Self::Bounced,
        Self::Refused,
        Self::CallOver,
    ];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Rang => "rang",
            Self::Registered => "registered",
            Self::Bounced => "bounced",
            Self::Refused => "refused",
            Self::CallOver => "call-over",
        }
    }
}
