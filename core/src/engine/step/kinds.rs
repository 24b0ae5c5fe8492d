//! Details of steps that are one of a few words.

use crate::word_enum;

word_enum! {
    /// What happens to the caller of a hold that is over.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Caller {
        /// Talks to a phone.
        Connected = "connected",
        /// Goes on in the dialplan.
        Dialplan = "dialplan",
        /// Somebody else has the call.
        Taken = "taken",
        /// Has hung up.
        Gone = "gone",
        /// There was none: whoever asked for the wake has the answer.
        Asker = "asker",
    }
}

word_enum! {
    /// How a phone of the callee registered.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RegisterKind {
        /// It was not registered.
        Fresh = "fresh",
        /// From another address than before.
        Moved = "moved",
        /// From the same address.
        Refresh = "refresh",
    }
}

word_enum! {
    /// How somebody else got the call.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TakeoverKind {
        /// Call pick-up, `intercept`, `uuid_bridge`.
        PickedUp = "picked-up",
        /// Somewhere else in the dialplan.
        Transferred = "transferred",
        /// `uuid_park`.
        Parked = "parked",
        /// Another phone of a ring group answered.
        LostRace = "lost-race",
    }
}

word_enum! {
    /// Who rings the phones that were registered when the call came.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Ringer {
        /// FreeSWITCH, from the same dial-string.
        FreeSwitch = "freeswitch",
        /// Nobody else does.
        Fswake = "fswake",
    }
}
