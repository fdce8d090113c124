//! Bytes and blocks, by kind of memory.

use std::ops::{Add, AddAssign, Sub};

use serde::Serialize;

use crate::numbers::{float, whole};

/// An amount of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Usage {
    /// Bytes asked for (heap), or bytes of whole pages (mappings).
    pub bytes: u64,
    /// Blocks, mapped ranges, or pages of 4 KiB (of touched memory).
    pub blocks: u64,
}

impl Usage {
    /// One block of `bytes`.
    #[must_use]
    pub const fn block(bytes: u64) -> Self {
        Self { bytes, blocks: 1 }
    }

    /// So many times as much.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { bytes: whole(float(self.bytes) * factor), blocks: whole(float(self.blocks) * factor) }
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { bytes: self.bytes.max(other.bytes), blocks: self.blocks.max(other.blocks) }
    }
}

/// As much as can be counted: sizes are what a program asks for, and a program may ask for anything.
impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), blocks: self.blocks.saturating_add(other.blocks) }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What is left; nothing rather than less than nothing.
impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), blocks: self.blocks.saturating_sub(other.blocks) }
    }
}

/// What became of memory since the trace began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Outstanding already when the process was forked.
    pub inherited: Usage,
    /// Allocated, whether freed or not.
    pub allocated: Usage,
    /// Freed, of what was inherited or allocated.
    pub freed: Usage,
    /// Inherited or allocated, and not freed.
    pub outstanding: Usage,
    /// The largest outstanding; bytes and blocks each at their own time. With more than one ring it is the sum of the
    /// rings' peaks, which can be larger than the true one: see [`super::Cost::rings`].
    pub peak: Usage,
}

impl Totals {
    /// So many times as much, so that what came in still is what went out and what is left.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let [inherited, allocated, outstanding, peak] =
            [self.inherited, self.allocated, self.outstanding, self.peak].map(|usage| usage.scaled(factor));
        Self { inherited, allocated, freed: inherited + allocated - outstanding, outstanding, peak }
    }

    /// Of a sum: another in the place of a part, but for the peak, which is that of the sum.
    pub fn replace(&mut self, part: &Self, other: &Self) {
        self.inherited = self.inherited - part.inherited + other.inherited;
        self.allocated = self.allocated - part.allocated + other.allocated;
        self.freed = self.freed - part.freed + other.freed;
        self.outstanding = self.outstanding - part.outstanding + other.outstanding;
    }

    /// Whether nothing has happened.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.inherited += other.inherited;
        self.allocated += other.allocated;
        self.freed += other.freed;
        self.outstanding += other.outstanding;
        self.peak += other.peak;
    }
}

/// Kinds of memory, told apart because they mean different things to their owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// Blocks handed out by an allocator.
    #[default]
    Heap,
    /// Anonymous memory that the program mapped itself.
    Anonymous,
    /// Mapped files.
    File,
    /// Stacks of threads.
    ThreadStack,
    /// Memory that an allocator took from the kernel: the blocks lie in it, so the two are never added.
    Allocator,
    /// Touched memory of the heap: below the program break, or mapped by an allocator's code.
    TouchedHeap,
    /// Touched anonymous memory that was mapped by others than allocators, or before the recording began.
    TouchedAnonymous,
    /// Touched memory of stacks.
    TouchedStack,
    /// Copies of pages of privately mapped files, made when the process wrote to them.
    TouchedFileCopy,
    /// Pages of mapped files.
    TouchedFile,
    /// Touched memory that is shared and has no file on a disk.
    TouchedShared,
    /// Touched pages of `hugetlbfs`: the kernel does not count them as resident memory of a process.
    TouchedHuge,
}

impl Memory {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Heap,
        Self::Anonymous,
        Self::File,
        Self::ThreadStack,
        Self::Allocator,
        Self::TouchedHeap,
        Self::TouchedAnonymous,
        Self::TouchedStack,
        Self::TouchedFileCopy,
        Self::TouchedFile,
        Self::TouchedShared,
        Self::TouchedHuge,
    ];

    /// The kinds that tell of pages which were touched.
    pub const TOUCHED: [Self; 7] = [
        Self::TouchedHeap,
        Self::TouchedAnonymous,
        Self::TouchedStack,
        Self::TouchedFileCopy,
        Self::TouchedShared,
        Self::TouchedFile,
        Self::TouchedHuge,
    ];

    /// Whether "outstanding" of a process means it: blocks, and anonymous mappings of the program's own.
    #[must_use]
    pub const fn is_outstanding(self) -> bool {
        matches!(self, Self::Heap | Self::Anonymous)
    }

    /// Whether it was touched, and counts as resident memory of the process.
    #[must_use]
    pub const fn is_resident(self) -> bool {
        self.is_own() || matches!(self, Self::TouchedFile)
    }

    /// Whether it was touched and is the process's own: the kernel cannot drop it, as it can a file's pages.
    #[must_use]
    pub const fn is_own(self) -> bool {
        matches!(
            self,
            Self::TouchedHeap
                | Self::TouchedAnonymous
                | Self::TouchedStack
                | Self::TouchedFileCopy
                | Self::TouchedShared
        )
    }
}

