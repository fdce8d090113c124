//! Objects for programs: one a line, with its `type`. What is not known is `null`.

use std::io;

use serde::Serialize;

use super::{Held, Row};
use crate::{
    profile::{Mark, MemoryLimit},
    report::json::write_line,
    timeline::Metric,
};

/// What was held at one moment.
#[derive(Serialize)]
struct Interval<'a> {
    r#type: &'static str,
    unix_seconds: f64,
    seconds: f64,
    #[serde(flatten)]
    all: Option<Numbers>,
    processes: Vec<OfProcess<'a>>,
}

#[derive(Serialize)]
struct OfProcess<'a> {
    pid: Option<u32>,
    name: &'a str,
    #[serde(flatten)]
    numbers: Numbers,
}

impl<'a> OfProcess<'a> {
    fn of(held: &'a Held) -> Self {
        Self { pid: held.pid, name: &held.name, numbers: Numbers::of(held) }
    }
}

/// Sizes in bytes, faults since the begin of the process.
#[derive(Serialize)]
struct Numbers {
    rss: Option<u64>,
    pss: Option<u64>,
    uss: Option<u64>,
    shared: Option<u64>,
    anonymous: Option<u64>,
    file: Option<u64>,
    shmem: Option<u64>,
    swap: Option<u64>,
    outstanding_bytes: Option<u64>,
    outstanding_blocks: Option<u64>,
    allocated_bytes: u64,
    freed_bytes: u64,
    allocator_bytes: Option<u64>,
    minor_faults: Option<u64>,
    major_faults: Option<u64>,
    limit: Option<MemoryLimit>,
    verdict: Option<&'static str>,
    confidence: Option<f64>,
    growth_bytes_per_second: Option<f64>,
    seconds_to_limit: Option<f64>,
}

impl Numbers {
    fn of(held: &Held) -> Self {
        let read = |metric| held.sample.get(metric);
        let verdict = held.verdict.as_ref();
        Self {
            rss: read(Metric::Rss),
            pss: read(Metric::Pss),
            uss: read(Metric::Uss),
            shared: held.sample.shared(),
            anonymous: read(Metric::Anonymous),
            file: read(Metric::File),
            shmem: read(Metric::Shmem),
            swap: read(Metric::Swap),
            outstanding_bytes: read(Metric::OutstandingBytes),
            outstanding_blocks: read(Metric::OutstandingBlocks),
            allocated_bytes: held.allocated,
            freed_bytes: held.freed,
            allocator_bytes: held.sample.allocator(),
            minor_faults: read(Metric::MinorFaults),
            major_faults: read(Metric::MajorFaults),
            limit: held.limit,
            verdict: verdict.map(|verdict| verdict.kind.word()),
            confidence: verdict.map(|verdict| verdict.confidence),
            growth_bytes_per_second: held.growth(),
            seconds_to_limit: verdict.and_then(|verdict| verdict.seconds_to_limit),
        }
    }
}

/// Writes what was held: the sum, and each process.
pub fn write(out: &mut dyn io::Write, row: &Row) -> io::Result<()> {
    write_line(
        out,
        &Interval {
            r#type: "interval",
            unix_seconds: row.unix_seconds,
            seconds: row.seconds,
            all: row.sum().map(Numbers::of),
            processes: row.processes.iter().map(OfProcess::of).collect(),
        },
    )
}

/// Writes that a mark was set.
pub fn write_mark(out: &mut dyn io::Write, mark: Mark) -> io::Result<()> {
    #[derive(Serialize)]
    struct Set {
        r#type: &'static str,
        #[serde(flatten)]
        mark: Mark,
    }
    write_line(out, &Set { r#type: "mark", mark })
}

/// Writes that a command was run, or a profile kept, since something has begun to hold.
pub fn write_trigger(out: &mut dyn io::Write, trigger: &Trigger<'_>) -> io::Result<()> {
    #[derive(Serialize)]
    struct Fired<'a> {
        r#type: &'static str,
        #[serde(flatten)]
        trigger: &'a Trigger<'a>,
    }
    write_line(out, &Fired { r#type: "trigger", trigger })
}

/// Writes what a command is told: what has begun to hold, and what the process holds.
pub fn write_hook(out: &mut dyn io::Write, trigger: &Trigger<'_>, held: &Held) -> io::Result<()> {
    #[derive(Serialize)]
    struct Told<'a> {
        #[serde(flatten)]
        trigger: &'a Trigger<'a>,
        #[serde(flatten)]
        numbers: Numbers,
    }
    write_line(out, &Told { trigger, numbers: Numbers::of(held) })
}

/// Something has begun to hold.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Trigger<'a> {
    /// Seconds since the watch began.
    pub seconds: f64,
    /// The condition or verdict, as it was typed.
    pub cause: &'a str,
    /// The process.
    pub pid: u32,
    /// Its name.
    pub name: &'a str,
    /// The command that is run.
    pub command: Option<&'a str>,
    /// Where a profile was kept.
    pub profile: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::watch::tests::{held, row};

    #[test]
    fn an_interval_is_one_object_with_its_processes() {
        let mut out = Vec::new();
        write(&mut out, &row(None, vec![held(7)])).unwrap();
        assert_eq!(out.iter().position(|&byte| byte == b'\n'), Some(out.len() - 1));
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["type"], "interval");
        assert_eq!(value["rss"], 50_541_363);
        assert_eq!(value["processes"][0]["pid"], 7);
        assert_eq!(value["processes"][0]["verdict"], "growing");
        assert_eq!(value["growth_bytes_per_second"], 19_000.0);
        assert_eq!(value["limit"]["whose"], "control_group");
        assert!(value["pss"].is_null());
    }
}
