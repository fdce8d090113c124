//! More programs that leak, or keep what they will never need again.

use super::cycles::{Collector, daily_load};
use super::heap::{Churn, Heap};
use super::leaks::run;
use super::random::Random;
use super::{Run, length};

/// A leak in code that is not reached before something happens.
pub fn late(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let onset = (random.between(0.3, 0.6) * ticks as f64) as usize;
    let leak = random.scale(1.0, 5.0) * churn.level() / (ticks - onset) as f64;
    let run = run(ticks, |tick, heap| {
        for _ in 0..churn.serve(heap, random, 1.0) {
            if tick >= onset && random.chance((leak / churn.bytes()).min(1.0)) {
                heap.allocate(churn.block(random));
            }
        }
    });
    Run { onset, ..run }
}

/// A table that doubles when it is full.
pub struct Table {
    entries: u64,
    capacity: u64,
    entry: u64,
}

impl Table {
    pub fn new(entry: u64) -> Self {
        Self { entries: 0, capacity: 0, entry }
    }

    pub fn insert(&mut self, heap: &mut Heap) {
        if self.entries == self.capacity {
            let old = self.capacity;
            self.capacity = (2 * old).max(8);
            heap.allocate(self.capacity * self.entry);
            if old > 0 {
                heap.free(old * self.entry);
            }
        }
        self.entries += 1;
    }
}

/// Sessions that are entered in a map and never taken out: a node each, and the map's table.
pub fn map(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let sessions = random.between(2.0, 12.0);
    let node = random.between(0.8, 4.0) * churn.level() / (sessions * ticks as f64);
    let mut table = Table::new((node / random.between(4.0, 20.0)) as u64);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(sessions) {
            heap.allocate((node * random.between(0.5, 1.5)) as u64);
            table.insert(heap);
        }
    })
}

/// A vector that only ever gets more, and little else in the process.
pub fn vector(random: &mut Random) -> Run {
    let ticks = length(random);
    let churn = Churn { rate: 40.0, size: random.scale(200.0, 2e3), life: random.between(1.0, 3.0) };
    let pushes = random.between(3.0, 30.0);
    let mut table = Table::new((random.scale(4.0, 40.0) * churn.level() / (pushes * ticks as f64)) as u64 + 1);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(pushes) {
            table.insert(heap);
        }
    })
}

/// A collector frees what is unreachable; what was forgotten is reachable.
pub fn collector(random: &mut Random) -> Run {
    let ticks = length(random);
    let mut collector = Collector::some(random, ticks);
    let leak = random.scale(0.4, 2.0) * collector.room as f64 / ticks as f64;
    let size = random.scale(100.0, leak.max(200.0));
    run(ticks, |_, heap| {
        collector.work(heap, random);
        for _ in 0..random.poisson(leak / size) {
            heap.allocate(size as u64);
        }
    })
}

/// Load that comes and goes, and a leak in each request.
pub fn cycle(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let load = daily_load(random, ticks);
    let leak = random.scale(1.5, 6.0) * churn.level() / ticks as f64;
    run(ticks, |tick, heap| {
        for _ in 0..churn.serve(heap, random, load(tick)) {
            if random.chance(leak / churn.bytes()) {
                heap.allocate(churn.block(random));
            }
        }
    })
}

/// Loads its data, then serves and leaks.
pub fn startup(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let loading = random.between(0.05, 0.2) * ticks as f64;
    let data = random.between(1.0, 6.0) * churn.level();
    let leak = random.scale(0.3, 1.5) * (churn.level() + data) / ticks as f64;
    run(ticks, |tick, heap| {
        if (tick as f64) < loading {
            let blocks = random.whole(5, 15);
            (0..blocks).for_each(|_| heap.allocate((data / loading / 10.0) as u64));
        }
        for _ in 0..churn.serve(heap, random, 1.0) {
            if random.chance(leak / churn.bytes()) {
                heap.allocate(churn.block(random));
            }
        }
    })
}

/// More and more requests, each of which forgets a little.
pub fn load(random: &mut Random) -> Run {
    let churn = Churn { rate: random.between(20.0, 50.0), ..Churn::some(random) };
    let ticks = length(random);
    let more = random.between(0.5, 2.0);
    let leak = random.scale(1.0, 5.0) * churn.level() / ticks as f64;
    run(ticks, |tick, heap| {
        for _ in 0..churn.serve(heap, random, 1.0 + more * tick as f64 / ticks as f64) {
            if random.chance((leak / churn.bytes()).min(1.0)) {
                heap.allocate(churn.block(random));
            }
        }
    })
}
