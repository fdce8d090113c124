//! Blocks.

use super::Head;
use crate::sampling::Counts;

/// A block was allocated.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Allocation {
    /// What, who, when.
    pub head: Head,
    /// Where the block begins.
    pub address: u64,
    /// Bytes asked for.
    pub size: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
}

/// A block was allocated that was chosen to stand for others, too.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Sampled {
    /// The block. Its head's kind is [`super::Kind::Sampled`].
    pub allocation: Allocation,
    /// The interval by which it was chosen; 1 or 0 when every block is recorded.
    pub interval: u32,
    /// For how many times its length the pulse stands in which it was recorded; 1 or 0 when it was not in pulses.
    pub pulse: u32,
}

/// A thread has ended. Of two that end at the same time, the last may be told of first: after its process's exit.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Counted {
    /// What, who, when.
    pub head: Head,
    /// What it had done.
    pub counts: Counts,
}

/// A block is being freed or resized.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Release {
    /// What, who, when.
    pub head: Head,
    /// Where the block begins.
    pub address: u64,
}

/// What became of a resize; [`super::flag::SUCCEEDED`] tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Resize {
    /// What, who, when.
    pub head: Head,
    /// Where the block began before the call.
    pub address: u64,
}

const _: () = {
    assert!(size_of::<Allocation>() == 48);
    assert!(size_of::<Sampled>() == 56);
    assert!(size_of::<Counted>() == 48);
    assert!(size_of::<Release>() == 32);
    assert!(size_of::<Resize>() == 32);
};
