//! The blocks of one process that are live, by address.
//!
//! A hash table of 24 bytes and a control byte a slot, cut into segments that grow one at a time: so neither the pause
//! nor the memory of a growth depends on how many blocks there are.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use super::Moment;

/// What is kept of a live block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes asked for.
    pub size: u64,
    /// Its stack's place in the ledger.
    pub entry: u32,
    /// When it was allocated.
    pub since: Moment,
}

const SEGMENTS: usize = 64;

/// Live blocks by address.
#[derive(Clone, Debug)]
pub struct LiveTable {
    segments: Vec<HashMap<u64, Block, FxBuildHasher>>,
}

impl Default for LiveTable {
    fn default() -> Self {
        Self { segments: vec![HashMap::default(); SEGMENTS] }
    }
}

impl LiveTable {
    /// Adds a block; gives the one that was live at its address until now, if any.
    pub fn insert(&mut self, address: u64, block: Block) -> Option<Block> {
        self.segments[segment(address)].insert(address, block)
    }

    /// Takes the block at `address`.
    pub fn remove(&mut self, address: u64) -> Option<Block> {
        self.segments[segment(address)].remove(&address)
    }

    /// How many blocks there are. Walks over the segments.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.iter().map(HashMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All blocks, in no order.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.segments.iter().flat_map(HashMap::values)
    }
}

/// Spreads addresses by the upper bits of a product: the lower bits choose the ring and the slot.
const fn segment(address: u64) -> usize {
    const { assert!(SEGMENTS.is_power_of_two()) };
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SEGMENTS.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_by_its_address_alone() {
        let mut table = LiveTable::default();
        let block = |size| Block { size, entry: 0, since: Moment::default() };
        for address in 1..10_000_u64 {
            assert_eq!(table.insert(address * 16, block(address)), None);
        }
        assert_eq!(table.len(), 9_999);
        for address in 1..10_000_u64 {
            assert_eq!(table.remove(address * 16).map(|block| block.size), Some(address));
        }
        assert!(table.is_empty());
    }

    #[test]
    fn segments_fill_evenly_with_blocks_of_one_size() {
        let mut table = LiveTable::default();
        for index in 0..64_000_u64 {
            table.insert(0x7f00_0000_0000 + index * 48, Block { size: 48, entry: 0, since: Moment::default() });
        }
        let (least, most) = table
            .segments
            .iter()
            .fold((usize::MAX, 0), |(least, most), segment| (least.min(segment.len()), most.max(segment.len())));
        assert!(least > 800 && most < 1_200, "{least} to {most}");
    }
}
