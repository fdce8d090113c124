//! The life of processes.

use super::Head;

/// A process was forked.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Fork {
    /// What, who (the parent), when.
    pub head: Head,
    /// The child's process id.
    pub child: u32,
    /// 0.
    pub unused: u32,
}

const _: () = {
    assert!(size_of::<Fork>() == 32);
};
