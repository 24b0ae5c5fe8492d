//! The details of a step, as recorded in the journal.

use std::sync::Arc;
use std::time::Duration;

use super::kinds::{Caller, RegisterKind, Ringer, TakeoverKind};
use crate::engine::command::HoldResult;
use crate::engine::event::Routing;
use crate::engine::party::Origin;
use crate::types::push::{CancelReason, PushErrorKind};

/// One detail, ready for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailValue<'a> {
    /// Text, from the network or from fswake.
    Text(&'a str),
    /// A count, a status or milliseconds.
    Number(u64),
    /// Not known: left out.
    None,
}

/// The types that a detail can have.
pub(super) trait Detail {
    /// As it is shown.
    fn value(&self) -> DetailValue<'_>;
}

impl Detail for Arc<str> {
    fn value(&self) -> DetailValue<'_> {
        DetailValue::Text(self)
    }
}

/// Empty when it is not known.
impl Detail for Option<Arc<str>> {
    fn value(&self) -> DetailValue<'_> {
        DetailValue::Text(self.as_deref().unwrap_or_default())
    }
}

impl Detail for &'static str {
    fn value(&self) -> DetailValue<'_> {
        DetailValue::Text(self)
    }
}

/// Enums with a word for each value.
macro_rules! words {
    ($($word_enum:ty),*) => {
        $(
            impl Detail for $word_enum {
                fn value(&self) -> DetailValue<'_> {
                    DetailValue::Text(self.as_str())
                }
            }
        )*
    };
}

words!(
    Routing,
    Origin,
    CancelReason,
    HoldResult,
    Caller,
    RegisterKind,
    TakeoverKind,
    Ringer
);

impl Detail for PushErrorKind {
    fn value(&self) -> DetailValue<'_> {
        DetailValue::Text(self.code())
    }
}

impl Detail for bool {
    fn value(&self) -> DetailValue<'_> {
        DetailValue::Text(if *self { "yes" } else { "no" })
    }
}

impl Detail for u16 {
    fn value(&self) -> DetailValue<'_> {
        DetailValue::Number((*self).into())
    }
}

impl Detail for Option<u16> {
    fn value(&self) -> DetailValue<'_> {
        self.as_ref().map_or(DetailValue::None, Detail::value)
    }
}

impl Detail for u32 {
    fn value(&self) -> DetailValue<'_> {
        DetailValue::Number((*self).into())
    }
}

/// Milliseconds, rounded down.
impl Detail for Duration {
    fn value(&self) -> DetailValue<'_> {
        DetailValue::Number(u64::try_from(self.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Detail for Option<Duration> {
    fn value(&self) -> DetailValue<'_> {
        self.as_ref().map_or(DetailValue::None, Detail::value)
    }
}
