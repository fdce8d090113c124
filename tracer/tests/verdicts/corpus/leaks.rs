//! Programs that leak.

use super::heap::{Churn, Heap};
use super::random::Random;
use super::{Run, length};

/// Each tick's samples of a heap that `step` works on.
pub fn run(ticks: usize, mut step: impl FnMut(usize, &mut Heap)) -> Run {
    let mut heap = Heap::new(ticks);
    let each = |tick| {
        step(tick, &mut heap);
        let sample = heap.sample();
        heap.tick();
        sample
    };
    Run::of((0..ticks).map(each).collect())
}

/// A share of all requests forgets its block.
pub fn linear(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    // What has leaked at the end, as a share of what is in use.
    let leak = random.scale(0.8, 6.0) * churn.level() / ticks as f64;
    let share = leak / churn.bytes();
    run(ticks, |_, heap| {
        for _ in 0..churn.serve(heap, random, 1.0) {
            if random.chance(share) {
                heap.allocate(churn.block(random));
            }
        }
    })
}

/// One byte in a thousand is lost, of a churn that comes in batches of any size.
pub fn slow(random: &mut Random) -> Run {
    let churn = Churn { life: random.between(0.5, 2.0), ..Churn::some(random) };
    // A thousandth of the churn needs some time to be seen above what is in use.
    let ticks = random.whole(2000, 3000);
    run(ticks, |_, heap| {
        let load = random.scale(0.3, 3.0);
        for _ in 0..churn.serve(heap, random, load) {
            if random.chance(0.01) {
                heap.allocate(churn.block(random) / 10);
            }
        }
    })
}

/// Errors are rare and come in their own time; each forgets what its request had.
pub fn error_path(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let errors = random.between(0.08, 0.5);
    let held = random.between(1.0, 4.0) * churn.level() / (errors * ticks as f64);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        for _ in 0..random.poisson(errors) {
            heap.allocate((held * random.between(0.5, 1.5)) as u64);
        }
    })
}

/// Long quiet, then many blocks at once.
pub fn bursts(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let bursts = random.between(25.0, 60.0);
    let blocks = random.whole(10, 60);
    let size = random.between(1.5, 5.0) * churn.level() / (bursts * blocks as f64);
    run(ticks, |_, heap| {
        churn.serve(heap, random, 1.0);
        if random.chance(bursts / ticks as f64) {
            for _ in 0..random.whole(blocks / 2, blocks * 2) {
                heap.allocate(size as u64);
            }
        }
    })
}

/// Thirty-two threads with work of different kinds, one of which forgets something.
pub fn one_thread(random: &mut Random) -> Run {
    let ticks = length(random);
    let thread = |random: &mut Random| {
        let size = random.scale(1e3, 3e4);
        Churn { rate: random.scale(0.3, 5.0), size, life: random.between(1.0, 10.0) }
    };
    let threads: Vec<Churn> = (0..32).map(|_| thread(random)).collect();
    let level: f64 = threads.iter().map(Churn::level).sum();
    let leak = random.scale(0.6, 3.0) * level / ticks as f64;
    let share = (leak / threads[0].bytes()).min(1.0);
    let size = leak / share / threads[0].bytes();
    run(ticks, |_, heap| {
        for (number, churn) in threads.iter().enumerate() {
            for _ in 0..churn.serve(heap, random, 1.0) {
                if number == 0 && random.chance(share) {
                    heap.allocate((size * churn.block(random) as f64) as u64);
                }
            }
        }
    })
}

/// Eight workers, which take requests as they come; one of them forgets something. The family's sum is watched.
pub fn one_worker(random: &mut Random) -> Run {
    let churn = Churn::some(random);
    let ticks = length(random);
    let leak = random.scale(0.6, 3.0) * churn.level() / ticks as f64;
    // A request in thirteen is served by the one that leaks, which is busy half of the time.
    let share = (13.0 * leak / churn.bytes()).min(1.0);
    let size = 13.0 * leak / churn.bytes() / share;
    let mut busy = 0;
    run(ticks, |_, heap| {
        for _ in 0..churn.serve(heap, random, 1.0) {
            busy = if busy > 0 { busy - 1 } else { random.whole(0, 12) };
            if busy == 0 && random.whole(0, 8) < 4 && random.chance(share) {
                heap.allocate((size * churn.block(random) as f64) as u64);
            }
        }
    })
}
