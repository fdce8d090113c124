//! The mapped ranges of one process. They never overlap, and can be cut at either end or in the middle.

use std::collections::BTreeMap;

use super::Moment;

/// A mapped range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// First address past it.
    pub end: u64,
    /// Its stack's place in the ledger.
    pub entry: u32,
    /// When it was mapped.
    pub since: Moment,
}

impl Range {
    /// Bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// What a cut did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The pieces that were taken out.
    pub pieces: Vec<Range>,
    /// The entry of each range that was cut in two so that a piece could be taken: one for each cut.
    pub splits: Vec<u32>,
}

impl Cut {
    /// Bytes taken out.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(Range::length).fold(0, u64::saturating_add)
    }
}

/// Mapped ranges by address.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    by_start: BTreeMap<u64, Range>,
}

impl Ranges {
    /// Takes out everything between `start` and `end`.
    pub fn cut(&mut self, start: u64, end: u64) -> Cut {
        let mut cut = Cut::default();
        self.split_at(start, &mut cut.splits);
        self.split_at(end, &mut cut.splits);
        if start < end {
            let inside: Vec<u64> = self.by_start.range(start..end).map(|(&start, _)| start).collect();
            cut.pieces.extend(inside.iter().filter_map(|start| self.by_start.remove(start)));
        }
        cut
    }

    /// Adds a range where nothing is mapped.
    pub fn insert(&mut self, range: Range) {
        self.by_start.insert(range.start, range);
    }

    /// Adds a range where nothing is mapped, as a part of a neighbour of the same entry that is no more than `together`
    /// nanoseconds older, if there is one.
    pub fn insert_beside(&mut self, mut range: Range, together: u64) {
        let fits = |other: &Range| other.entry == range.entry && range.since.since(other.since) <= together;
        let before = self.by_start.range(..range.start).next_back().map(|(_, &before)| before);
        let after = self.by_start.get(&range.end).copied().filter(fits);
        if let Some(before) = before.filter(|before| before.end == range.start && fits(before)) {
            (range.start, range.since) = (before.start, before.since);
        }
        if let Some(after) = after {
            self.by_start.remove(&after.start);
            range.end = after.end;
            if range.since.since(after.since) <= together {
                range.since = after.since;
            }
        }
        self.by_start.insert(range.start, range);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_start.len()
    }

    /// Puts back a piece that was cut out; gives how many ranges it was joined with again.
    pub fn put_back(&mut self, mut piece: Range) -> usize {
        let mut joined = 0;
        if let Some((_, &before)) = self.by_start.range(..piece.start).next_back()
            && before.end == piece.start
            && same(&before, &piece)
        {
            self.by_start.remove(&before.start);
            piece.start = before.start;
            joined += 1;
        }
        if let Some(&after) = self.by_start.get(&piece.end)
            && same(&after, &piece)
        {
            self.by_start.remove(&after.start);
            piece.end = after.end;
            joined += 1;
        }
        self.by_start.insert(piece.start, piece);
        joined
    }

    /// The parts of `piece` where nothing is mapped, by address.
    #[must_use]
    pub fn uncovered(&self, piece: Range) -> Vec<Range> {
        let mut parts = Vec::new();
        let mut start = piece.start;
        let before = self.by_start.range(..piece.start).next_back().map(|(_, range)| range);
        let within = self.by_start.range(piece.start..piece.end).map(|(_, range)| range);
        for mapped in before.into_iter().chain(within) {
            if start < mapped.start {
                parts.push(Range { start, end: mapped.start, ..piece });
            }
            start = start.max(mapped.end);
        }
        if start < piece.end {
            parts.push(Range { start, ..piece });
        }
        parts
    }

    /// The range that holds `address`.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<&Range> {
        self.by_start.range(..=address).next_back().map(|(_, range)| range).filter(|range| address < range.end)
    }

    /// All ranges, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Range> {
        self.by_start.values()
    }

    fn split_at(&mut self, address: u64, splits: &mut Vec<u32>) {
        let Some(&range) = self.find(address).filter(|range| range.start < address) else { return };
        self.by_start.insert(range.start, Range { end: address, ..range });
        self.by_start.insert(address, Range { start: address, ..range });
        splits.push(range.entry);
    }
}

/// Whether two pieces can have been one range: mapped by one call, or at one moment from one place.
fn same(one: &Range, other: &Range) -> bool {
    one.entry == other.entry && one.since == other.since
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64) -> Range {
        Range { start, end, entry: 0, since: Moment::default() }
    }

    fn bounds(ranges: &Ranges) -> Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn a_cut_in_the_middle_leaves_two_ranges() {
        let mut ranges = Ranges::default();
        ranges.insert(range(10, 20));
        let cut = ranges.cut(13, 16);
        assert_eq!(cut.pieces, [range(13, 16)]);
        assert_eq!(cut.splits.len(), 2);
        assert_eq!(bounds(&ranges), [(10, 13), (16, 20)]);
    }

    #[test]
    fn a_cut_takes_parts_of_all_ranges_that_it_touches() {
        let mut ranges = Ranges::default();
        ranges.insert(range(10, 20));
        ranges.insert(range(20, 30));
        ranges.insert(range(40, 50));
        assert_eq!(ranges.cut(15, 45).bytes(), 20);
        assert_eq!(bounds(&ranges), [(10, 15), (45, 50)]);
    }

    #[test]
    fn a_piece_put_back_makes_the_range_whole_again() {
        let mut ranges = Ranges::default();
        ranges.insert(range(10, 20));
        let cut = ranges.cut(13, 16);
        let joined: usize = cut.pieces.iter().map(|&piece| ranges.put_back(piece)).sum();
        assert_eq!(joined, cut.splits.len());
        assert_eq!(bounds(&ranges), [(10, 20)]);
    }

    #[test]
    fn what_was_mapped_over_a_piece_is_left_out_of_it() {
        let mut ranges = Ranges::default();
        ranges.insert(range(5, 12));
        ranges.insert(range(14, 16));
        ranges.insert(range(20, 25));
        assert_eq!(ranges.uncovered(range(10, 20)), [range(12, 14), range(16, 20)]);
        assert_eq!(ranges.uncovered(range(5, 12)), []);
        assert_eq!(ranges.uncovered(range(30, 31)), [range(30, 31)]);
    }

    #[test]
    fn an_empty_or_backward_cut_takes_nothing() {
        let mut ranges = Ranges::default();
        ranges.insert(range(10, 20));
        assert!(ranges.cut(15, 15).pieces.is_empty());
        assert!(ranges.cut(18, 12).pieces.is_empty());
        assert_eq!(ranges.iter().map(Range::length).sum::<u64>(), 10);
    }

    proptest! {
        /// A bit for each page, set and cleared, is the plainest model of mappings.
        #[test]
        fn ranges_hold_the_pages_that_a_plain_set_of_pages_holds(calls in prop::collection::vec((any::<bool>(), 0_u64..64, 1_u64..16), 1..60)) {
            let mut ranges = Ranges::default();
            let mut pages = std::collections::BTreeSet::new();
            for (map, start, length) in calls {
                let removed = ranges.cut(start, start + length).bytes();
                let expected = (start..start + length).filter(|page| pages.remove(page)).count();
                prop_assert_eq!(removed, expected as u64);
                if map {
                    ranges.insert(range(start, start + length));
                    pages.extend(start..start + length);
                }
            }
            let held: Vec<u64> = ranges.iter().flat_map(|range| range.start..range.end).collect();
            prop_assert_eq!(held, pages.into_iter().collect::<Vec<_>>());
        }
    }
}
