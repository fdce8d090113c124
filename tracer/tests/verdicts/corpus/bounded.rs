//! Programs whose memory ends somewhere.

use std::collections::VecDeque;

use super::heap::{Churn, Heap};
use super::leaks::run;
use super::more_leaks::Table;
use super::random::Random;
use super::{Run, length};

/// A cache that evicts what was not used for the longest time. Requests ask for keys; what is not there is loaded.
pub struct Lru {
    slots: Vec<Option<(u64, u64)>>,
    order: VecDeque<(usize, u64)>,
    used: u64,
    held: usize,
    bound: usize,
}

impl Lru {
    pub fn new(keys: usize, bound: usize) -> Self {
        Self { slots: vec![None; keys], order: VecDeque::new(), used: 0, held: 0, bound }
    }

    pub fn ask(&mut self, heap: &mut Heap, key: usize, size: u64) {
        self.used += 1;
        let size = if let Some((_, size)) = self.slots[key] {
            size
        } else {
            heap.allocate(size);
            self.held += 1;
            size
        };
        self.slots[key] = Some((self.used, size));
        self.order.push_back((key, self.used));
        while self.held > self.bound {
            let Some((key, used)) = self.order.pop_front() else { break };
            if let Some((last, size)) = self.slots[key]
                && last == used
            {
                heap.free(size);
                self.slots[key] = None;
                self.held -= 1;
            }
        }
    }
}

/// All keys are as likely: what is still missing gets less and less, and with it what is loaded.
pub fn lru(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let asked = random.between(4.0, 15.0);
    // Time in which a share of 1 - 1/e of all keys was asked for.
    let keys = (asked * ticks as f64 * random.between(0.1, 0.25)) as usize;
    let bound = (keys as f64 * random.between(0.93, 1.0)) as usize;
    let entry = random.between(1.0, 8.0) * churn.level() / keys as f64;
    let mut cache = Lru::new(keys, bound);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(asked) {
            let (key, size) = (random.whole(0, keys), entry * random.between(0.5, 1.5));
            cache.ask(heap, key, size as u64);
        }
    })
}

/// Entries are dropped some time after they were made.
pub fn expiry(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let life = random.between(0.08, 0.3) * ticks as f64;
    let made = random.between(8.0, 25.0);
    let entry = random.between(1.0, 8.0) * churn.level() / (made * life);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(made) {
            let (size, life) = (entry * random.between(0.5, 1.5), life * random.between(0.9, 1.1));
            heap.allocate_for(size as u64, life);
        }
    })
}

/// Few keys are asked for all the time and many seldom: it fills ever more slowly, until it is full.
pub fn zipf(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let asked = random.between(8.0, 20.0);
    let keys = (asked * ticks as f64) as usize;
    let bound = (keys as f64 * random.between(0.04, 0.1)) as usize;
    let entry = random.between(1.0, 8.0) * churn.level() / bound as f64;
    let mut cache = Lru::new(keys + 1, bound);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(asked) {
            // Ranks that are even on a logarithmic scale: Zipf's law.
            let (key, size) = (random.scale(1.0, keys as f64) as usize, entry * random.between(0.5, 1.5));
            cache.ask(heap, key, size as u64);
        }
    })
}

/// A vector that is filled and then stays as it is.
pub fn vector(random: &mut Random) -> Run {
    let ticks = length(random);
    let churn = Churn { rate: 40.0, size: random.scale(200.0, 2e3), life: random.between(1.0, 3.0) };
    let pushes = random.between(3.0, 30.0);
    let filled = random.between(0.08, 0.18) * ticks as f64;
    let mut table = Table::new((random.scale(4.0, 40.0) * churn.level() / (pushes * filled)) as u64 + 1);
    run(ticks, |tick, heap| {
        churn.serve(heap, random, 1.0);
        if (tick as f64) < filled {
            (0..random.poisson(pushes)).for_each(|_| table.insert(heap));
        }
    })
}

/// Loads its data, then serves.
pub fn startup(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let loading = random.between(0.04, 0.25) * ticks as f64;
    let data = random.between(1.0, 6.0) * churn.level();
    run(ticks, |tick, heap| {
        if (tick as f64) < loading {
            let blocks = random.whole(5, 15);
            (0..blocks).for_each(|_| heap.allocate((data / loading / 10.0) as u64));
        }
        churn.serve(heap, random, 1.0);
    })
}

/// At some time the load rises, and stays so.
pub fn load_step(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let rises = (random.between(0.2, 0.6) * ticks as f64) as usize;
    let more = random.between(1.3, 2.5);
    run(ticks, |tick, heap| {
        churn.serve(heap, random, if tick < rises { 1.0 } else { more });
    })
}

/// A service as it should be.
pub fn churn(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
    })
}

/// The same; load wanders around its mean, and comes back to it after a while.
pub fn wandering(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    // What is wanted for an hour or so hides growth for as long.
    let ticks = random.whole(1500, 3000);
    let (mut load, step, back) = (0.0, random.between(0.02, 0.06), random.between(0.85, 0.97));
    run(ticks, |_, heap| {
        load = load * back + step * (random.unit() + random.unit() + random.unit() - 1.5) * 2.0;
        churn.serve(heap, random, f64::exp(load));
    })
}

/// A queue that was full and is worked off.
pub fn drain(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let items = ticks * random.whole(2, 6);
    let size = (random.between(1.0, 6.0) * churn.level() / items as f64) as u64;
    let speed = items as f64 / ticks as f64 * random.between(0.5, 0.95);
    let mut left = items;
    run(ticks, |tick, heap| {
        if tick == 0 {
            (0..items).for_each(|_| heap.allocate(size));
        }
        churn.serve(heap, random, 1.0);
        let done = random.poisson(speed).min(left);
        left -= done;
        (0..done).for_each(|_| heap.free(size));
    })
}
