//! Random stacks of a Rust program. Argument: how many.

use std::hint::black_box;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

unsafe extern "C" {
    safe fn capture_begin();
    safe fn capture();
}

static STATE: AtomicU64 = AtomicU64::new(88_172_645_463_325_252);

fn below(limit: u64) -> u64 {
    let mut state = STATE.load(Ordering::Relaxed);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.store(state, Ordering::Relaxed);
    (state >> 33) % limit
}

trait Step {
    fn go(&self, depth: u64) -> u64;
}

struct Text(String);

impl Step for Text {
    fn go(&self, depth: u64) -> u64 {
        descend(depth - 1) + self.0.len() as u64
    }
}

struct Dropped(u64);

impl Drop for Dropped {
    fn drop(&mut self) {
        black_box(descend(self.0 - 1));
    }
}

#[repr(align(64))]
struct Aligned([u64; 8]);

#[inline(never)]
fn dynamic(depth: u64) -> u64 {
    black_box::<Box<dyn Step>>(Box::new(Text("text".repeat(9)))).go(depth)
}

#[inline(never)]
fn closure(depth: u64) -> u64 {
    let kept = black_box(vec![depth; 4]);
    let call: Box<dyn Fn(u64) -> u64> = Box::new(move |depth| descend(depth - 1) + kept[0]);
    black_box(call)(depth)
}

#[inline(never)]
fn dropped(depth: u64) -> u64 {
    let _dropped = black_box(Dropped(depth));
    depth
}

#[inline(never)]
fn guarded(depth: u64) -> u64 {
    catch_unwind(|| descend(depth - 1)).unwrap_or(0) + 1
}

#[inline(never)]
fn sorted(depth: u64) -> u64 {
    let (mut numbers, mut left) = (black_box(vec![3, 1, 2]), depth);
    numbers.sort_by(|a, b| {
        if let now @ 1.. = std::mem::take(&mut left) {
            black_box(descend(now - 1));
        }
        a.cmp(b)
    });
    numbers[0]
}

#[inline(never)]
fn aligned(depth: u64) -> u64 {
    let memory = black_box(Aligned([depth; 8]));
    descend(depth - 1) + black_box(&memory).0[0]
}

#[inline(never)]
fn threaded(depth: u64) -> u64 {
    std::thread::spawn(move || descend(depth - 1)).join().unwrap_or(0)
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    const STEPS: [fn(u64) -> u64; 7] = [dynamic, closure, dropped, guarded, sorted, aligned, threaded];
    if depth == 0 {
        capture();
        return black_box(1);
    }
    black_box(STEPS)[below(STEPS.len() as u64) as usize](depth) + 1
}

fn main() {
    capture_begin();
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1);
    for _ in 0..count {
        black_box(descend(below(24) + 1));
    }
}
