//! The sums of a process, or of several.

use std::io;

use super::page::Page;
use super::words::{count, human};
use crate::profile::{ByMemory, Totals, Usage};

/// What to show beyond what is not zero, and what is known of the peak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) files: bool,
    pub(super) thread_stacks: bool,
    /// Whether peaks are upper bounds.
    pub(super) peak_is_bound: bool,
}

struct Row {
    label: &'static str,
    usage: Usage,
    noun: &'static str,
    note: &'static str,
}

/// Writes one line a sum.
pub(super) fn write(page: &mut Page<'_>, sums: &ByMemory, shape: Shape) -> io::Result<()> {
    let rows = rows(sums, shape);
    let digits = rows.iter().map(|row| row.usage.bytes.to_string().len()).max().unwrap_or(0);
    for Row { label, usage, noun, note } in rows {
        let (short, blocks) = (human(usage.bytes), count(usage.blocks, noun));
        let unit = if usage.bytes == 1 { "byte" } else { "bytes" };
        page.line(format_args!("  {label:<16}{short:>12}  {:>digits$} {unit} in {blocks}{note}", usage.bytes))?;
    }
    Ok(())
}

fn rows(sums: &ByMemory, shape: Shape) -> Vec<Row> {
    let ByMemory { outstanding, heap, anonymous, file, thread_stack, allocator } = sums;
    let is_used = |totals: &Totals| *totals != Totals::default();
    let row = |label, usage, note| Row { label, usage, noun: "allocation", note };
    let mut rows = vec![row("outstanding", outstanding.outstanding, "")];
    if is_used(anonymous) {
        rows.push(row("  on the heap", heap.outstanding, ""));
        rows.push(Row { noun: "mapping", ..row("  mapped itself", anonymous.outstanding, "") });
    }
    let peak = if shape.peak_is_bound { "peak at most" } else { "peak" };
    rows.push(row(peak, outstanding.peak, ", each at its own time"));
    if outstanding.inherited != Usage::default() {
        rows.push(row("inherited", outstanding.inherited, ", outstanding when it was forked"));
    }
    rows.push(row("allocated", outstanding.allocated, ""));
    rows.push(row("freed", outstanding.freed, ""));
    let mapping = |label, usage, note| Row { noun: "mapping", ..row(label, usage, note) };
    if is_used(allocator) {
        rows.push(mapping(
            "allocator itself",
            allocator.outstanding,
            ", taken from the kernel to hold the heap: not added",
        ));
    }
    if shape.files || is_used(file) {
        rows.push(mapping("mapped files", file.outstanding, ": not added"));
    }
    if shape.thread_stacks || is_used(thread_stack) {
        rows.push(mapping("thread stacks", thread_stack.outstanding, ": not added"));
    }
    rows
}
