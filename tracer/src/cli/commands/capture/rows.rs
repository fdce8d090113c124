//! How many rows of tables for unwinding a recording needs.

use crate::{
    cli::config::{Capture, Targets},
    kernel::StackMethod,
    process::{Mappings, code_bytes},
};

/// For programs that nobody has seen yet: 32 MiB. libLLVM has 1.1 million rows, most programs have 100,000 in all.
const UNKNOWN: u32 = 4 << 20;

/// For libraries that are loaded later: 8 MiB.
const LATER: u64 = 1 << 20;

/// Most, whatever is mapped: 512 MiB.
const MOST: u64 = 64 << 20;

/// Bytes of code for a row: 50 in glibc, 90 in libLLVM.
const CODE: u64 = 48;

/// Enough rows for what the targets have mapped now, and some more.
pub(super) fn for_capture(capture: &Capture) -> u32 {
    if capture.stacks != StackMethod::Cfi {
        return 1;
    }
    match &capture.targets {
        Targets::Command { .. } | Targets::Named(_) => UNKNOWN,
        Targets::Pids(pids) => {
            let mappings: Vec<Mappings> = pids.iter().filter_map(|&pid| Mappings::read(pid).ok()).collect();
            let rows = (code_bytes(&mappings) / CODE + LATER).min(MOST);
            // A target may be a shell that is about to become something larger.
            u32::try_from(rows).unwrap_or(UNKNOWN).max(UNKNOWN)
        }
    }
}
