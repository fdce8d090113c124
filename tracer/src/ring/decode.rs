//! Bytes of a ring to an event. Total: any bytes give an event or an error, never a panic.

use heaptide_common::{
    record::{
        Allocation, Break, Counted, Fault, Fork, Head, Kind, Map, Release, Remainder, Remap, Resize, Sampled, Stack,
        Unmap, UnmapEnd, Wanted,
    },
    stack::MAX_FRAMES,
};
use thiserror::Error;
use zerocopy::FromBytes;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A block was allocated.
    Allocation(Allocation),
    /// A block was allocated that stands for others, too.
    Sampled(Sampled),
    /// A thread has ended.
    Counted(Counted),
    /// A block is being freed.
    Release(Release),
    /// A block is being resized.
    ResizeBegin(Release),
    /// What became of a resize.
    ResizeEnd(Resize),
    /// The frames of a stack.
    Stack(Stack, Frames<'a>),
    /// Memory was mapped.
    Map(Map),
    /// Memory is being unmapped.
    UnmapBegin(Unmap),
    /// What became of an unmapping.
    UnmapEnd(UnmapEnd),
    /// A mapping is being resized or moved.
    RemapBegin(Unmap),
    /// What became of a remapping.
    RemapEnd(Remap),
    /// The program break was moved.
    Break(Break),
    /// A process was forked.
    Fork(Fork),
    /// A process runs another program.
    Exec(Head),
    /// A process has ended.
    Exit(Head),
    /// Memory became resident.
    Fault(Fault),
    /// What libraries a process has changes.
    Libraries(Head),
    /// A file has no table yet.
    Wanted(Wanted),
    /// What is needed to go on with a stack, and a copy of the process's stack.
    Remainder(Remainder, &'a [u8]),
}

/// Return addresses as they stand in a ring, leaf first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames<'a>(&'a [u8]);

impl Frames<'_> {
    const SIZE: usize = size_of::<u64>();

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len() / Self::SIZE
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes))
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Undecodable {
    /// The bytes end before the record does.
    #[error("a record of {found} bytes ends before its kind allows")]
    TooShort {
        /// How many bytes there were.
        found: usize,
    },
    /// No kind has the number.
    #[error("no record has the kind {0}")]
    UnknownKind(u16),
    /// A stack names more frames than there can be.
    #[error("a stack of {0} frames is deeper than any")]
    TooDeep(u32),
}

/// Reads the record that `bytes` begin with.
pub fn decode(bytes: &[u8]) -> Result<Event<'_>, Undecodable> {
    let (head, _) = read::<Head>(bytes)?;
    let kind = Kind::from_number(head.kind).ok_or(Undecodable::UnknownKind(head.kind))?;
    Ok(match kind {
        Kind::Allocation => Event::Allocation(read(bytes)?.0),
        Kind::Sampled => Event::Sampled(read(bytes)?.0),
        Kind::Counted => Event::Counted(read(bytes)?.0),
        Kind::Release => Event::Release(read(bytes)?.0),
        Kind::ResizeBegin => Event::ResizeBegin(read(bytes)?.0),
        Kind::ResizeEnd => Event::ResizeEnd(read(bytes)?.0),
        Kind::Stack => {
            let (stack, rest) = read::<Stack>(bytes)?;
            Event::Stack(stack, frames(&stack, rest).ok_or(undecodable_frames(&stack, bytes))?)
        }
        Kind::Map => Event::Map(read(bytes)?.0),
        Kind::UnmapBegin => Event::UnmapBegin(read(bytes)?.0),
        Kind::UnmapEnd => Event::UnmapEnd(read(bytes)?.0),
        Kind::RemapBegin => Event::RemapBegin(read(bytes)?.0),
        Kind::RemapEnd => Event::RemapEnd(read(bytes)?.0),
        Kind::Break => Event::Break(read(bytes)?.0),
        Kind::Fork => Event::Fork(read(bytes)?.0),
        Kind::Exec => Event::Exec(head),
        Kind::Exit => Event::Exit(head),
        Kind::Fault => Event::Fault(read(bytes)?.0),
        Kind::Libraries => Event::Libraries(head),
        Kind::Wanted => Event::Wanted(read(bytes)?.0),
        Kind::Remainder => {
            let (remainder, rest) = read::<Remainder>(bytes)?;
            let length = usize::try_from(remainder.length).unwrap_or(usize::MAX);
            Event::Remainder(remainder, rest.get(..length).ok_or(Undecodable::TooShort { found: bytes.len() })?)
        }
    })
}

