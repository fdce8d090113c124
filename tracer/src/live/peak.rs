//! What each stack held when the process held most.
//!
//! Nobody knows of a peak that it is one before it is over. So before memory is released, what the stacks hold is copied if
//! that is more than the last copy by a fiftieth: a program that goes from a kilobyte to a gigabyte is copied 700 times at
//! most, and the last copy is at most 2 % from the peak. When somebody asks what is held, it is copied if it is more at all:
//! of a process that holds more than ever, the peak is now.

use super::{Moment, ledger::Ledger};
use crate::profile::Usage;

/// A copy is made when the sum is more than the last one's by one part in so many.
const PART: u64 = 50;

/// What was held at the highest moment that was copied.
#[derive(Clone, Debug, Default)]
pub(super) struct Peak {
    /// Outstanding bytes then.
    pub(super) bytes: u64,
    /// When.
    pub(super) at: Moment,
    /// What each entry held, in units of the ledger's grain. Entries that came later held nothing.
    pub(super) held: Vec<Usage>,
}

impl Peak {
    /// Before a release: copies what is held, if that is more than ever by a fiftieth.
    #[inline]
    pub(super) fn look(&mut self, ledger: &Ledger, at: Moment) {
        let bytes = ledger.outstanding().bytes;
        if bytes > self.bytes.saturating_add(self.bytes / PART) {
            self.copy(ledger, bytes, at);
        }
    }

    /// Before what is held is told: copies it, if that is more than ever.
    pub(super) fn look_closely(&mut self, ledger: &Ledger, at: Moment) {
        let bytes = ledger.outstanding().bytes;
        if bytes > self.bytes {
            self.copy(ledger, bytes, at);
        }
    }

    #[cold]
    fn copy(&mut self, ledger: &Ledger, bytes: u64, at: Moment) {
        (self.bytes, self.at) = (bytes, at);
        self.held.clear();
        self.held.extend(ledger.held());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Memory;

    #[test]
    fn the_highest_moment_is_kept_to_a_fiftieth() {
        let (mut ledger, mut peak) = (Ledger::default(), Peak::default());
        let (one, two) = (ledger.entry(Memory::Heap, 1), ledger.entry(Memory::Heap, 2));
        ledger.allocate(two, Usage::block(1));
        for second in 0..1000_u64 {
            ledger.allocate(one, Usage::block(100));
            peak.look(&ledger, Moment::from_nanoseconds(second << 30));
        }
        let highest = ledger.outstanding().bytes;
        ledger.release(one, Usage { bytes: 90_000, blocks: 900 });
        ledger.allocate(two, Usage::block(5000));
        peak.look(&ledger, Moment::from_nanoseconds(2000 << 30));
        assert!(peak.bytes <= highest && peak.bytes > highest * 49 / 50, "{}", peak.bytes);
        assert_eq!(peak.held[one as usize].bytes + peak.held[two as usize].bytes, peak.bytes);
        assert_eq!(peak.held[two as usize].bytes, 1);
    }

    #[test]
    fn who_asks_while_most_is_held_gets_all_of_it() {
        let (mut ledger, mut peak) = (Ledger::default(), Peak::default());
        let entry = ledger.entry(Memory::Heap, 1);
        let (earlier, later) = (Moment::from_nanoseconds(1 << 30), Moment::from_nanoseconds(2 << 30));
        ledger.allocate(entry, Usage::block(1000));
        peak.look(&ledger, earlier);
        ledger.allocate(entry, Usage::block(1));
        peak.look(&ledger, later);
        assert_eq!((peak.bytes, peak.at), (1000, earlier));
        peak.look_closely(&ledger, later);
        assert_eq!((peak.bytes, peak.at, peak.held[entry as usize].bytes), (1001, later, 1001));
        ledger.release(entry, Usage::block(1));
        peak.look_closely(&ledger, Moment::from_nanoseconds(3 << 30));
        assert_eq!((peak.bytes, peak.at), (1001, later));
    }
}
