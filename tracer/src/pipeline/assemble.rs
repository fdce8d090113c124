//! From what the shards know to a finished profile.

use std::cmp::Reverse;

use heaptide_common::Counter;

use super::processes::Processes;
use crate::{
    kernel::Counters,
    live::{AccountSummary, StackSummary, Summary},
    process::Mappings,
    profile::{Lost, Process, Refused, Stack, Stacks, Unknown, Unmatched},
    stacks::StackStore,
    symbols::Symbolizer,
};

/// The processes of a profile, with names for at most `most` stacks of each: those with the most to show.
pub(super) fn processes(
    summary: Summary,
    known: &Processes,
    store: &StackStore,
    symbolizer: &mut Symbolizer,
    most: usize,
) -> Vec<Process> {
    summary.accounts.into_iter().map(|account| process(account, known, store, symbolizer, most)).collect()
}

fn process(
    mut account: AccountSummary,
    known: &Processes,
    store: &StackStore,
    symbolizer: &mut Symbolizer,
    most: usize,
) -> Process {
    let known = known.get(account.key);
    account.stacks.sort_by_key(|stack| {
        (Reverse(stack.shown.bytes), Reverse(stack.totals.allocated.bytes), stack.memory, stack.stack)
    });
    account.stacks.truncate(most);
    let addresses = |stack: &StackSummary| store.get(stack.stack).map_or(&[][..], |stack| stack.frames);
    symbolizer.prepare(account.stacks.iter().map(|stack| (&known.mappings, addresses(stack))), true);
    let stacks = account.stacks.iter().map(|stack| named(stack, &known.mappings, store, symbolizer)).collect();
    Process {
        pid: account.key.pid,
        generation: account.key.generation,
        name: known.name,
        forked_from: account.forked_from,
        end: account.end,
        allocators: known.allocators,
        sums: account.sums,
        stacks,
    }
}

fn named(summary: &StackSummary, mappings: &Mappings, store: &StackStore, symbolizer: &mut Symbolizer) -> Stack {
    let found = store.get(summary.stack);
    Stack {
        memory: summary.memory,
        totals: summary.totals,
        shown: summary.shown,
        truncated: found.is_some_and(|stack| stack.truncated),
        frames: found.map(|stack| symbolizer.frames(mappings, stack.frames, true)).unwrap_or_default(),
    }
}

/// What is missing, by reason.
#[must_use]
pub fn unknown(counters: &Counters, unmatched: Unmatched, refused: Refused, store: &StackStore) -> Unknown {
    Unknown {
        lost: Lost {
            allocations: counters[Counter::LostAllocation],
            releases: counters[Counter::LostRelease],
            resizes: counters[Counter::LostResize],
            mappings: counters[Counter::LostMapping],
            processes: counters[Counter::LostProcess],
            calls: counters[Counter::CallTableFull],
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
        },
    }
}
