//! What the series and verdicts of 100,000 stacks cost: at most 64 MiB, and 1 % of a processor at a sample a second.
//!
//! Times mean something in an optimized build alone: `cargo test --release -p heaptide --test timeline_cost -- --nocapture`
//! prints them, and checks them there.

#![expect(clippy::cast_precision_loss, reason = "a measurement")]

use std::time::{Duration, Instant};

use heaptide::timeline::StacksTimeline;
use heaptide::verdict::suspects;

const STACKS: u32 = 100_000;
const SECOND: u64 = 1_000_000_000;

/// What a stack holds: noise, and for one in a hundred a leak.
fn bytes(stack: u32, second: u64) -> u64 {
    let mixed = (second + 7919 * u64::from(stack)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let leak = if stack.is_multiple_of(100) { 50 * second } else { 0 };
    20_000 + (mixed >> 50) + leak
}

/// Samples in which one in `every` stacks changes; the time of each on average.
fn sample(timeline: &mut StacksTimeline, seconds: std::ops::Range<u64>, every: u64) -> Duration {
    let samples = u32::try_from(seconds.end - seconds.start).unwrap_or(u32::MAX);
    let begin = Instant::now();
    for second in seconds {
        timeline.begin(second * SECOND);
        let first = (second % every) as u32;
        for stack in (first..STACKS).step_by(every as usize) {
            timeline.change(stack, bytes(stack, second));
        }
    }
    begin.elapsed() / samples
}

#[test]
fn a_hundred_thousand_stacks_fit_their_share() {
    let new = || StacksTimeline::new(StacksTimeline::STACKS, SECOND);
    let (mut busy, mut timeline) = (new(), new());
    let all = sample(&mut busy, 0..300, 1);
    let memory = busy.memory_bytes() + STACKS as usize * 16;
    drop(busy);
    let some = sample(&mut timeline, 0..600, 20);
    let begin = Instant::now();
    let ranking = suspects(&timeline, |_| None, 0.0);
    let ranked = begin.elapsed();
    println!("a sample in which all of {STACKS} stacks changed: {all:?}");
    println!("a sample in which one in 20 changed: {some:?}");
    println!(
        "a ranking with {} suspects, {} undecided, {} left out: {ranked:?}",
        ranking.suspects.len(),
        ranking.undecided,
        ranking.left_out
    );
    println!("memory: {:.1} MiB with what malloc adds", memory as f64 / 1_048_576.0);
    assert!(memory <= 64 << 20, "{memory} bytes");
    assert!(!ranking.suspects.is_empty() && ranking.suspects.iter().all(|suspect| suspect.stack.is_multiple_of(100)));
    if !cfg!(debug_assertions) {
        // One in 20 changes in a second, and the ranking is made once a minute.
        let second = some + ranked / 60;
        assert!(second <= Duration::from_millis(10), "{second:?} a second");
    }
}
