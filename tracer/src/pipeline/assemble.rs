//! From what the shards know to a finished profile.

use std::{cmp::Reverse, sync::Arc};

use heaptide_common::{Counter, unwind::Outcome};
use rustc_hash::FxHashMap;

use super::{
    coverage::{Traced, with_calls},
    processes::Processes,
    resident,
    tables::TableCounts,
    timelines::Timelines,
};
use crate::{
    kernel::{Counters, Outcomes, Tallied},
    live::{AccountSummary, FaultCounts, Moment, Spread, StackSummary, Summary},
    numbers::float,
    profile::{
        Estimate, Evidence, Exact, Frame, Lost, Memory, Peak, Process, ProcessGrowth, Refused, Sampled, Stack, Stacks,
        Unknown, Unmatched, Unwinding, Usage,
    },
    stacks::{Leaf, Marks, StackStore},
    symbols::{Code, Symbolizer},
};

/// How much of the processes goes into a profile.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    /// Most stacks of each process: those with the most to show.
    pub(super) most: usize,
    /// Bytes for which one block is recorded now, on average, where blocks stand for others, which are not.
    pub(super) sampled: Option<u32>,
    /// Whether blocks were recorded in pulses.
    pub(super) in_pulses: bool,
    /// Whether only the growth of memory is recorded.
    pub(super) is_growth: bool,
}

/// What is known of growth, for a profile of now.
#[derive(Clone, Copy)]
pub(super) struct Grown<'a> {
    pub(super) timelines: &'a Timelines,
    pub(super) now: Moment,
    /// Seconds since the recording began.
    pub(super) elapsed: f64,
}

