//! A server that leaks: a profile with all that is known over time.

use heaptide::profile::{
    Ages, Judged, Mark, Memory, MemoryLimit, OverTime, Peak, Profile, Stack, Suppressed, Usage, Whose,
};
use heaptide::verdict::{Growth, Kind, Reason, Verdict};

use super::profiles::{frame, heap, process, profile, stack, usage};

fn verdict(kind: Kind, rate: f64, reasons: Vec<Reason>) -> Verdict {
    let growth = Growth { bytes_per_second: rate, low: rate * 0.5, high: rate * 1.5 };
    Verdict { kind, confidence: 0.97, growth: Some(growth), seconds_to_limit: None, reasons }
}

/// One that grows, one that grows and is known to, one that levels off, and one that held much at the peak.
pub fn leaking() -> Profile {
    let trend = || vec![Reason::Trend { p: 0.001 }, Reason::NotLevelingOff { bend: 0.2 }];
    let leak = Stack {
        verdict: Some(verdict(Kind::Growing, 19_223.0, trend())),
        ages: Some(Ages { bytes: [100_000, 400_000, 1_000_000, 49_041_363, 0] }),
        generations: vec![usage(30_000_000, 40_000), usage(15_000_000, 15_000), usage(5_541_363, 6_203)],
        ..heap(50_541_363, 61_203, vec![frame("xmalloc", 12), frame("cache_put", 88), frame("main", 7)])
    };
    let known = Stack {
        verdict: Some(verdict(Kind::Growing, 100.0, trend())),
        suppressed: Some("keep_for_ever".to_owned()),
        ..heap(4096, 4, vec![frame("keep_for_ever", 3), frame("main", 8)])
    };
    let warming = Stack {
        verdict: Some(verdict(Kind::LevelingOff { plateau: 2e6 }, 10.0, vec![Reason::SlowsDown { bend: 2.0 }])),
        ..heap(1_900_000, 19, vec![frame("load_page", 40), frame("main", 9)])
    };
    let mut burst = stack(Memory::Heap, usage(0, 0), vec![frame("sort_rows", 77), frame("main", 10)]);
    burst.at_peak = usage(90_000_000, 9);
    let mut process = process(4242, "worker", vec![leak, known, warming, burst]);
    process.peak = Some(Peak { seconds: 600.5, bytes: process.stacks.iter().map(|stack| stack.at_peak.bytes).sum() });
    process.verdict = Some(Judged {
        verdict: Verdict {
            seconds_to_limit: Some(24_700.0),
            ..verdict(Kind::Growing, 19_323.0, [vec![Reason::PhaseEnded { seconds: 60.0 }], trend()].concat())
        },
        watched_seconds: 1200.0,
        limit: Some(MemoryLimit { used: 60 << 20, bytes: 512 << 20, whose: Whose::ControlGroup }),
        undecided_stacks: 2,
        unjudged_stacks: 0,
        suppressed: vec![Suppressed { pattern: "keep_for_ever".to_owned(), stacks: 1, held: Usage::block(4096) }],
    });
    process.over_time = Some(OverTime {
        seconds: (0..100).map(|index| 12.0 * f64::from(index)).collect(),
        outstanding_bytes: (0..100_u64).map(|index| index * 510_000 + index * index % 7 * 100_000).collect(),
        resident_bytes: (0..100_u64).map(|index| 10_000_000 + index * 520_000).collect(),
    });
    Profile {
        seconds: 1200.0,
        marks: vec![Mark { number: 1, seconds: 400.2 }, Mark { number: 2, seconds: 1000.0 }],
        ..profile(vec![process])
    }
}
