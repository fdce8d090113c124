//! What facts beside a curve do to its verdict.

use proptest::prelude::*;

use super::*;
use crate::profile::Ages;
use crate::timeline::{Clock, Metric, Reading, Sample, Timeline};
use crate::verdict::ResidentSet;

const MIB: f64 = 1_048_576.0;

/// A second each, with errors that follow no form.
fn curve(seconds: u32, form: impl Fn(f64) -> f64) -> Curve {
    let error = |second: u32| [0.7, -0.4, 0.2, -0.9, 0.5, -0.1][(second * second % 6) as usize];
    Curve::of((0..seconds).map(|second| (f64::from(second), form(f64::from(second)) + 0.02 * MIB * error(second))))
}

fn growing() -> Evidence {
    Evidence { heap: curve(300, |time| 2.0 * MIB + 0.1 * MIB * time), ..Evidence::default() }
}

fn steady() -> Evidence {
    Evidence { heap: curve(300, |_| 20.0 * MIB), ..Evidence::default() }
}

#[test]
fn a_leak_reaches_its_limit_when_its_rate_says() {
    let verdict = judge(&Evidence { limit: Some((50.0 * MIB, 110.0 * MIB)), ..growing() });
    assert_eq!(verdict.kind, Kind::Growing);
    let growth = verdict.growth.unwrap();
    assert!((growth.bytes_per_second / MIB - 0.1).abs() < 0.002, "{growth:?}");
    assert!(growth.low < growth.bytes_per_second && growth.high > growth.bytes_per_second);
    assert!((verdict.seconds_to_limit.unwrap() - 600.0).abs() < 10.0, "{verdict:?}");
    let over = judge(&Evidence { limit: Some((120.0 * MIB, 110.0 * MIB)), ..growing() });
    assert!(over.seconds_to_limit.unwrap().abs() < 1e-9);
    assert_eq!(judge(&Evidence { limit: Some((50.0 * MIB, 110.0 * MIB)), ..steady() }).seconds_to_limit, None);
}

#[test]
fn the_same_evidence_has_the_same_verdict() {
    assert_eq!(judge(&growing()), judge(&growing()));
}

#[test]
fn few_samples_say_nothing() {
    for seconds in 0..16 {
        let verdict = judge(&Evidence { heap: curve(seconds, |time| MIB * time), ..Evidence::default() });
        assert!(matches!(verdict.kind, Kind::TooEarly { watch_longer } if watch_longer > 0.0), "{seconds} {verdict:?}");
    }
}

#[test]
fn a_process_that_holds_nothing_all_along_is_steady() {
    for seconds in [16, 40, 300] {
        let heap = Curve::of((0..seconds).map(|second| (f64::from(second), 0.0)));
        let verdict = judge(&Evidence { heap, ..Evidence::default() });
        assert_eq!(verdict.kind, Kind::Steady, "{seconds} {verdict:?}");
        assert!(verdict.confidence > 0.99, "{seconds} {verdict:?}");
    }
}

#[test]
fn lost_events_and_gaps_are_said_and_make_less_sure() {
    let sure = judge(&growing()).confidence;
    let lost = judge(&Evidence { lost: 0.1, ..growing() });
    assert!(lost.confidence < 0.85 * sure && lost.reasons.contains(&Reason::Lost { share: 0.1 }), "{lost:?}");
    let most = judge(&Evidence { lost: 0.3, limit: Some((1.0, 2e9)), ..growing() });
    assert!(matches!(most.kind, Kind::TooEarly { .. }) && most.seconds_to_limit.is_none(), "{most:?}");
    let mut heap = growing().heap;
    heap.gaps = 2;
    let gaps = judge(&Evidence { heap, ..growing() });
    assert!(gaps.kind == Kind::Growing && gaps.confidence < sure, "{gaps:?}");
    assert!(gaps.reasons.contains(&Reason::Gaps { count: 2 }));
}

#[test]
fn young_blocks_make_no_suspect() {
    let young = judge(&Evidence { ages: Some(Ages { bytes: [50, 45, 5, 0, 0] }), ..growing() });
    assert!(matches!(young.kind, Kind::TooEarly { .. }) && young.reasons[0] == Reason::Young, "{young:?}");
    let old = judge(&Evidence { ages: Some(Ages { bytes: [5, 5, 90, 0, 0] }), ..growing() });
    assert_eq!(old.kind, Kind::Growing);
}

