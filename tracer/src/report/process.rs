//! What a process is called.

use crate::profile::{End, Process};

/// `worker (pid 4242)`, with what happened to it.
pub(super) fn title(process: &Process) -> String {
    let mut facts = vec![format!("pid {}", process.pid)];
    if process.generation > 0 {
        facts.push(format!("program {} of it", process.generation + 1));
    }
    if let Some(parent) = process.forked_from {
        facts.push(format!("forked from {parent}"));
    }
    match process.end {
        None => {}
        Some(End::Exited) => facts.push("exited".to_owned()),
        Some(End::Replaced) => facts.push("ran another program then".to_owned()),
    }
    format!("{} ({})", process.name, facts.join(", "))
}
