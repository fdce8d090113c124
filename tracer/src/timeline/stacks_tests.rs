//! Compact series against what they stand for.

use proptest::prelude::*;

use super::*;

fn timeline() -> StacksTimeline {
    StacksTimeline::new(4, 1_000_000_000)
}

fn sample(timeline: &mut StacksTimeline, second: u32, stack: u32, bytes: u64) {
    timeline.begin(u64::from(second) * 1_000_000_000);
    timeline.change(stack, bytes);
}

#[test]
fn a_stack_takes_at_most_its_share_of_64_mib() {
    let mut timeline = timeline();
    for second in 0..10_000 {
        sample(&mut timeline, second, 0, u64::from(second));
    }
    let header = size_of::<StackSeries>();
    let bytes = timeline.series()[0].memory_bytes();
    assert!(bytes <= header + 40 * 12, "{bytes}");
    // With what malloc adds to a block.
    assert!((bytes + 16) * StacksTimeline::STACKS <= 64 << 20, "{bytes}");
}

#[test]
fn a_stack_beyond_the_limit_is_refused_and_counted() {
    let mut timeline = timeline();
    sample(&mut timeline, 0, 4, 1);
    assert_eq!((timeline.refused(), timeline.series().len()), (1, 0));
}

#[test]
fn a_value_stands_still_between_changes() {
    let mut timeline = timeline();
    sample(&mut timeline, 10, 1, 100);
    sample(&mut timeline, 13, 1, 300);
    timeline.begin(15_000_000_000);
    let curve = timeline.curve(1);
    let means: Vec<f64> = curve.points.iter().map(|point| point.mean).collect();
    assert_eq!(means, [100.0, 100.0, 100.0, 300.0, 300.0, 300.0]);
    assert!((curve.points[0].seconds - 10.5).abs() < 1e-9);
    assert!(timeline.curve(0).points.is_empty() && timeline.curve(3).points.is_empty());
}

#[test]
fn the_end_of_time_is_no_trouble() {
    let mut timeline = timeline();
    sample(&mut timeline, 0, 0, 1);
    for at in [u64::MAX / 2, u64::MAX] {
        timeline.begin(at);
        timeline.change(0, at);
        assert!(timeline.curve(0).points.len() <= 128 && timeline.series()[0].rise(timeline.now()) <= 0.0);
    }
}

#[test]
fn only_what_rises_rises() {
    let rise = |value: fn(u32) -> u64| {
        let mut timeline = timeline();
        let mut before = None;
        for second in 0..600 {
            timeline.begin(u64::from(second) * 1_000_000_000);
            if before.replace(value(second)) != Some(value(second)) {
                timeline.change(0, value(second));
            }
        }
        timeline.series()[0].rise(timeline.now())
    };
    assert!(rise(|second| 1000 + 10 * u64::from(second)) > 1500.0);
    assert!(rise(|second| u64::from(second / 100) * 1000) > 900.0);
    assert!(rise(|_| 5000) <= 0.0);
    assert!(rise(|second| if second < 100 { 0 } else { 5000 }) <= 0.0);
    assert!(rise(|second| u64::from(second % 20) * 1000) <= 0.0);
    assert!(rise(|second| 10_000 - u64::from(second)) <= 0.0);
}

proptest! {
    /// The rule that makes it cheap: touching a stack only when it changed gives the same as touching it every time.
    #[test]
    fn touched_on_change_is_as_good_as_touched_always(values in prop::collection::vec(0..4_u64, 1..400)) {
        let (mut always, mut on_change) = (StackSeries::default(), StackSeries::default());
        let mut before = None;
        for (tick, &value) in values.iter().enumerate() {
            always.update(tick as u32, value);
            if before.replace(value) != Some(value) {
                on_change.update(tick as u32, value);
            }
        }
        // The one that is touched less may still have the finer bins.
        while on_change.shift < always.shift {
            on_change.halve();
        }
        let now = values.len() as u32 - 1;
        prop_assert_eq!(always.curve(now, 1.0), on_change.curve(now, 1.0));
    }

    #[test]
    fn the_lowest_value_and_the_last_are_never_forgotten(values in prop::collection::vec(any::<u32>(), 1..400)) {
        let mut series = StackSeries::default();
        values.iter().enumerate().for_each(|(tick, &value)| series.update(3 * tick as u32, u64::from(value)));
        let lowest = values.iter().copied().min().unwrap_or_default();
        let bins: Vec<Packed> = series.bins().collect();
        prop_assert!(bins.len() <= StackSeries::CLOSED);
        prop_assert!(bins.windows(2).all(|pair| pair[0].bin < pair[1].bin));
        let low = bins.iter().map(|bin| bin.low).fold(f32::INFINITY, f32::min);
        prop_assert_eq!(low.to_bits(), packed(u64::from(lowest)).to_bits());
        prop_assert_eq!(series.last().to_bits(), packed(u64::from(values[values.len() - 1])).to_bits());
    }
}