#[test]
fn a_vector_that_just_doubled_is_a_young_block_and_grows_all_the_same() {
    // It doubles at 128 s and at 256 s.
    let vector = |seconds| curve(seconds, |time| MIB * f64::exp2((time + 1.0).log2().floor()));
    let young = |bytes| Some(Ages { bytes });
    let doubled = judge(&Evidence { heap: vector(290), ages: young([0, 95, 5, 0, 0]), ..Evidence::default() });
    assert_eq!(doubled.kind, Kind::Growing, "{doubled:?}");
    // Long after its last step a vector is old.
    let churn = judge(&Evidence { heap: vector(370), ages: young([50, 45, 5, 0, 0]), ..Evidence::default() });
    assert!(matches!(churn.kind, Kind::TooEarly { .. }) && churn.reasons[0] == Reason::Young, "{churn:?}");
}

#[test]
fn growth_is_the_surer_the_longer_it_goes_on_in_the_first_minute() {
    let verdict =
        |seconds| judge(&Evidence { heap: curve(seconds, |time| 2.0 * MIB + 0.1 * MIB * time), ..Evidence::default() });
    let (soon, later, minute) = (verdict(20), verdict(40), verdict(62));
    assert!([&soon, &later, &minute].iter().all(|verdict| verdict.kind == Kind::Growing));
    assert!(soon.confidence < 0.75 && soon.confidence < later.confidence && later.confidence < minute.confidence);
    assert!(soon.reasons.contains(&Reason::ShortWatch { seconds: 19.0 }), "{soon:?}");
    assert!(!minute.reasons.iter().any(|reason| matches!(reason, Reason::ShortWatch { .. })), "{minute:?}");
}

#[test]
fn growth_that_only_replaces_older_blocks_is_no_leak() {
    let second = 1_000_000_000;
    let verdict = |older: u64| {
        let (mut clock, mut timeline) = (Clock::new(second), Timeline::new(Timeline::BINS, second));
        for at in 0..300_u64 {
            let sample = Sample::default().with(Metric::OutstandingBytes, 1_000_000 + 10_000 * at + at * at % 977);
            let sample = sample.with(Metric::OutstandingBlocks, 1000 + 10 * at);
            let tick = clock.tick(Reading { monotonic: at * second, boot: at * second });
            timeline.push(tick, &sample.with(Metric::OlderReleases, older * at));
        }
        judge(&Evidence::of(&timeline))
    };
    let (none, some, all) = (verdict(0), verdict(3), verdict(10));
    assert_eq!(none.kind, Kind::Growing);
    assert!(some.kind == Kind::Growing && some.confidence < 0.8 * none.confidence, "{some:?}");
    assert!(matches!(all.kind, Kind::TooEarly { .. }), "{all:?}");
    assert!(matches!(all.reasons[0], Reason::Replaces { share } if share > 0.95), "{all:?}");
}

#[test]
fn without_what_is_outstanding_the_resident_set_is_judged() {
    let second = 1_000_000_000;
    let (mut clock, mut timeline) = (Clock::new(second), Timeline::new(Timeline::BINS, second));
    for at in 0..300_u64 {
        let sample = Sample::default().with(Metric::OutstandingBytes, 10_000 * at + at * at % 977);
        let tick = clock.tick(Reading { monotonic: at * second, boot: at * second });
        timeline.push(tick, &sample.with(Metric::Anonymous, 50_000_000 + at * at % 977));
    }
    let verdict = judge(&Evidence::by_resident_set(&timeline));
    assert_eq!(verdict.kind, Kind::Steady);
    assert!(verdict.reasons.contains(&Reason::ByResidentSet));
}

#[test]
fn what_grows_beside_a_steady_heap_is_named_and_the_heap_comes_first() {
    let stacks = || Some(curve(300, |time| 8.0 * MIB + 0.5 * MIB * time));
    let beside = judge(&Evidence { thread_stacks: stacks(), limit: Some((0.0, 100.0 * MIB)), ..steady() });
    assert_eq!(beside.kind, Kind::NotTheHeap { what: Elsewhere::ThreadStacks });
    assert!((beside.seconds_to_limit.unwrap() - 200.0).abs() < 5.0, "{beside:?}");
    assert_eq!(judge(&Evidence { thread_stacks: stacks(), ..growing() }).kind, Kind::Growing);
}

#[test]
fn memory_that_is_kept_is_told_in_bytes() {
    let in_use = curve(300, |time| if (60.0..90.0).contains(&time) { 120.0 * MIB } else { 20.0 * MIB });
    let resident = curve(300, |time| if time < 60.0 { 40.0 * MIB } else { 140.0 * MIB });
    let set = ResidentSet { resident, in_use: in_use.clone() };
    let verdict = judge(&Evidence { heap: in_use, resident: Some(set), ..Evidence::default() });
    let Kind::Retention { bytes } = verdict.kind else { panic!("{verdict:?}") };
    assert!((float(bytes) / MIB - 100.0).abs() < 0.5, "{bytes}");
}

