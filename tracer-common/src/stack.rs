//! How a stack is told apart from all others without sending it again.

/// Most frames of one stack. Deeper stacks keep the leaf side.
pub const MAX_FRAMES: usize = 256;

/// The identity of a stack: two independent 64-bit hashes of the process and its return addresses, taken in one pass.
///
/// The first travels with every allocation; the second stands in the kernel's table of stacks already sent, so that
/// two stacks which share the first are both sent, and the user side, which keeps stacks by value, sees and counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// What an allocation carries. Never 0, which means "no stack".
    pub id: u64,
    /// What confirms it.
    pub check: u64,
}

// Odd constants with well-spread bits: 2^64 divided by the golden ratio, and two of the multipliers of MurmurHash3's
// 64-bit finalizer (public domain, Austin Appleby).
const PHI: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX_A: u64 = 0xff51_afd7_ed55_8ccd;
const MIX_B: u64 = 0xc4ce_b9fe_1a85_ec53;

impl Fingerprint {
    /// The state before the first frame, for the process `pid`.
    #[inline(always)]
    #[must_use]
    pub const fn start(pid: u32) -> Self {
        Self { id: (pid as u64).wrapping_mul(PHI), check: (pid as u64).wrapping_mul(MIX_B) ^ PHI }
    }

    /// Takes in one return address.
    #[inline(always)]
    #[must_use]
    pub const fn push(self, address: u64) -> Self {
        let id = (self.id ^ address).wrapping_mul(PHI);
        let check = (self.check.rotate_left(23) ^ address).wrapping_mul(MIX_A);
        Self { id: id ^ (id >> 29), check }
    }

    /// The state after the last frame.
    #[inline(always)]
    #[must_use]
    pub const fn finish(self) -> Self {
        let mut id = self.id;
        id = (id ^ (id >> 33)).wrapping_mul(MIX_A);
        id = (id ^ (id >> 33)).wrapping_mul(MIX_B);
        id ^= id >> 33;
        let check = self.check ^ (self.check >> 32);
        Self { id: id | (id == 0) as u64, check: check | (check == 0) as u64 }
    }
}

/// The ring that every record about `address` goes through, when there are `shards` (a power of two) of them.
#[inline(always)]
#[must_use]
pub const fn shard_of(address: u64, shards: u32) -> u32 {
    // The upper half of a product depends on all bits of the address; its lowest four are always 0.
    ((address.wrapping_mul(PHI) >> 32) as u32) & shards.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pid: u32, frames: &[u64]) -> Fingerprint {
        frames.iter().fold(Fingerprint::start(pid), |state, &frame| state.push(frame)).finish()
    }

    #[test]
    fn the_same_frames_in_another_process_or_order_are_another_stack() {
        let one = of(7, &[0x1000, 0x2000, 0x3000]);
        assert_eq!(one, of(7, &[0x1000, 0x2000, 0x3000]));
        for other in [of(8, &[0x1000, 0x2000, 0x3000]), of(7, &[0x2000, 0x1000, 0x3000]), of(7, &[0x1000, 0x2000])] {
            assert_ne!(one.id, other.id);
            assert_ne!(one.check, other.check);
        }
    }

    #[test]
    fn no_stack_is_called_no_stack() {
        assert_ne!(of(0, &[]).id, 0);
        assert_ne!(of(0, &[]).check, 0);
    }

    #[test]
    fn neighbouring_addresses_are_spread_over_all_shards() {
        let mut hits = [0_u32; 8];
        for block in 0..8_000_u64 {
            hits[shard_of(0x5555_5555_0000 + block * 32, 8) as usize] += 1;
        }
        assert!(hits.iter().all(|&count| (700..1_300).contains(&count)), "{hits:?}");
    }
}
