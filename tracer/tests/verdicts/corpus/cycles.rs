//! Programs whose memory comes and goes.

use super::heap::{Churn, Heap};
use super::leaks::run;
use super::random::Random;
use super::{Run, length};

/// A managed heap: garbage stays until there is no room for more.
pub struct Collector {
    churn: Churn,
    /// Bytes of garbage at which it collects.
    pub room: u64,
    garbage: Vec<u64>,
    held: u64,
}

impl Collector {
    /// One that collects some 10 to 40 times in so many ticks.
    pub fn some(random: &mut Random, ticks: usize) -> Self {
        let churn = Churn { life: random.between(1.0, 4.0), ..Churn::some(random) };
        let room = (churn.bytes() * ticks as f64 / random.between(10.0, 40.0)) as u64;
        Self { churn, room, garbage: Vec::new(), held: 0 }
    }

    pub fn work(&mut self, heap: &mut Heap, random: &mut Random) {
        for _ in 0..random.poisson(self.churn.rate) {
            let size = self.churn.block(random);
            heap.allocate(size);
            self.garbage.push(size);
            self.held += size;
        }
        // When it collects depends on more than the heap's size; the newest blocks are still in use.
        if self.held as f64 > self.room as f64 * random.between(0.9, 1.1) {
            let used = (self.churn.rate * self.churn.life) as usize;
            let dead = self.garbage.len().saturating_sub(used);
            for size in self.garbage.drain(..dead) {
                heap.free(size);
                self.held -= size;
            }
        }
    }
}

pub fn collector(random: &mut Random) -> Run {
    let ticks = length(random);
    let mut collector = Collector::some(random, ticks);
    run(ticks, |_, heap| collector.work(heap, random))
}

/// A load that goes up and down some times, with other weather every day.
pub fn daily_load(random: &mut Random, ticks: usize) -> impl Fn(usize) -> f64 + use<> {
    let days = random.between(9.0, 14.0);
    let deep = random.between(0.5, 0.85);
    let begin = random.unit();
    let weather: Vec<f64> = (0..16).map(|_| random.between(0.85, 1.15)).collect();
    move |tick| {
        let time = begin + days * tick as f64 / ticks as f64;
        // At noon the load is 1, at night little is left.
        let sun = f64::midpoint((std::f64::consts::TAU * time).sin(), 1.0);
        (1.0 - deep + deep * sun) * weather[time as usize % 16]
    }
}

pub fn daily(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let load = daily_load(random, ticks);
    run(ticks, |tick, heap| {
        churn.serve(heap, random, load(tick));
    })
}

/// Workers whose memory grows are ended after so many requests, and new ones take their place: all together, as a server
/// does that is told to reload.
pub fn restarts(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let turns = random.between(6.0, 20.0);
    let requests = (churn.rate * ticks as f64 / turns) as usize;
    let kept = random.between(1.0, 4.0) * churn.level() / requests as f64;
    let (mut served, mut held) = (0, Vec::new());
    run(ticks, |_, heap| {
        for _ in 0..churn.serve(heap, random, 1.0) {
            let size = (kept * random.between(0.5, 1.5)) as u64;
            heap.allocate(size);
            held.push(size);
            served += 1;
        }
        if served >= requests {
            served = 0;
            held.drain(..).for_each(|size| heap.free(size));
        }
    })
}
