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
    bytes: u64,
    /// What stands behind the bytes.
    blocks: String,
}

/// Writes one line a sum.
pub(super) fn write(page: &mut Page<'_>, sums: &ByMemory, shape: Shape) -> io::Result<()> {
    let rows = rows(sums, shape);
    let digits = rows.iter().map(|row| row.bytes.to_string().len()).max().unwrap_or(0);
    for Row { label, bytes, blocks } in rows {
        let unit = if bytes == 1 { "byte" } else { "bytes" };
        page.line(format_args!("  {label:<16}{:>12}  {bytes:>digits$} {unit}{blocks}", human(bytes)))?;
    }
    Ok(())
}

fn rows(sums: &ByMemory, shape: Shape) -> Vec<Row> {
    let ByMemory { outstanding, heap, anonymous, file, thread_stack, allocator } = sums;
    let is_used = |totals: &Totals| *totals != Totals::default();
    let mut rows = vec![allocations("outstanding", outstanding.outstanding)];
    if is_used(anonymous) {
        rows.push(allocations("  on the heap", heap.outstanding));
        rows.push(mappings("  mapped itself", anonymous.outstanding, ""));
    }
    // The two peaks may have been at different times.
    let Usage { bytes, blocks } = outstanding.peak;
    let label = if shape.peak_is_bound { "peak at most" } else { "peak" };
    rows.push(Row { label, bytes, blocks: format!("; at most {} at once", count(blocks, "allocation")) });
    if outstanding.inherited != Usage::default() {
        rows.push(allocations("inherited", outstanding.inherited));
    }
    rows.push(allocations("allocated", outstanding.allocated));
    rows.push(allocations("freed", outstanding.freed));
    if is_used(allocator) {
        let note = ", taken from the kernel to hold the heap: not added";
        rows.push(mappings("allocator itself", allocator.outstanding, note));
    }
    if shape.files || is_used(file) {
        rows.push(mappings("mapped files", file.outstanding, ": not added"));
    }
    if shape.thread_stacks || is_used(thread_stack) {
        rows.push(mappings("thread stacks", thread_stack.outstanding, ": not added"));
    }
    rows
}

fn allocations(label: &'static str, usage: Usage) -> Row {
    Row { label, bytes: usage.bytes, blocks: format!(" in {}", count(usage.blocks, "allocation")) }
}

fn mappings(label: &'static str, usage: Usage, note: &str) -> Row {
    Row { label, bytes: usage.bytes, blocks: format!(" in {}{note}", count(usage.blocks, "mapping")) }
}
