//! Stacks: each distinct one kept once, by value.

use heaptide_common::{
    record::flag,
    stack::{Fingerprint, MAX_FRAMES},
};
use rustc_hash::FxHashMap;

/// Most frames of all stacks together: 512 MiB. A compiler makes millions of distinct stacks of a hundred frames.
const MOST_FRAMES: usize = 64 << 20;

/// Every stack that the kernel part has sent.
#[derive(Debug)]
pub struct StackStore {
    by_id: FxHashMap<u64, Stored>,
    /// Ids of stacks that turned out to be others.
    same_as: FxHashMap<u64, u64>,
    frames: Vec<u64>,
    truncated: u64,
    collisions: u64,
    most_frames: usize,
    refused: u64,
}

impl Default for StackStore {
    fn default() -> Self {
        Self::with_room(MOST_FRAMES)
    }
}

/// What is to be known of a stack besides its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It was cut at the largest depth.
    pub truncated: bool,
    /// It ends before its outermost frame, for whatever reason.
    pub incomplete: bool,
    /// A frame is a guess by the frame pointer: its code has no call frame information.
    pub guessed: bool,
    /// What its first address is.
    pub leaf: Leaf,
}

/// What the first address of a stack is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaf {
    /// A return address, as all others are.
    #[default]
    Return,
    /// An instruction that was interrupted.
    Interrupted,
}

impl Marks {
    /// From the [`flag`] bits of a record.
    #[must_use]
    pub const fn of(flags: u16) -> Self {
        Self {
            truncated: flags & flag::TRUNCATED != 0,
            incomplete: flags & flag::INCOMPLETE != 0,
            guessed: flags & flag::GUESSED != 0,
            leaf: if flags & flag::INTERRUPTED == 0 { Leaf::Return } else { Leaf::Interrupted },
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    first: usize,
    count: u32,
    marks: Marks,
}

/// One stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack<'a> {
    /// Return addresses, leaf first.
    pub frames: &'a [u64],
    /// What else is to be known.
    pub marks: Marks,
}

impl StackStore {
    /// Keeps up to `most_frames` frames, of all stacks together.
    #[must_use]
    pub fn with_room(most_frames: usize) -> Self {
        Self {
            by_id: FxHashMap::default(),
            same_as: FxHashMap::default(),
            frames: Vec::new(),
            truncated: 0,
            collisions: 0,
            most_frames,
            refused: 0,
        }
    }

    /// Keeps a stack under its id. A stack sent again is known already; another one with the same id is counted, and the
    /// first stays.
    pub fn insert(&mut self, id: u64, frames: &[u64], marks: Marks) {
        if let Some(known) = self.get(id) {
            self.collisions += u64::from(known.frames != frames);
            return;
        }
        if !self.has_room(frames.len()) {
            self.refused += 1;
            return;
        }
        self.truncated += u64::from(marks.truncated);
        self.by_id.insert(id, Stored { first: self.frames.len(), count: frames.len() as u32, marks });
        self.frames.extend_from_slice(frames);
    }

    fn has_room(&self, count: usize) -> bool {
        self.frames.len() + count <= self.most_frames
    }

    /// Takes in the rest of a stack of process `pid`: it is then the same as any other with these frames.
    pub fn extend(&mut self, pid: u32, id: u64, rest: &[u64], marks: Marks) {
        let Some(begun) = self.by_id.get(&id).and_then(|&stored| self.stored(stored)) else { return };
        let begun_at = begun.marks.leaf;
        let marks = Marks { leaf: begun_at, ..marks };
        let mut frames = begun.frames.to_vec();
        frames.extend_from_slice(rest);
        frames.truncate(MAX_FRAMES);
        if !self.has_room(frames.len()) {
            // What is there of it stays, and is marked as not whole.
            self.refused += 1;
            return;
        }
        self.by_id.remove(&id);
        // As the kernel part would have called it.
        let whole = frames.iter().fold(Fingerprint::start(pid), |state, &frame| state.push(frame));
        let whole = if begun_at == Leaf::Interrupted { whole.push(0) } else { whole }.finish().id;
        self.same_as.insert(id, whole);
        self.insert(whole, &frames, marks);
    }

    /// Whether some ids stand for others.
    #[must_use]
    pub fn has_renamed(&self) -> bool {
        !self.same_as.is_empty()
    }

    /// The id that all stacks with the frames of this one go by.
    #[must_use]
    pub fn canonical(&self, id: u64) -> u64 {
        *self.same_as.get(&id).unwrap_or(&id)
    }

    /// The stack with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Stack<'_>> {
        self.stored(*self.by_id.get(&self.canonical(id))?)
    }

    fn stored(&self, stored: Stored) -> Option<Stack<'_>> {
        let frames = self.frames.get(stored.first..stored.first + stored.count as usize)?;
        Some(Stack { frames, marks: stored.marks })
    }

    /// How many distinct stacks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How often a stack came that was not kept, since there was no room.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// How many of them were cut at the largest depth.
    #[must_use]
    pub const fn truncated(&self) -> u64 {
        self.truncated
    }

    /// How often a stack came under the id of another one.
    #[must_use]
    pub const fn collisions(&self) -> u64 {
        self.collisions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stacks_under_one_id_are_told_apart_by_their_frames() {
        let mut store = StackStore::default();
        store.insert(7, &[1, 2, 3], Marks::default());
        store.insert(7, &[1, 2, 3], Marks::default());
        assert_eq!(store.collisions(), 0);
        store.insert(7, &[1, 2, 4], Marks::default());
        assert_eq!(store.collisions(), 1);
        assert_eq!(store.get(7).map(|stack| stack.frames.to_vec()), Some(vec![1, 2, 3]));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_stack_that_is_whole_only_later_becomes_the_one_with_the_same_frames() {
        let of = |frames: &[u64]| frames.iter().fold(Fingerprint::start(5), |state, &frame| state.push(frame)).finish();
        let mut store = StackStore::default();
        let whole = of(&[1, 2, 3]).id;
        let begun = Marks { incomplete: true, ..Marks::default() };
        store.insert(70, &[1], begun);
        store.extend(5, 70, &[2, 3], Marks::default());
        store.insert(whole, &[1, 2, 3], Marks::default());
        store.insert(71, &[1, 2], begun);
        store.extend(5, 71, &[3], Marks::default());
        assert_eq!((store.len(), store.collisions()), (1, 0));
        assert_eq!((store.canonical(70), store.canonical(71), store.canonical(whole)), (whole, whole, whole));
        assert_eq!(store.get(71), Some(Stack { frames: &[1, 2, 3], marks: Marks::default() }));
    }

    #[test]
    fn stacks_that_have_no_room_are_counted_and_those_before_stay() {
        let mut store = StackStore::with_room(5);
        store.insert(1, &[10, 20, 30], Marks::default());
        store.insert(2, &[10, 20, 31], Marks::default());
        store.insert(3, &[10, 20], Marks::default());
        store.insert(1, &[10, 20, 30], Marks::default());
        assert_eq!((store.len(), store.refused()), (2, 1));
        assert_eq!(store.get(1).map(|stack| stack.frames), Some(&[10, 20, 30][..]));
        assert_eq!(store.get(2), None);
        store.extend(7, 1, &[40, 50], Marks::default());
        assert_eq!(store.get(1).map(|stack| stack.frames), Some(&[10, 20, 30][..]), "what there was of it stays");
        assert_eq!(store.refused(), 2);
    }
}
