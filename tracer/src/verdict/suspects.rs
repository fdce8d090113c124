//! Which stacks are growing, the worst first.
//!
//! A first look at every stack is cheap (see [`StackSeries::rise`]); verdicts are made of those few alone that may be growing,
//! the steepest first.

use super::{Evidence, Kind, Verdict, judge};
use crate::profile::Ages;
use crate::timeline::{StackSeries, StacksTimeline};

/// Verdicts in a ranking, at most.
const VERDICTS: usize = 200;

/// Bytes that a stack must have risen by to be worth a verdict,
const WORTH: f32 = 256.0;

/// and as a share of what it holds.
const SHARE: f32 = 0.02;

/// A stack that is growing.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// The index of its totals.
    pub stack: u32,
    /// Bytes that it holds now, kept to 24 bits.
    pub bytes: f64,
    /// The verdict: its kind is [`Kind::Growing`].
    pub verdict: Verdict,
    /// Growth in bytes a second times confidence: what the ranking goes by.
    pub weight: f64,
}

/// Suspects, the weightiest first, and what was not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// The suspects.
    pub suspects: Vec<Suspect>,
    /// Stacks that may be growing, of which it is too early to say.
    pub undecided: usize,
    /// Stacks that may be growing, but less than those that a verdict was made of.
    pub left_out: usize,
}

/// Ranks the stacks. `ages` tells how old what a stack holds is, where that is known: it is asked for few of them. `lost` is
/// the share of events that were lost.
pub fn suspects(timeline: &StacksTimeline, ages: impl Fn(u32) -> Option<Ages>, lost: f64) -> Ranking {
    let now = timeline.now();
    let rise = |(index, series): (usize, &StackSeries)| {
        let rise = series.rise(now);
        (rise >= WORTH.max(SHARE * series.last())).then_some((index as u32, rise))
    };
    let mut rising: Vec<(u32, f32)> = timeline.series().iter().enumerate().filter_map(rise).collect();
    // By number where two are alike, so that the same input always has the same ranking.
    rising.sort_unstable_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    let mut ranking = Ranking { left_out: rising.len().saturating_sub(VERDICTS), ..Ranking::default() };
    for (stack, _) in rising.into_iter().take(VERDICTS) {
        let verdict = judge(&Evidence::of_stack(timeline.curve(stack), ages(stack), lost));
        match (verdict.kind, verdict.growth) {
            (Kind::Growing, Some(growth)) => {
                let bytes = timeline.series().get(stack as usize).map_or(0.0, |series| f64::from(series.last()));
                let weight = growth.bytes_per_second * verdict.confidence;
                ranking.suspects.push(Suspect { stack, bytes, verdict, weight });
            }
            (Kind::TooEarly { .. }, _) => ranking.undecided += 1,
            _ => {}
        }
    }
    ranking.suspects.sort_by(|one, other| other.weight.total_cmp(&one.weight).then(one.stack.cmp(&other.stack)));
    ranking
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// 600 seconds of stacks that each hold what `bytes` says.
    fn timeline(stacks: u32, bytes: impl Fn(u32, u64) -> u64) -> StacksTimeline {
        let mut timeline = StacksTimeline::new(1000, SECOND);
        let mut before = vec![None; stacks as usize];
        for second in 0..600 {
            timeline.begin(second * SECOND);
            for stack in 0..stacks {
                let bytes = bytes(stack, second);
                if before[stack as usize].replace(bytes) != Some(bytes) {
                    timeline.change(stack, bytes);
                }
            }
        }
        timeline
    }

    fn noise(stack: u32, second: u64) -> u64 {
        let mixed = (second + 1000 * u64::from(stack) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32 & 0x3fff
    }

    /// One in ten grows, each by as many bytes a second as its number says.
    fn some_leak(stack: u32, second: u64) -> u64 {
        let leak = if stack % 10 == 3 { u64::from(stack) * second } else { 0 };
        100_000 + noise(stack, second) + leak
    }

    #[test]
    fn those_that_grow_are_found_and_ranked_by_their_rate() {
        let ranking = suspects(&timeline(300, some_leak), |_| None, 0.0);
        let found: Vec<u32> = ranking.suspects.iter().map(|suspect| suspect.stack).collect();
        assert!(found.iter().all(|stack| stack % 10 == 3), "{found:?}");
        // Nearly all of the 24 that grew by more than twice the noise.
        assert!(found.iter().filter(|stack| **stack >= 63).count() >= 22, "{found:?}");
        assert!(ranking.suspects.is_sorted_by(|one, other| one.weight >= other.weight), "{found:?}");
        assert_eq!(found[..3], [293, 283, 273]);
        let first = &ranking.suspects[0];
        assert!((first.verdict.growth.unwrap().bytes_per_second - 293.0).abs() < 10.0, "{first:?}");
        assert!((first.bytes - 293.0 * 600.0 - 108_000.0).abs() < 20_000.0, "{first:?}");
    }

    #[test]
    fn young_blocks_never_make_a_suspect() {
        let timeline = timeline(30, |stack, second| some_leak(stack, 20 * second));
        let young = |_| Some(Ages { bytes: [900, 50, 50, 0, 0] });
        let ranking = suspects(&timeline, young, 0.0);
        assert!(ranking.suspects.is_empty() && ranking.undecided > 0, "{ranking:?}");
        let old = |_| Some(Ages { bytes: [10, 10, 30, 950, 0] });
        assert!(!suspects(&timeline, old, 0.0).suspects.is_empty());
    }

    #[test]
    fn lost_events_make_suspects_less_sure_and_then_none() {
        let timeline = timeline(30, |stack, second| some_leak(stack, 20 * second));
        let confidence = |lost| suspects(&timeline, |_| None, lost).suspects.first().map(|one| one.verdict.confidence);
        assert!(confidence(0.05).unwrap() < confidence(0.0).unwrap() - 0.05);
        assert_eq!(confidence(0.5), None);
    }

    #[test]
    fn stacks_that_a_verdict_cannot_be_made_of_are_counted() {
        let ranking = suspects(&timeline(250, |stack, second| 1000 + u64::from(stack) * 50 * second), |_| None, 0.0);
        assert_eq!((ranking.suspects.len(), ranking.left_out), (200, 49));
    }
}
