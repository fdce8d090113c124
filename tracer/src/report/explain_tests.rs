//! Sentences.

use super::*;
use crate::profile::{Inlined, Place, Unnamed};

const MIB: f64 = 1_048_576.0;

fn frame() -> Frame {
    Frame {
        address: 0x1000,
        module: Some("worker".into()),
        module_address: 0x1f3a,
        build_id: None,
        place: Ok(Place { function: "cache_put".into(), offset: 4, source: Some(("/build/src/worker.c".into(), 88)) }),
        inlined: Vec::new(),
    }
}

fn verdict(kind: Kind, reasons: Vec<Reason>) -> Verdict {
    let growth = Growth { bytes_per_second: 1.1 * MIB / 60.0, low: 0.0, high: 1e9 };
    Verdict { kind, confidence: 0.97, growth: Some(growth), seconds_to_limit: None, reasons }
}

fn said(verdict: &Verdict, frame: &Frame) -> String {
    let ages = Ages { bytes: [1, 1, 1, 97, 0] };
    let circumstances = Circumstances {
        subject: Subject::Stack(frame),
        held: Usage { bytes: 50_541_363, blocks: 61_203 },
        watched: 1200.0,
        since: "10:42",
        ages: Some(&ages),
        limit: Some(MemoryLimit { used: 0, bytes: 512 << 20, whose: Whose::ControlGroup }),
    };
    explain(verdict, &circumstances)
}

#[test]
fn a_leak_suspect_is_explained_as_by_a_colleague() {
    let mut verdict = verdict(Kind::Growing, Vec::new());
    verdict.seconds_to_limit = Some(24_700.0);
    assert_eq!(
        said(&verdict, &frame()),
        "worker.c:88 `cache_put` holds 48.2 MiB in 61,203 blocks and grows 1.1 MiB a minute since 10:42, 97 % of it older \
         than 5 minutes, no sign of leveling off: leak suspect. The limit of 512 MiB is reached in about 6 h 50 min."
    );
}

#[test]
fn each_verdict_has_its_sentence() {
    let start = "worker.c:88 `cache_put` holds 48.2 MiB in 61,203 blocks";
    let cycles = Reason::Cycles { count: 9, period: 60.0 };
    let cases = [
        (
            Kind::LevelingOff { plateau: 64.0 * MIB },
            vec![],
            " and levels off at about 64.0 MiB: bloat or a cache, no leak.",
        ),
        (Kind::Steady, vec![Reason::NoTrend { at_most: 2048.0 }], " and does not grow, by 2.0 KiB in 20 min at most."),
        (Kind::Steady, vec![], " and does not grow."),
        (Kind::Sawtooth, vec![cycles], "; it comes and goes every 60 s, and its low points do not grow."),
        (Kind::Shrinking, vec![], " and gets less since 10:42."),
        (
            Kind::Retention { bytes: 90 << 20 },
            vec![],
            " and does not grow, but its allocator keeps 90.0 MiB that the program has freed: malloc_trim(0), \
             MALLOC_ARENA_MAX=2 or another allocator may give it back.",
        ),
        (
            Kind::NotTheHeap { what: Elsewhere::ThreadStacks },
            vec![],
            ", which does not grow; memory for its threads' stacks grows 1.1 MiB a minute since 10:42.",
        ),
        (
            Kind::TooEarly { watch_longer: 299.0 },
            vec![Reason::JustRose],
            "; it is too early to say since it rose just now: watch for 5 min more.",
        ),
        (
            Kind::TooEarly { watch_longer: 30.0 },
            vec![Reason::FewSamples { samples: 9 }, Reason::Lost { share: 0.25 }, Reason::Gaps { count: 1 }],
            "; it is too early to say after 9 samples: watch for 30 s more. 25.0 % of the events were lost, so this is less \
             sure. Nothing is known of 1 stretch of time.",
        ),
    ];
    for (kind, reasons, words) in cases {
        assert_eq!(said(&verdict(kind, reasons), &frame()), format!("{start}{words}"));
    }
}

#[test]
fn names_are_as_much_as_is_known_and_do_no_harm() {
    let starts = |frame: &Frame| {
        let said = said(&verdict(Kind::Steady, Vec::new()), frame);
        said.split(" holds").next().unwrap_or_default().to_owned()
    };
    let inlined = Inlined { function: "put".into(), source: Some(("cache.h".into(), 5)) };
    assert_eq!(starts(&Frame { inlined: vec![inlined], ..frame() }), "cache.h:5 `put`");
    assert_eq!(starts(&Frame { place: Err(Unnamed::NoSymbol), ..frame() }), "[worker+0x1f3a]");
    let hostile = Place { function: "\u{1b}[2J\u{7}".into(), offset: 0, source: None };
    let hostile = starts(&Frame { place: Ok(hostile), ..frame() });
    assert!(!hostile.contains(char::is_control), "{hostile:?}");
}

#[test]
fn rates_are_told_in_a_unit_that_fits() {
    let told = |bytes_per_second| rate(&Growth { bytes_per_second, ..Growth::default() });
    assert_eq!(told(3.0 * MIB), "3.0 MiB a second");
    assert_eq!(told(100.0), "5.9 KiB a minute");
    assert_eq!(told(1.0), "3.5 KiB an hour");
}

#[test]
fn a_length_of_time_is_as_coarse_as_it_is_sure() {
    let told = [45.0, 130.0, 7_000.0, 7_200.0, 172_799.0, 4_644_000.0, 1e9, f64::INFINITY].map(about);
    assert_eq!(told, ["45 s", "2 min 10 s", "2 h", "2 h", "48 h", "54 days", "32 years", "0 s"]);
}
