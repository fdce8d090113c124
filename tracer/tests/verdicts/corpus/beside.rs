//! Programs whose memory grows beside the heap.

use heaptide::timeline::Metric;

use super::heap::{Churn, Heap};
use super::random::Random;
use super::{Run, length};

const PAGE: u64 = 64 << 10;

/// A large task comes and goes; the allocator keeps what it took for it.
pub fn retention(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let from = random.between(0.1, 0.35) * ticks as f64;
    let to = from + random.between(0.04, 0.12) * ticks as f64;
    let size = ((16e6 + random.between(2.0, 8.0) * churn.level()) * random.scale(0.5, 8.0) / (to - from)) as u64;
    let mut heap = Heap::new(ticks);
    let mut held = 0;
    let samples = (0..ticks).map(|tick| {
        churn.serve(&mut heap, random, 1.0);
        let now = tick as f64;
        if now >= from && now < to {
            heap.allocate(size);
            held += 1;
        } else if now >= to && held > 0 {
            let done = held.min(1 + held / 3);
            (0..done).for_each(|_| heap.free(size));
            held -= done;
        }
        let sample = heap.sample();
        heap.tick();
        sample
    });
    Run::of(samples.collect())
}

/// A page of blocks; it can be given back or used for other sizes when all of them are free.
#[derive(Default)]
struct Pages {
    used: Vec<u32>,
    room: u64,
}

impl Pages {
    /// Sizes change over time, so that holes are not filled: blocks lie one after the other.
    fn allocate(&mut self, size: u64) -> usize {
        if self.room < size {
            self.used.push(0);
            self.room = PAGE;
        }
        self.room -= size;
        let page = self.used.len() - 1;
        self.used[page] += 1;
        page
    }

    fn resident(&self) -> u64 {
        self.used.iter().filter(|used| **used > 0).count() as u64 * PAGE
    }
}

/// As many sessions as ever, side by side at first. Now and then one ends and another begins, among the blocks of requests:
/// in time each page is held by one or two of them.
pub fn fragmentation(random: &mut Random) -> Run {
    let ticks = length(random);
    let size = random.between(2e3, 6e3) as u64;
    let churn = Churn { rate: random.between(15.0, 30.0), size: size as f64, life: random.between(1.0, 4.0) };
    let sessions = random.whole(1000, 4000);
    let replaced = sessions as f64 * random.between(0.4, 0.9) / ticks as f64;
    let (mut heap, mut pages) = (Heap::new(ticks), Pages::default());
    let mut due: Vec<Vec<usize>> = vec![Vec::new(); ticks + 1];
    let mut held: Vec<usize> = (0..sessions).map(|_| pages.allocate(size)).collect();
    for _ in &held {
        heap.allocate(size);
    }
    let samples = (0..ticks).map(|tick| {
        for _ in 0..random.poisson(churn.rate) {
            let life = random.exponential(churn.life).ceil().max(1.0);
            heap.allocate_for(size, life);
            let page = pages.allocate(size);
            if let Some(due) = due.get_mut(tick + life as usize) {
                due.push(page);
            }
        }
        for _ in 0..random.poisson(replaced) {
            let one = random.whole(0, sessions);
            pages.used[held[one]] -= 1;
            held[one] = pages.allocate(size);
        }
        let sample = heap.sample_with(pages.resident());
        heap.tick();
        for page in std::mem::take(&mut due[tick + 1]) {
            pages.used[page] -= 1;
        }
        sample
    });
    Run::of(samples.collect())
}

/// A steady heap, beside which something else grows by pieces of some size.
pub fn beside(random: &mut Random, metric: Metric, piece: u64, outstanding: bool) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let pieces = random.between(25.0, 120.0).max(churn.level() / piece as f64);
    let mut heap = Heap::new(ticks);
    let (mut count, mut before) = (0, 0);
    let samples = (0..ticks).map(|_| {
        churn.serve(&mut heap, random, 1.0);
        count += random.poisson(pieces / ticks as f64) as u64;
        let bytes = count * piece;
        // Some come and go.
        before = if random.chance(0.1) { random.whole(0, 3) as u64 * piece } else { before };
        let sample = heap.sample().with(metric, bytes + before);
        let sample =
            if outstanding { sample.with(Metric::OutstandingBytes, heap.bytes + bytes + before) } else { sample };
        let rss = sample.get(Metric::Rss).unwrap_or_default() + bytes / 2;
        heap.tick();
        sample.with(Metric::Rss, rss)
    });
    Run::of(samples.collect())
}

pub fn mappings(random: &mut Random) -> Run {
    beside(random, Metric::Mapped, 1 << 20, true)
}

pub fn thread_stacks(random: &mut Random) -> Run {
    beside(random, Metric::ThreadStacks, 8 << 20, false)
}

pub fn files(random: &mut Random) -> Run {
    beside(random, Metric::MappedFiles, 4 << 20, false)
}