/// Totals for each kind of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByMemory {
    /// Of [`Memory::Heap`] and [`Memory::Anonymous`] together: their peak is that of the sum.
    pub outstanding: Totals,
    /// Of [`Memory::Heap`].
    pub heap: Totals,
    /// Of [`Memory::Anonymous`].
    pub anonymous: Totals,
    /// Of [`Memory::File`].
    pub file: Totals,
    /// Of [`Memory::ThreadStack`].
    pub thread_stack: Totals,
    /// Of [`Memory::Allocator`].
    pub allocator: Totals,
    /// Of memory that was touched: recorded when only the growth of memory is.
    #[serde(flatten)]
    pub touched: ByTouched,
}

/// Totals of touched memory: `allocated` is what became resident, `freed` what was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByTouched {
    /// Of all kinds that are resident memory of the process ([`Memory::is_resident`]) together: their peak is that of the
    /// sum.
    #[serde(rename = "touched_resident", skip_serializing_if = "Totals::is_none")]
    pub resident: Totals,
    /// Of [`Memory::TouchedHeap`].
    #[serde(rename = "touched_heap", skip_serializing_if = "Totals::is_none")]
    pub heap: Totals,
    /// Of [`Memory::TouchedAnonymous`].
    #[serde(rename = "touched_anonymous", skip_serializing_if = "Totals::is_none")]
    pub anonymous: Totals,
    /// Of [`Memory::TouchedStack`].
    #[serde(rename = "touched_stack", skip_serializing_if = "Totals::is_none")]
    pub stack: Totals,
    /// Of [`Memory::TouchedFileCopy`].
    #[serde(rename = "touched_file_copy", skip_serializing_if = "Totals::is_none")]
    pub file_copy: Totals,
    /// Of [`Memory::TouchedFile`].
    #[serde(rename = "touched_file", skip_serializing_if = "Totals::is_none")]
    pub file: Totals,
    /// Of [`Memory::TouchedShared`].
    #[serde(rename = "touched_shared", skip_serializing_if = "Totals::is_none")]
    pub shared: Totals,
    /// Of [`Memory::TouchedHuge`].
    #[serde(rename = "touched_huge", skip_serializing_if = "Totals::is_none")]
    pub huge: Totals,
}

impl ByMemory {
    /// The totals of one kind.
    #[must_use]
    pub const fn of(&self, memory: Memory) -> &Totals {
        match memory {
            Memory::Heap => &self.heap,
            Memory::Anonymous => &self.anonymous,
            Memory::File => &self.file,
            Memory::ThreadStack => &self.thread_stack,
            Memory::Allocator => &self.allocator,
            Memory::TouchedHeap => &self.touched.heap,
            Memory::TouchedAnonymous => &self.touched.anonymous,
            Memory::TouchedStack => &self.touched.stack,
            Memory::TouchedFileCopy => &self.touched.file_copy,
            Memory::TouchedFile => &self.touched.file,
            Memory::TouchedShared => &self.touched.shared,
            Memory::TouchedHuge => &self.touched.huge,
        }
    }

    /// The totals of one kind, to be changed.
    pub const fn of_mut(&mut self, memory: Memory) -> &mut Totals {
        match memory {
            Memory::Heap => &mut self.heap,
            Memory::Anonymous => &mut self.anonymous,
            Memory::File => &mut self.file,
            Memory::ThreadStack => &mut self.thread_stack,
            Memory::Allocator => &mut self.allocator,
            Memory::TouchedHeap => &mut self.touched.heap,
            Memory::TouchedAnonymous => &mut self.touched.anonymous,
            Memory::TouchedStack => &mut self.touched.stack,
            Memory::TouchedFileCopy => &mut self.touched.file_copy,
            Memory::TouchedFile => &mut self.touched.file,
            Memory::TouchedShared => &mut self.touched.shared,
            Memory::TouchedHuge => &mut self.touched.huge,
        }
    }

    /// Calls `change` with each of the sums that memory of this kind counts in.
    pub fn each_of(&mut self, memory: Memory, mut change: impl FnMut(&mut Totals)) {
        change(self.of_mut(memory));
        if memory.is_outstanding() {
            change(&mut self.outstanding);
        }
        if memory.is_resident() {
            change(&mut self.touched.resident);
        }
    }
}

impl AddAssign for ByMemory {
    fn add_assign(&mut self, other: Self) {
        self.outstanding += other.outstanding;
        self.touched.resident += other.touched.resident;
        for memory in Memory::ALL {
            *self.of_mut(memory) += *other.of(memory);
        }
    }
}
