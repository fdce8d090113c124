//! The rings: made by the user side, since their number and size are settings.

use std::os::fd::{AsFd, BorrowedFd};

use aya::{
    Ebpf,
    maps::{ArrayOfMaps, Map, MapData, RingBuf},
};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;

use super::{LoadError, Options};

/// Smallest ring, in bytes.
const SMALLEST: u64 = 64 << 10;

/// Largest ring, in bytes: the kernel's limit is below 4 GiB.
const LARGEST: u64 = 1 << 30;

/// One ring, read by one thread.
pub struct Ring(RingBuf<MapData>);

impl Ring {
    /// Gives each waiting record to `use_record`, in order, until there is none or `limit` of them were given; says how
    /// many.
    pub fn drain(&mut self, limit: usize, mut use_record: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < limit
            && let Some(record) = self.0.next()
        {
            use_record(&record);
            count += 1;
        }
        count
    }
}

impl AsFd for Ring {
    /// Readable when the kernel part has asked for a reader.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A ring is to be read before it is fuller than one part in so many.
const FULL_BEFORE_WAKEUP: u64 = 4;

/// Bytes of a record, with what the ring adds.
const RECORD: u64 = 64;

/// Records of a CPU, a power of two, after which the reader is woken at the latest and at the earliest.
const WAKEUPS: std::ops::RangeInclusive<u64> = 16..=16_384;

/// See [`heaptide_common::Settings::wakeup_mask`]. To wake a reader more often than its ring needs would cost the target
/// three times: the wakeup, the processor, and the memory that both then write at the same time.
pub(super) fn wakeup_mask(options: &Options) -> u32 {
    let cpus = aya::util::nr_cpus().unwrap_or(1) as u64;
    let records = ring_bytes(options) / RECORD / FULL_BEFORE_WAKEUP / cpus;
    let every = records.clamp(*WAKEUPS.start(), *WAKEUPS.end());
    (1_u32 << every.ilog2()) - 1
}

/// Bytes of each ring.
fn ring_bytes(options: &Options) -> u64 {
    let share = options.ring_bytes / u64::from(options.shards);
    share.clamp(SMALLEST, LARGEST).next_power_of_two()
}

/// Makes the rings, and tells the kernel part of them.
pub(super) fn make(bpf: &mut Ebpf, options: &Options) -> Result<Vec<Ring>, LoadError> {
    let map = bpf.map_mut("RINGS").ok_or(LoadError::Incomplete { part: "RINGS".to_owned() })?;
    let mut rings = ArrayOfMaps::<_, MapData>::try_from(map)?;
    let bytes = ring_bytes(options);
    (0..options.shards)
        .map(|index| {
            let definition = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, bytes as u32, 0);
            let ring = MapData::create(definition, "heaptide_ring", None)?;
            rings.set(index, &ring, 0)?;
            Ok(Ring(RingBuf::try_from(Map::RingBuf(ring))?))
        })
        .collect()
}
