//! Whom refusals have met: one callee's may be his own, those of several in a row are the app's.

use crate::types::Aor;

/// For so many callees in a row calls are refused before it is the app that is at fault.
const SEVERAL: usize = 3;

/// Whom something has happened to; as many as it takes to be several.
#[derive(Default)]
pub(crate) struct Callees(Vec<Aor>);

impl Callees {
    /// It has happened to one more: whether they are several now.
    pub(crate) fn is_several(&mut self, callee: &Aor) -> bool {
        if !self.0.contains(callee) && self.0.len() < SEVERAL {
            self.0.push(callee.clone());
        }
        self.0.len() == SEVERAL
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
