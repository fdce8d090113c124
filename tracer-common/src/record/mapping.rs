//! Mapped memory, and pages of it that were touched.

use super::Head;

/// Memory was mapped by `mmap`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Map {
    /// What, who, when.
    pub head: Head,
    /// Where it begins.
    pub address: u64,
    /// Bytes asked for, not rounded to pages.
    pub length: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
    /// `PROT_` bits of the call.
    pub protection: u32,
    /// `MAP_` bits of the call.
    pub flags: u32,
}

/// Memory is being unmapped or remapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Unmap {
    /// What, who, when.
    pub head: Head,
    /// Where the range begins.
    pub address: u64,
    /// Bytes, not rounded to pages.
    pub length: u64,
}

/// What became of an unmapping; [`super::flag::SUCCEEDED`] tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct UnmapEnd {
    /// What, who, when.
    pub head: Head,
}

/// What became of a remapping; [`super::flag::SUCCEEDED`] tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Remap {
    /// What, who, when.
    pub head: Head,
    /// Where the range begins now.
    pub address: u64,
    /// Bytes asked for, not rounded to pages.
    pub length: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
}

/// The program break was moved.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Break {
    /// What, who, when.
    pub head: Head,
    /// The break before the call; 0 when the call does not tell (`brk`).
    pub before: u64,
    /// The break after the call.
    pub after: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
}

/// A page was not there when it was touched, and is now.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Fault {
    /// What, who, when.
    pub head: Head,
    /// The address that was touched.
    pub address: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
    /// What the page belongs to, of [`touched`].
    pub memory: u32,
    /// Bytes of the page, a power of two; 0 when that is not known.
    pub bytes: u32,
}

/// What a page that was touched belongs to: values of [`Fault::memory`].
pub mod touched {
    /// Not known: the process was just changing its mappings.
    pub const UNKNOWN: u32 = 0;
    /// Memory without a file.
    pub const ANONYMOUS: u32 = 1;
    /// Memory below the program break (`[heap]`).
    pub const BREAK: u32 = 2;
    /// A stack that grows by itself: that of a process's first thread.
    pub const STACK: u32 = 3;
    /// A file that is mapped privately: what is written to becomes a copy of the process's own.
    pub const PRIVATE_FILE: u32 = 4;
    /// A file that is mapped to be shared.
    pub const FILE: u32 = 5;
    /// Memory to be shared, which has no file on a disk: `shmem`, `tmpfs`, `memfd`.
    pub const SHARED: u32 = 6;
    /// Huge pages of `hugetlbfs`, which are no part of a process's resident memory.
    pub const HUGE: u32 = 7;
}

const _: () = {
    assert!(size_of::<Map>() == 56);
    assert!(size_of::<Unmap>() == 40);
    assert!(size_of::<UnmapEnd>() == 24);
    assert!(size_of::<Remap>() == 48);
    assert!(size_of::<Break>() == 48);
    assert!(size_of::<Fault>() == 48);
};
