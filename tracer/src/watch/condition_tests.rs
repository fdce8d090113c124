use super::*;
use crate::profile::{MemoryLimit, Whose};
use crate::timeline::Sample;
use crate::verdict::{Growth, Kind, Verdict};

const MIB: u64 = 1 << 20;

/// Whether a condition holds for a process with 100 MiB outstanding in 1000 blocks, 300 MiB resident, of which 250 MiB
/// anonymous, a limit of 400 MiB, and a growth of 1 MiB a minute.
fn holds(text: &str) -> Result<bool, Unknown> {
    let sample = Sample::default()
        .with(Metric::OutstandingBytes, 100 * MIB)
        .with(Metric::OutstandingBlocks, 1000)
        .with(Metric::Rss, 300 * MIB)
        .with(Metric::Anonymous, 250 * MIB)
        .with(Metric::AllocatorMapped, 100 * MIB)
        .with(Metric::AllocatorBrk, 20 * MIB);
    let limit = Some(MemoryLimit { used: 350 * MIB, bytes: 400 * MIB, whose: Whose::ControlGroup });
    let verdict = Verdict {
        kind: Kind::Growing,
        confidence: 0.9,
        growth: Some(Growth { bytes_per_second: float(MIB) / 60.0, ..Growth::default() }),
        seconds_to_limit: None,
        reasons: Vec::new(),
    };
    let facts = Facts { pid: 1, name: "x", sample: &sample, verdict: Some(&verdict), limit };
    text.parse::<Condition>().unwrap().holds(&facts)
}

#[test]
fn metrics_are_compared_with_values() {
    for (text, expected) in [
        ("outstanding>99MiB", true),
        ("outstanding>100MiB", false),
        ("outstanding>=100MiB", true),
        ("outstanding<100MiB", false),
        ("outstanding<=100MiB", true),
        (" OUTSTANDING  <=  100 MiB ", true),
        ("blocks>999", true),
        ("blocks>1k", false),
        ("blocks<1M", true),
        ("anonymous>249M", true),
        ("allocator>=120MiB", true),
        ("allocator>120MiB", false),
        ("cgroup>87%limit", true),
        ("cgroup>88%limit", false),
        ("rss<cgroup", true),
        ("rss>74%limit", true),
        ("rss>75%limit", false),
        ("rss >= 75 % of limit", true),
        ("rss<limit", true),
        ("rss>0.5*limit", true),
        ("rss>2*outstanding", true),
        ("rss>3*outstanding", false),
        ("rss>300%outstanding", false),
        ("growth>1000KiB/min", true),
        ("growth>1025KiB/min", false),
        ("growth>59MiB/h", true),
        ("growth>61MiB/h", false),
        ("growth<18KiB/s", true),
        ("growth>1439MiB/day", true),
        ("growth>0", true),
    ] {
        assert_eq!(holds(text), Ok(expected), "{text}");
    }
}

#[test]
fn all_that_are_joined_must_hold() {
    assert_eq!(holds("rss>1M && blocks>1 && growth>0"), Ok(true));
    assert_eq!(holds("rss>1M && blocks<1 && growth>0"), Ok(false));
}

#[test]
fn what_is_not_known_does_not_hold_and_is_named() {
    assert_eq!(holds("pss>1"), Err(Unknown("pss")));
    assert_eq!(holds("pss<1T"), Err(Unknown("pss")));
    assert_eq!(holds("rss>1 && uss>1 && swap>1"), Err(Unknown("uss")));
    // It does not matter then.
    assert_eq!(holds("uss>1 && rss<1"), Ok(false));
    assert_eq!(Unknown("uss").to_string(), "uss is not known");
    // The machine's memory is no control group.
    let limit = Some(MemoryLimit { used: MIB, bytes: 4 * MIB, whose: Whose::Machine });
    let facts = Facts { pid: 1, name: "", sample: &Sample::default(), verdict: None, limit };
    for (text, name) in [("growth>0", "growth"), ("rss>1", "rss"), ("allocator>1", "allocator"), ("cgroup>1", "cgroup")]
    {
        assert_eq!(text.parse::<Condition>().unwrap().holds(&facts), Err(Unknown(name)));
    }
}

#[test]
fn errors_say_in_one_line_what_is_accepted() {
    for (text, part) in [
        ("", "METRIC OP VALUE"),
        ("rss", "METRIC OP VALUE"),
        ("rss=5M", "METRIC OP VALUE"),
        ("rss>5M &&", "METRIC OP VALUE"),
        (
            "heap>5M",
            "expected one of outstanding, blocks, rss, pss, uss, anonymous, file, shmem, swap, cgroup, allocator, growth before",
        ),
        ("limit>5M", "expected one of"),
        (">5M", "expected one of"),
        ("rss>", "expected a size"),
        ("rss>much", "expected a size"),
        ("rss>-1", "expected a size"),
        ("rss>=>1", "expected a size"),
        ("rss>1MiB/s", "expected a size"),
        ("rss>90%", "expected a share"),
        ("rss>x%limit", "expected a share"),
        ("rss>-1*limit", "expected a share"),
        ("rss>inf*limit", "expected a share"),
        ("rss>50%heap", "expected a share"),
        ("rss>blocks", "blocks is not comparable with bytes: expected a size"),
        ("blocks>90%limit", "limit is not comparable with blocks: expected a number"),
        ("blocks>5MiB", "expected a number of blocks"),
        ("blocks>", "expected a number of blocks"),
        ("growth>5MiB", "expected a growth"),
        ("growth>5MiB/week", "expected a growth"),
        ("growth>2*growth", "expected a growth"),
    ] {
        let error = text.parse::<Condition>().unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("expected") && !error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn a_condition_is_shown_as_it_was_written() {
    let condition: Condition = " rss>1M && growth>1M/h ".parse().unwrap();
    assert_eq!(condition.to_string(), "rss>1M && growth>1M/h");
}
