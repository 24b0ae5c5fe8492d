//! Which FreeSWITCH it is, where fswake serves several.

/// A FreeSWITCH: its place in the configuration, from 0. Where there is only one, it is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The first of them, or the only one.
    pub const FIRST: Self = Self(0);

    /// Its place in lists of all FreeSWITCHes.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}
