//! What is known of the traced processes and their stacks, and the profile that it makes.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use heaptide_common::{Counter, unwind::Outcome};
use nix::sys::resource::{UsageWho, getrusage};
use procfs::process::Process as ProcProcess;
use rustc_hash::FxHashMap;

use super::{
    assemble::{self, Extent, Grown},
    closing::Closing,
    finish::Finished,
    processes::Processes,
    session::Config,
    tables::TableMaker,
    timelines::Timelines,
};
use crate::{
    live::{Key, Moment, Notice, Remains, Summary},
    profile::{self, Cost, Frame, Growth, Judged, Mark, Profile, Sampling, Unmatched},
    stacks::{Leaf, Marks, StackStore},
    symbols::Symbolizer,
    timeline::Metric,
};

/// Stacks without their ends that are kept at one time: each with a copy of some kilobytes.
const MOST_UNFINISHED: usize = 64;

/// What is known of a recording over time.
#[derive(Clone, Copy)]
pub(super) struct OverTime<'a> {
    pub(super) timelines: &'a Timelines,
    pub(super) marks: &'a [Mark],
    pub(super) now: Moment,
}

impl OverTime<'_> {
    /// The verdict on all processes together.
    fn family(&self) -> Option<Judged> {
        let (timeline, verdict) = self.timelines.family()?;
        Some(Judged {
            verdict: verdict?.clone(),
            watched_seconds: timeline.curve(Metric::OutstandingBytes).seconds(),
            limit: None,
            undecided_stacks: 0,
            unjudged_stacks: 0,
            suppressed: Vec::new(),
        })
    }
}

/// What names are made of.
pub(super) struct Knowledge {
    pub(super) processes: Processes,
    store: StackStore,
    pub(super) symbolizer: Symbolizer,
    pub(super) reread: Instant,
    /// Whether a stack has led where nothing was known, and nobody has looked there since.
    pub(super) is_stale: bool,
    /// Stacks that lack their ends.
    unfinished: Vec<(Key, Remains)>,
    /// Walks that the kernel part could not end: how they ended there, how they end now, and how many.
    pub(super) finished: FxHashMap<(Outcome, Outcome), u64>,
}