fn read<T: FromBytes>(bytes: &[u8]) -> Result<(T, &[u8]), Undecodable> {
    T::read_from_prefix(bytes).map_err(|_| Undecodable::TooShort { found: bytes.len() })
}

fn frames<'a>(stack: &Stack, rest: &'a [u8]) -> Option<Frames<'a>> {
    let count = stack.head.frames as usize;
    if count > MAX_FRAMES {
        return None;
    }
    rest.get(..count * Frames::SIZE).map(Frames)
}

fn undecodable_frames(stack: &Stack, bytes: &[u8]) -> Undecodable {
    if stack.head.frames as usize > MAX_FRAMES {
        Undecodable::TooDeep(stack.head.frames)
    } else {
        Undecodable::TooShort { found: bytes.len() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::{FromZeros as _, IntoBytes};

    use super::*;

    fn head(kind: Kind) -> Head {
        Head { kind: kind as u16, flags: 0, pid: 1, tid: 2, frames: 0, time: 3 }
    }

    #[test]
    fn an_allocation_is_read_back_as_it_was_written() {
        let written = Allocation { head: head(Kind::Allocation), address: 0x1000, size: 42, stack: 7 };
        assert_eq!(decode(written.as_bytes()), Ok(Event::Allocation(written)));
    }

    #[test]
    fn a_stack_has_the_frames_that_its_head_counts_and_no_more() {
        let mut head = head(Kind::Stack);
        head.frames = 2;
        let stack = Stack { head, id: 9 };
        let mut bytes = stack.as_bytes().to_vec();
        bytes.extend([0x10_u64, 0x20, 0x30].iter().flat_map(|frame| frame.to_ne_bytes()));
        let Ok(Event::Stack(found, frames)) = decode(&bytes) else { panic!("not a stack") };
        assert_eq!(found, stack);
        assert_eq!(frames.iter().collect::<Vec<_>>(), [0x10, 0x20]);
    }

    #[test]
    fn a_stack_with_fewer_bytes_than_frames_is_an_error() {
        let mut head = head(Kind::Stack);
        head.frames = 3;
        let stack = Stack { head, id: 9 };
        assert_eq!(decode(stack.as_bytes()), Err(Undecodable::TooShort { found: 32 }));
        let head = Head { frames: u32::MAX, ..head };
        assert_eq!(decode(Stack { head, id: 9 }.as_bytes()), Err(Undecodable::TooDeep(u32::MAX)));
    }

    #[test]
    fn a_remainder_has_as_many_bytes_as_it_says_or_is_an_error() {
        let mut remainder = Remainder::new_zeroed();
        remainder.head = head(Kind::Remainder);
        remainder.length = 3;
        let mut bytes = remainder.as_bytes().to_vec();
        bytes.extend([7, 8]);
        assert_eq!(decode(&bytes), Err(Undecodable::TooShort { found: bytes.len() }));
        bytes.extend([9, 10]);
        assert_eq!(decode(&bytes), Ok(Event::Remainder(remainder, &[7, 8, 9])));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_event_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn every_kind_cut_anywhere_gives_an_event_or_an_error(
            kind in 0_u16..21, frames in any::<u32>(), rest in prop::collection::vec(any::<u8>(), 0..128), cut in 0_usize..152
        ) {
            let head = Head { kind, flags: 0, pid: 1, tid: 1, frames, time: 0 };
            let mut bytes = head.as_bytes().to_vec();
            bytes.extend(rest);
            bytes.truncate(cut);
            let _ = decode(&bytes);
        }
    }
}
