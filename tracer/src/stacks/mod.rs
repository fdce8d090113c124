//! Stacks: each distinct one kept once, by value.

use rustc_hash::FxHashMap;

/// Every stack that the kernel part has sent.
#[derive(Debug, Default)]
pub struct StackStore {
    by_id: FxHashMap<u64, Stored>,
    frames: Vec<u64>,
    truncated: u64,
    collisions: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    first: usize,
    count: u32,
    truncated: bool,
}

/// One stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack<'a> {
    /// Return addresses, leaf first.
    pub frames: &'a [u64],
    /// Whether it was cut at the largest depth.
    pub truncated: bool,
}

impl StackStore {
    /// Keeps a stack under its id. A stack sent again is known already; another one with the same id is counted, and the
    /// first stays.
    pub fn insert(&mut self, id: u64, frames: &[u64], truncated: bool) {
        if let Some(known) = self.get(id) {
            self.collisions += u64::from(known.frames != frames);
            return;
        }
        self.truncated += u64::from(truncated);
        self.by_id.insert(id, Stored { first: self.frames.len(), count: frames.len() as u32, truncated });
        self.frames.extend_from_slice(frames);
    }

    /// The stack with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Stack<'_>> {
        let stored = self.by_id.get(&id)?;
        let frames = self.frames.get(stored.first..stored.first + stored.count as usize)?;
        Some(Stack { frames, truncated: stored.truncated })
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
        store.insert(7, &[1, 2, 3], false);
        store.insert(7, &[1, 2, 3], false);
        assert_eq!(store.collisions(), 0);
        store.insert(7, &[1, 2, 4], false);
        assert_eq!(store.collisions(), 1);
        assert_eq!(store.get(7).map(|stack| stack.frames.to_vec()), Some(vec![1, 2, 3]));
        assert_eq!(store.len(), 1);
    }
}