/// The processes of a profile, with names for their stacks.
pub(super) fn processes(
    summary: Summary,
    known: &mut Processes,
    store: &StackStore,
    symbolizer: &mut Symbolizer,
    (extent, grown): (Extent, Grown<'_>),
    tallied: &Tallied,
) -> Vec<Process> {
    let accounts = summary.accounts.into_iter();
    let (mut processes, traced): (Vec<_>, Vec<_>) =
        accounts.map(|account| process(account, known, store, symbolizer, (extent, grown))).unzip();
    // When only growth is recorded, no probe is on their functions.
    let traced = if extent.is_growth { Vec::new() } else { traced };
    for (process, allocators) in processes.iter_mut().zip(with_calls(traced, tallied)) {
        process.allocators = allocators;
    }
    processes
}

/// A process, and its allocators, which are not in it yet.
fn process(
    mut account: AccountSummary,
    known: &mut Processes,
    store: &StackStore,
    symbolizer: &mut Symbolizer,
    (extent, grown): (Extent, Grown<'_>),
) -> (Process, Vec<Traced>) {
    let processes = known;
    let known = processes.get(account.key);
    let growth = extent.is_growth.then(|| growth(&mut account, processes));
    let mut judgement = grown.timelines.judgement(account.key);
    if store.has_renamed() {
        account.rename_stacks(|id| store.canonical(id));
        if let Some(judgement) = &mut judgement {
            judgement.rename_stacks(|id| store.canonical(id));
        }
    }
    account.stacks.sort_by_key(|stack| {
        let is_beside = extent.is_growth && !stack.memory.is_own();
        (is_beside, Reverse(stack.shown.bytes), Reverse(stack.totals.allocated.bytes), stack.memory, stack.stack)
    });
    // Those that grow are shown, however small they are.
    let is_suspect = |stack: &StackSummary| {
        judgement.as_ref().is_some_and(|judgement| judgement.is_suspect((stack.memory, stack.stack)))
    };
    let mut index = 0;
    account.stacks.retain(|stack| {
        index += 1;
        index <= extent.most || is_suspect(stack)
    });
    let addresses = |stack: &StackSummary| store.get(stack.stack).map_or(&[][..], |stack| stack.frames);
    let in_a_file = |address: &u64| Code::from(&known.mappings).is_in_a_file(*address);
    // A map can have many megabytes, and most processes make no code.
    let makes_code = !account.stacks.iter().flat_map(addresses).all(in_a_file);
    let perf_maps = if makes_code { processes.perf_maps(account.key) } else { Vec::new() };
    let code = Code { mappings: &known.mappings, perf_maps: &perf_maps };
    for is_return in [true, false] {
        let is_such = |stack: &&StackSummary| is_interrupted(stack, store) != is_return;
        symbolizer.prepare(account.stacks.iter().filter(is_such).map(|stack| (code, addresses(stack))), is_return);
    }
    let mut frames = FxHashMap::default();
    let stacks = account.stacks.iter().map(|stack| {
        let Some(found) = store.get(stack.stack) else { return named(stack, Marks::default(), Vec::new(), extent) };
        let is_return = found.marks.leaf == Leaf::Return;
        named(stack, found.marks, symbolizer.shared_frames(code, found.frames, is_return, &mut frames), extent)
    });
    let mut stacks: Vec<Stack> = stacks.collect();
    if let Some(judgement) = &mut judgement {
        for (stack, summary) in stacks.iter_mut().zip(&account.stacks) {
            let name = (summary.memory, summary.stack);
            stack.verdict = judgement.stacks.remove(&name);
            stack.suppressed = judgement.suppressed.remove(&name);
        }
    }
    let verdict = judgement.as_ref().and_then(|judgement| judgement.judged(&stacks));
    let over_time = judgement.map(|judgement| judgement.over_time);
    let peak = account.peak.map(|peak| Peak {
        seconds: (grown.elapsed - float(grown.now.since(peak.at)) / 1e9).max(0.0),
        bytes: peak.bytes,
    });
    let process = Process {
        pid: account.key.pid,
        generation: account.key.generation,
        name: known.name,
        forked_from: account.forked_from,
        end: account.end,
        allocators: Vec::new(),
        sums: account.sums,
        sampled: extent.sampled.map(|interval| sampled(&account, interval, extent.in_pulses)),
        growth,
        peak,
        verdict,
        over_time,
        stacks,
    };
    (process, known.allocators)
}

fn is_interrupted(summary: &StackSummary, store: &StackStore) -> bool {
    store.get(summary.stack).is_some_and(|stack| stack.marks.leaf == Leaf::Interrupted)
}

/// What is known of the growth of a process's memory; what it has given back is taken out of its sums.
fn growth(account: &mut AccountSummary, processes: &Processes) -> ProcessGrowth {
    let (begin, end) = processes.resident(account.key);
    let FaultCounts { faults, zeroes, unsized_pages } = account.faults;
    let is_checked = resident::check(account);
    ProcessGrowth { begin, end, faults, zero_faults: zeroes, unsized_faults: unsized_pages, is_checked }
}

fn sampled(account: &AccountSummary, interval: u32, in_pulses: bool) -> Sampled {
    if in_pulses {
        return Sampled { recorded: account.recorded, ..Sampled::default() };
    }
    let exact = Exact::from(account.counts);
    let heap = account.sums.heap;
    let mut spread = account.spread;
    if account.recorded == 0 {
        // Nothing has told by what its blocks were chosen.
        spread.step = spread.step.max(f64::from(interval));
    }
    let mut outstanding = estimate(heap.outstanding.bytes, &spread);
    if heap.inherited == Usage::default() {
        // What was never asked for cannot be outstanding.
        outstanding = outstanding.at_most(exact.allocated_bytes);
    }
    let outstanding = outstanding.plus(account.sums.anonymous.outstanding.bytes);
    Sampled { exact: Some(exact), recorded: account.recorded, outstanding: Some(outstanding) }
}

fn estimate(bytes: u64, spread: &Spread) -> Estimate {
    let Spread { blocks, bytes: recorded_bytes, variance, step } = *spread;
    Estimate::of(&Evidence { bytes, recorded: blocks, recorded_bytes, variance, step })
}

fn named(summary: &StackSummary, marks: Marks, frames: Vec<Arc<Frame>>, extent: Extent) -> Stack {
    Stack {
        memory: summary.memory,
        totals: summary.totals,
        shown: summary.shown,
        at_peak: summary.at_peak,
        ages: summary.ages,
        generations: summary.generations.clone(),
        verdict: None,
        suppressed: None,
        estimate: (extent.sampled.is_some() && !extent.in_pulses && summary.memory == Memory::Heap)
            .then(|| estimate(summary.shown.bytes, &summary.spread)),
        truncated: marks.truncated,
        incomplete: marks.incomplete,
        guessed: marks.guessed,
        frames,
    }
}

/// How stacks were walked.
#[must_use]
pub(super) fn unwinding(outcomes: &Outcomes, tables: &TableCounts) -> Unwinding {
    Unwinding {
        complete: outcomes[Outcome::Complete],
        too_deep: outcomes[Outcome::TooDeep],
        not_expressible: outcomes[Outcome::NotExpressible],
        no_cfi: outcomes[Outcome::NoCfi],
        bad_read: outcomes[Outcome::BadRead],
        bad_frame: outcomes[Outcome::BadFrame],
        unmapped: outcomes[Outcome::Unmapped],
        no_table: outcomes[Outcome::NoTable],
        busy: outcomes[Outcome::Busy],
        guessed: outcomes[Outcome::Guessed],
        files: tables.files,
        rows: tables.rows,
        table_nanoseconds: tables.nanoseconds,
        files_failed: tables.failed,
        files_refused: tables.refused,
    }
}

/// What is missing, by reason.
#[must_use]
pub fn unknown(
    counters: &Counters,
    unmatched: Unmatched,
    refused: Refused,
    store: &StackStore,
    unwinding: Unwinding,
) -> Unknown {
    Unknown {
        lost: Lost {
            allocations: counters[Counter::LostAllocation],
            releases: counters[Counter::LostRelease],
            resizes: counters[Counter::LostResize],
            mappings: counters[Counter::LostMapping],
            processes: counters[Counter::LostProcess],
            calls: counters[Counter::CallTableFull],
            faults: counters[Counter::LostFault],
        },
        refused: Refused {
            by_size: counters[Counter::RefusedSize],
            by_size_bytes: counters[Counter::RefusedSizeBytes],
            ..refused
        },
        unmatched: Unmatched {
            returns: counters[Counter::ReturnWithoutCall],
            calls: counters[Counter::CallWithoutReturn],
            results: counters[Counter::ResultUnreadable],
            ..unmatched
        },
        stacks: Stacks {
            distinct: store.len() as u64,
            truncated: store.truncated(),
            unreadable: counters[Counter::StackUnreadable],
            busy: counters[Counter::StackBusy],
            lost: counters[Counter::LostStack],
            collisions: store.collisions(),
            refused: store.refused(),
            unwatched: 0,
        },
        unwinding,
    }
}
