//! Kinds that were written when the rules for verdicts were done, and changed nothing in them.

use heaptide::timeline::Metric;

use super::beside::beside;
use super::bounded::Lru;
use super::cycles::daily_load;
use super::heap::{Churn, Heap};
use super::leaks::run;
use super::random::Random;
use super::{Run, length};

/// Each request registers a listener; nine of ten are removed some time later.
pub fn listeners(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let life = random.between(10.0, 40.0);
    let made = random.between(5.0, 15.0);
    let size = random.between(0.8, 5.0) * churn.level() / (made * 0.1 * ticks as f64);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(made) {
            let (size, life) = (size * random.between(0.5, 1.5), random.exponential(life));
            if random.chance(0.1) {
                heap.allocate(size as u64);
            } else {
                heap.allocate_for(size as u64, life);
            }
        }
    })
}

/// What leaks is reached under load only.
pub fn busy_hours(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let load = daily_load(random, ticks);
    let leak = random.scale(2.0, 6.0) * churn.level() / (0.5 * ticks as f64);
    run(ticks, |tick, heap| {
        let load = load(tick);
        for _ in 0..churn.serve(heap, random, load) {
            if load > 0.6 && random.chance((leak / churn.bytes()).min(1.0)) {
                heap.allocate(churn.block(random));
            }
        }
    })
}

/// A buffer for what is never written out.
pub fn buffer(random: &mut Random) -> Run {
    let ticks = length(random);
    let churn = Churn { rate: 40.0, size: random.scale(200.0, 2e3), life: random.between(1.0, 3.0) };
    let line = random.scale(4.0, 40.0) * churn.level() / ticks as f64;
    let (mut used, mut capacity) = (0.0, 0);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        used += line * random.between(0.5, 1.5);
        while used > capacity as f64 {
            let larger = (capacity + capacity / 2).max(1024);
            heap.allocate(larger);
            if capacity > 0 {
                heap.free(capacity);
            }
            capacity = larger;
        }
    })
}

/// More load, and with it a way through the code that forgets something.
pub fn after_step(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let onset = (random.between(0.15, 0.3) * ticks as f64) as usize;
    let more = random.between(1.3, 2.0);
    let leak = random.scale(1.0, 5.0) * churn.level() / (ticks - onset) as f64;
    let run = run(ticks, |tick, heap| {
        for _ in 0..churn.serve(heap, random, if tick < onset { 1.0 } else { more }) {
            if tick >= onset && random.chance((leak / more / churn.bytes()).min(1.0)) {
                heap.allocate(churn.block(random));
            }
        }
    });
    Run { onset, ..run }
}

/// A cache fills soon; the leak goes on.
pub fn beside_cache(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let asked = random.between(4.0, 15.0);
    let keys = (asked * ticks as f64 * random.between(0.03, 0.08)) as usize;
    let cached = random.between(1.0, 4.0) * churn.level();
    let mut cache = Lru::new(keys, keys);
    let leak = random.scale(1.0, 4.0) * (churn.level() + cached) / ticks as f64;
    run(ticks, |_, heap| {
        for _ in 0..churn.serve(heap, random, 1.0) {
            if random.chance((leak / churn.bytes()).min(1.0)) {
                heap.allocate(churn.block(random));
            }
        }
        for _ in 0..random.poisson(asked) {
            let (key, size) = (random.whole(0, keys), cached / keys as f64 * random.between(0.5, 1.5));
            cache.ask(heap, key, size as u64);
        }
    })
}

/// A partner is away for a while, and each call that fails forgets something.
pub fn storms(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let storms = random.between(30.0, 80.0);
    let long = random.between(3.0, 12.0);
    let size = random.between(1.5, 5.0) * churn.level() / (storms * long * 4.0);
    let mut left = 0.0;
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        if random.chance(storms / ticks as f64) {
            left = random.exponential(long);
        }
        if left > 0.0 {
            left -= 1.0;
            (0..random.poisson(4.0)).for_each(|_| heap.allocate(size as u64));
        }
    })
}

/// Every request is for something new, and soon there is no room for more: one of those that are there goes.
pub fn full_at_once(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let asked = random.between(5.0, 20.0);
    let bound = (asked * ticks as f64 * random.between(0.05, 0.2)) as usize;
    let entry = random.between(1.0, 8.0) * churn.level() / bound as f64;
    let mut held: Vec<u64> = Vec::new();
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(asked) {
            let size = (entry * random.between(0.5, 1.5)) as u64;
            heap.allocate(size);
            if held.len() < bound {
                held.push(size);
            } else {
                let one = random.whole(0, bound);
                heap.free(std::mem::replace(&mut held[one], size));
            }
        }
    })
}

/// Some arguments are asked for often, others seldom.
pub fn memo(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let asked = random.between(6.0, 20.0);
    let arguments = (asked * ticks as f64 * random.between(0.05, 0.15)) as usize;
    let entry = random.between(1.0, 6.0) * churn.level() / arguments as f64;
    let mut cache = Lru::new(arguments, arguments);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(asked) {
            let rank = random.unit().powf(1.5) * (arguments - 1) as f64;
            let size = entry * random.between(0.5, 1.5);
            cache.ask(heap, rank as usize, size as u64);
        }
    })
}

/// Jobs of some length come in their own time, several at once as it happens.
pub fn jobs(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let every = random.between(10.0, 25.0);
    let size = random.between(0.3, 1.0) * churn.level() / 20.0;
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(1.0 / every) {
            let life = random.between(5.0, 20.0);
            (0..20).for_each(|_| heap.allocate_for(size as u64, life));
        }
    })
}

/// Writes are collected, and now and then most of them turn out to be of no use any more.
pub fn compacted(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let turns = random.between(12.0, 30.0);
    let writes = random.between(4.0, 15.0);
    let room = (writes * ticks as f64 / turns) as usize;
    let size = (random.between(1.5, 5.0) * churn.level() / room as f64) as u64;
    let stay = random.between(0.1, 0.4);
    let mut held = 0;
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(writes) {
            heap.allocate(size);
            held += 1;
        }
        if held as f64 >= room as f64 * random.between(1.0, 1.1) / (1.0 - stay) {
            let gone = (held as f64 * (1.0 - stay)) as usize;
            (0..gone).for_each(|_| heap.free(size));
            held -= gone;
        }
    })
}

/// Two large tasks, one after the other; the allocator keeps what it took for the larger one.
pub fn two_peaks(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let starts = [random.between(0.1, 0.2), random.between(0.28, 0.35)].map(|share| (share * ticks as f64) as usize);
    let long = (random.between(0.03, 0.06) * ticks as f64) as usize;
    let size = ((16e6 + 3.0 * churn.level()) * random.scale(0.5, 8.0) / long as f64) as u64;
    let mut heap = Heap::new(ticks);
    let mut held = 0;
    let samples = (0..ticks).map(|tick| {
        churn.serve(&mut heap, random, 1.0);
        if starts.iter().any(|start| (*start..start + long).contains(&tick)) {
            heap.allocate(size);
            held += 1;
        } else {
            (0..held).for_each(|_| heap.free(size));
            held = 0;
        }
        let sample = heap.sample();
        heap.tick();
        sample
    });
    Run::of(samples.collect())
}

/// Code that is made at run time, a few pages for each piece.
pub fn small_mappings(random: &mut Random) -> Run {
    let run = beside(random, Metric::Mapped, 256 << 10, true);
    Run { onset: 0, ..run }
}
