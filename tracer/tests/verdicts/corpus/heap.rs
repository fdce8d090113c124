//! A heap: blocks come, live for a while, and go. And what the machine sees of it.

use heaptide::timeline::{Metric, Sample};

use super::random::Random;

/// Resident memory that is not the heap: code, libraries, what was there before.
const BASE: u64 = 24 << 20;

/// Blocks of a process, by when they will be freed.
pub struct Heap {
    now: usize,
    due: Vec<(u64, u64)>,
    pub bytes: u64,
    pub blocks: u64,
    allocated: u64,
    freed: u64,
    /// The most that was in use: what the allocator has taken and keeps.
    high: u64,
}

impl Heap {
    pub fn new(ticks: usize) -> Self {
        Self { now: 0, due: vec![(0, 0); ticks + 1], bytes: 0, blocks: 0, allocated: 0, freed: 0, high: 0 }
    }

    /// A block that stays until it is freed by name.
    pub fn allocate(&mut self, size: u64) {
        self.bytes += size;
        self.blocks += 1;
        self.allocated += size;
        self.high = self.high.max(self.bytes);
    }

    /// A block that is freed after some ticks; a fraction of one is a chance.
    pub fn allocate_for(&mut self, size: u64, ticks: f64) {
        self.allocate(size);
        let due = self.now + ticks.ceil() as usize;
        if let Some(place) = self.due.get_mut(due.max(self.now + 1)) {
            place.0 += size;
            place.1 += 1;
        }
    }

    pub fn free(&mut self, size: u64) {
        self.bytes -= size;
        self.blocks -= 1;
        self.freed += size;
    }

    /// A tick passes: what is due is freed.
    pub fn tick(&mut self) {
        self.now += 1;
        if let Some(&(bytes, blocks)) = self.due.get(self.now) {
            self.bytes -= bytes;
            self.blocks -= blocks;
            self.freed += bytes;
        }
    }

    /// What is read of it, with an allocator that keeps all that it ever took.
    pub fn sample(&self) -> Sample {
        self.sample_with(self.high)
    }

    /// The same, with so much resident memory for the heap.
    pub fn sample_with(&self, resident: u64) -> Sample {
        let sample = Sample::default().with(Metric::OutstandingBytes, self.bytes);
        let sample = sample.with(Metric::Heap, self.bytes).with(Metric::OutstandingBlocks, self.blocks);
        let sample = sample.with(Metric::Allocated, self.allocated);
        let rss = BASE + resident + resident / 50;
        sample.with(Metric::Freed, self.freed).with(Metric::Rss, rss).with(Metric::Events, 2 * self.blocks)
    }
}

/// Requests: each allocates a block that lives for some ticks.
#[derive(Clone, Copy)]
pub struct Churn {
    /// Requests a tick.
    pub rate: f64,
    /// Bytes of a block: from a quarter of it to four times as much.
    pub size: f64,
    /// Mean life in ticks.
    pub life: f64,
}

impl Churn {
    /// Some ordinary service.
    pub fn some(random: &mut Random) -> Self {
        Self { rate: random.between(30.0, 90.0), size: random.scale(500.0, 1e4), life: random.between(1.0, 6.0) }
    }

    /// What is in use on average.
    pub fn level(&self) -> f64 {
        // The mean of a size, which is even on a logarithmic scale from 1/4 to 4: 3.75 / ln 16.
        self.rate * self.size * self.life * 1.3525
    }

    /// Bytes allocated a tick.
    pub fn bytes(&self) -> f64 {
        self.rate * self.size * 1.3525
    }

    pub fn block(&self, random: &mut Random) -> u64 {
        // The logarithm of 16: this is asked for millions of times.
        (self.size / 4.0 * (random.unit() * 4.0 * std::f64::consts::LN_2).exp()) as u64
    }

    /// A tick's requests, `load` times as many as usual.
    pub fn serve(&self, heap: &mut Heap, random: &mut Random, load: f64) -> usize {
        let requests = random.poisson(self.rate * load);
        for _ in 0..requests {
            let (size, life) = (self.block(random), random.exponential(self.life));
            heap.allocate_for(size, life);
        }
        requests
    }
}