impl Knowledge {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            processes: Processes::default(),
            store: StackStore::default(),
            symbolizer: Symbolizer::new(),
            reread: Instant::now(),
            is_stale: false,
            unfinished: Vec::new(),
            finished: FxHashMap::default(),
        }
    }

    /// Keeps a stack that lacks its end; says whether there are as many as can be kept.
    pub(super) fn keep_unfinished(&mut self, remains: Remains) -> bool {
        if let Some(key) = self.processes.current(remains.pid) {
            self.unfinished.push((key, remains));
        }
        self.unfinished.len() >= MOST_UNFINISHED
    }

    /// Has the stacks that lack their ends followed to them, and takes in those that were.
    pub(super) fn finish_stacks(&mut self, tables: &TableMaker) {
        let mut by_process: FxHashMap<Key, Vec<Remains>> = FxHashMap::default();
        for (key, remains) in self.unfinished.drain(..) {
            by_process.entry(key).or_default().push(remains);
        }
        for (key, remains) in by_process {
            tables.finish(remains, Arc::new(self.processes.get(key).mappings));
        }
        tables.finished().for_each(|finished| self.finished(&finished));
    }

    fn finished(&mut self, finished: &Finished) {
        let Finished { before, outcome, .. } = *finished;
        let marks = Marks {
            truncated: outcome == Outcome::TooDeep,
            incomplete: !matches!(outcome, Outcome::Complete | Outcome::Guessed),
            guessed: outcome == Outcome::Guessed,
            // As it was sent at first.
            leaf: Leaf::default(),
        };
        self.store.extend(finished.pid, finished.id, &finished.frames, marks);
        *self.finished.entry((before, outcome)).or_default() += 1;
    }

    pub(super) fn take_in(&mut self, notice: Notice) {
        match notice {
            Notice::Stack { id, frames, marks, .. } => self.store.insert(id, &frames, marks),
            Notice::Forked { parent, child } => self.processes.forked(parent, child),
            Notice::Program(key) => self.processes.program(key),
            Notice::Exited(pid) => self.processes.exited(pid),
            // Too late for a table.
            Notice::Wanted { .. } | Notice::Remains(_) | Notice::Libraries(_) => {}
        }
    }

    /// The frames of a stack of process `key`; none when it has not come.
    pub(super) fn frames(&mut self, key: Key, id: u64) -> Vec<Frame> {
        let Some(stack) = self.store.get(self.store.canonical(id)) else { return Vec::new() };
        let known = self.processes.get(key);
        self.symbolizer.frames(&known.mappings, stack.frames, stack.marks.leaf == Leaf::Return)
    }

    pub(super) fn profile(
        &mut self,
        config: &Config,
        mut summary: Summary,
        closing: &Closing,
        over_time: OverTime<'_>,
        most: usize,
    ) -> Profile {
        let pulses = closing.budget.as_ref().and_then(|budget| budget.pulses);
        summary.scale_pulses(pulses.and_then(|pulses| pulses.slowdown).unwrap_or(1.0));
        let Self { processes, store, symbolizer, .. } = self;
        let counters = &closing.counters;
        // Every ring tells of each.
        let guests = if closing.sees_guests { 0 } else { summary.unmatched.guests / u64::from(config.kernel.shards) };
        let unmatched = Unmatched {
            late_processes: closing.late,
            late_libraries: closing.late_libraries,
            guests,
            ..summary.unmatched
        };
        let unwinding = assemble::unwinding(&closing.outcomes, &closing.tables);
        let mut unknown = assemble::unknown(counters, unmatched, summary.refused, store, unwinding);
        let without_room: u64 = summary.accounts.iter().map(|account| account.refused_stacks).sum();
        unknown.stacks.unwatched = over_time.timelines.refused();
        unknown.stacks.refused += closing.refused_stacks + without_room;
        let events = summary.events;
        let target_cpu_seconds = processes.cpu.total().as_secs_f64();
        let in_pulses = pulses.is_some();
        let table_full = counters[Counter::TagsFull];
        let sampling =
            closing.sampled.map(|interval| Sampling { interval_bytes: interval.into(), table_full, in_pulses });
        let elapsed = closing.elapsed.as_secs_f64();
        let (verdict, timelines) = (over_time.family(), over_time.timelines);
        let (timeline_seconds, timeline_bytes) = (timelines.cost().as_secs_f64(), timelines.memory_bytes() as u64);
        let extent = Extent { most, sampled: closing.sampled, in_pulses, is_growth: config.kernel.growth };
        let grown = Grown { timelines, now: over_time.now, elapsed };
        let processes = assemble::processes(summary, processes, store, symbolizer, (extent, grown), &closing.tallied);
        Profile {
            schema: profile::SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            began_unix_seconds: since_epoch(closing.began),
            seconds: closing.elapsed.as_secs_f64(),
            older_than_seconds: config.older.as_secs_f64(),
            from_start: closing.from_start,
            stack_method: config.kernel.stacks.into(),
            sampling,
            budget: closing.budget.clone(),
            growth: config.kernel.growth.then(|| Growth { page_faults: counters[Counter::Faults] }),
            processes,
            marks: over_time.marks.to_vec(),
            verdict,
            unknown,
            cost: Cost {
                hits: closing.hits() - counters[Counter::Faults],
                events,
                trap_seconds: closing.trap_seconds,
                bpf_seconds: closing.bpf.map(|(seconds, _)| seconds),
                bpf_measured_share: closing.bpf.map_or(0.0, |(_, share)| share),
                cpu_seconds: cpu_seconds(),
                timeline_seconds,
                timeline_bytes,
                target_cpu_seconds,
                memory_bytes: peak_memory(),
                rings: config.kernel.shards,
            },
        }
    }
}

fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// CPU time of heaptide, all threads.
fn cpu_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs() as u32 * 1000))
        .sum::<Duration>()
        .as_secs_f64()
}

/// Largest resident memory of heaptide, in bytes.
fn peak_memory() -> u64 {
    let status = ProcProcess::myself().and_then(|process| process.status());
    status.ok().and_then(|status| status.vmhwm).unwrap_or(0) << 10
}
