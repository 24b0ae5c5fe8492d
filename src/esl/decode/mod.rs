//! FreeSWITCH's messages as the engine's events. Pure: header lookups in, values out.

mod call_event;
mod held_channel;

pub use call_event::{CallEvent, TransferTarget, call_event, channels_since, is_parked, leg_end, transfer_target};
pub use held_channel::{Behind, HeldChannel, NotACall, Parent, Ringback, UNSET, audio_offered, held_channel};