#[test]
fn a_timeline_with_a_suspended_machine_keeps_its_rate() {
    let second = 1_000_000_000;
    let (mut clock, mut timeline) = (Clock::new(second), Timeline::new(Timeline::BINS, second));
    for tick in 0..300 {
        let slept = if tick < 150 { 0 } else { 7200 * second };
        let reading = Reading { monotonic: (tick + 5) * second, boot: (tick + 5) * second + slept };
        let bytes = 2_000_000 + 100_000 * tick + tick * tick % 7 * 1000;
        let sample = Sample::default().with(Metric::OutstandingBytes, bytes).with(Metric::Rss, bytes + 1_000_000);
        timeline.push(clock.tick(reading), &sample.with(Metric::Limit, 64 << 20));
    }
    let verdict = judge(&Evidence::of(&timeline));
    assert_eq!(verdict.kind, Kind::Growing);
    assert!((verdict.growth.unwrap().bytes_per_second - 100_000.0).abs() < 500.0, "{verdict:?}");
    assert!(verdict.reasons.contains(&Reason::Gaps { count: 1 }) && verdict.seconds_to_limit.is_some(), "{verdict:?}");
}

#[test]
fn in_json_the_verdict_is_a_word_with_what_belongs_to_it() {
    let kind = Kind::NotTheHeap { what: Elsewhere::MappedFiles };
    let reasons = vec![Reason::JustRose, Reason::Gaps { count: 2 }];
    let verdict = Verdict { kind, confidence: 0.5, growth: None, seconds_to_limit: Some(60.0), reasons };
    let json = serde_json::json!({
        "verdict": "not_the_heap",
        "what": "mapped_files",
        "confidence": 0.5,
        "growth": null,
        "seconds_to_limit": 60.0,
        "reasons": ["just_rose", { "gaps": { "count": 2 } }],
    });
    assert_eq!(serde_json::to_value(&verdict).unwrap(), json);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever was sampled has a verdict, and its numbers are some.
    #[test]
    fn any_samples_have_a_verdict(
        steps in prop::collection::vec((1..100_u64, prop_oneof![Just(0), 0..1000_u64, any::<u64>()]), 0..400),
        still in any::<bool>(), bins in 2..200_usize
    ) {
        let mut timeline = Timeline::new(bins, 1_000_000_000);
        let mut at = 0;
        for (step, value) in steps {
            at += step * 100_000_000;
            let value = if still { value % 2 } else { value };
            let sample = Sample::default().with(Metric::OutstandingBytes, value).with(Metric::Rss, value / 2);
            let sample = sample.with(Metric::ThreadStacks, value / 3).with(Metric::Limit, value);
            timeline.push(crate::timeline::Tick { at, gap: None }, &sample);
        }
        let verdict = judge(&Evidence::of(&timeline));
        prop_assert!((0.0..=1.0).contains(&verdict.confidence), "{:?}", verdict);
        if let Some(growth) = verdict.growth {
            prop_assert!(growth.low <= growth.bytes_per_second && growth.bytes_per_second <= growth.high, "{:?}", verdict);
        }
        prop_assert!(verdict.seconds_to_limit.is_none_or(|seconds| seconds >= 0.0), "{:?}", verdict);
        match verdict.kind {
            Kind::TooEarly { watch_longer } => prop_assert!(watch_longer > 0.0 && watch_longer.is_finite(), "{:?}", verdict),
            Kind::LevelingOff { plateau } => prop_assert!(plateau.is_finite(), "{:?}", verdict),
            _ => {}
        }
    }
}

#[test]
fn a_rise_that_only_comes_back_is_no_growth_yet() {
    // Entries of a cache that expire: it fills for 80 s, and then holds by chance a little less for a while.
    let cache = |end: u32, rise: f64| {
        curve(end, |time| match time {
            _ if time < 80.0 => 0.025 * MIB * time,
            _ if time < 180.0 => (2.0 - 0.004 * (time - 80.0)) * MIB,
            _ => (1.6 + rise * (time - 180.0)) * MIB,
        })
    };
    let judged = |heap| judge(&Evidence { heap, ..Evidence::default() });
    let back = judged(cache(280, 0.004));
    assert!(matches!(back.kind, Kind::TooEarly { .. }) && back.reasons[0] == Reason::CameBack, "{back:?}");
    // A leak soon holds more than there ever was; and what lasts much longer than the time before is one as well.
    assert_eq!(judged(cache(280, 0.012)).kind, Kind::Growing);
    assert_eq!(judged(cache(580, 0.001)).kind, Kind::Growing);
}

#[test]
fn a_block_that_is_there_for_a_moment_when_it_is_looked_is_no_growth() {
    for moment in 0..50 {
        let held = (0..50).map(|sample| (f64::from(sample) / 10.0, if sample == moment { 4096.0 } else { 0.0 }));
        let verdict = judge(&Evidence { heap: Curve::of(held), ..Evidence::default() });
        assert_eq!(verdict.kind, Kind::Steady, "{moment}: {verdict:?}");
    }
}
