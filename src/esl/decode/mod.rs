//! What FreeSWITCH says, as the engine's events. Pure: header lookups in, values out.

mod call_event;
mod held;

pub use call_event::{LeftTo, Said, call_event, is_parked, leg_end, moved_since, moved_to};
pub use held::{Behind, Held, NotACall, Parent, Tone, UNSET, audio_offered, held};
