//! The blocks of one process that are live, by address.
//!
//! A hash table of 24 bytes and a control byte a slot, cut into segments that grow one at a time: so neither the pause
//! nor the memory of a growth depends on how many blocks there are. The segments differ in size, so that they do not all
//! double at the same number of blocks: the table is always about as full, and takes some 41 bytes a block.

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

    /// How many parts [`Self::part`] gives.
    pub const PARTS: usize = SEGMENTS;

    /// The blocks of one of the parts that the table is made of, in no order.
    pub fn part(&self, part: usize) -> impl Iterator<Item = &Block> {
        self.segments[part].values()
    }

    /// All blocks, in no order.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.segments.iter().flat_map(HashMap::values)
    }
}

/// Spreads addresses by the upper bits of a product: the lower bits choose the ring and the slot.
const fn segment(address: u64) -> usize {
    SEGMENT_OF[(address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SHARE_BITS)) as usize] as usize
}

const SHARE_BITS: u32 = 12;

/// The segment of each 4096th of all addresses. Each segment has 2^(1/64) times as many as the one before, so the last
/// has twice as many as the first: of the numbers of blocks at which they double, each is as far from the next.
const SEGMENT_OF: [u8; 1 << SHARE_BITS] = {
    /// 2^(1/64), in 2^-32.
    const RATIO: u128 = 4_341_736_423;
    let mut segments = [0; 1 << SHARE_BITS];
    let mut segment = 0;
    // Where the segment ends: 2^((segment + 1) / 64) - 1, in 2^-32.
    let mut end = RATIO;
    let mut place = 0;
    while place < segments.len() {
        while segment < SEGMENTS - 1 && ((place as u128) << (32 - SHARE_BITS)) + (1 << 32) >= end {
            segment += 1;
            end = (end * RATIO) >> 32;
        }
        segments[place] = segment as u8;
        place += 1;
    }
    segments
};

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
    fn segments_fill_by_their_share_with_blocks_of_one_size() {
        let mut table = LiveTable::default();
        for index in 0..64_000_u64 {
            table.insert(0x7f00_0000_0000 + index * 48, Block { size: 48, entry: 0, since: Moment::default() });
        }
        let sizes: Vec<usize> = table.segments.iter().map(HashMap::len).collect();
        // 64,000 cut into 64 parts of which the last is nearly twice the first.
        assert!((500..900).contains(&sizes[0]) && (1_200..1_600).contains(&sizes[SEGMENTS - 1]), "{sizes:?}");
        assert!(sizes.iter().all(|size| (500..1_600).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_table_is_about_as_full_whatever_its_size() {
        let mut table = LiveTable::default();
        let mut most = 0;
        for index in 0..2_000_000_usize {
            table.insert(0x7f00_0000_0000 + index as u64 * 48, Block { size: 48, entry: 0, since: Moment::default() });
            if index >= 500_000 && index % 10_000 == 0 {
                // A table of the standard library has a power of two of slots, and fills 7 of 8.
                let slots: usize = table.segments.iter().map(|segment| segment.capacity() * 8 / 7).sum();
                most = most.max(slots * 250 / index);
            }
        }
        assert!((380..440).contains(&most), "{most} tenths of a byte a block at most");
    }
}
