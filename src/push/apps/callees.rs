//! Counts different callees whose pushes failed: one may be the callee's own fault, several in a row are the app's.

use crate::types::Aor;

/// This many callees in a row make it the app's fault.
const SEVERAL: usize = 3;

/// Different callees, at most [`SEVERAL`].
#[derive(Default)]
pub(crate) struct Callees(Vec<Aor>);

impl Callees {
    /// Adds a callee; returns whether there are several now.
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
