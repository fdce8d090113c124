//! The sums of a process, or of several.

use std::io;

use super::page::Page;
use super::words::{count, human};
use crate::profile::{ByMemory, Sampled, Totals, Usage};

/// What to show beyond what is not zero, and what is known of the peak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) files: bool,
    pub(super) thread_stacks: bool,
    /// Whether peaks are upper bounds.
    pub(super) peak_is_bound: bool,
    /// What is known when sums of blocks are estimates.
    pub(super) sampled: Option<Sampled>,
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
    let ByMemory { outstanding, heap, anonymous, file, thread_stack, allocator, touched: _ } = sums;
    let named = Names::of(shape);
    let is_used = |totals: &Totals| *totals != Totals::default();
    let mut all = named.allocations(named.outstanding, outstanding.outstanding);
    if let Some(Sampled { outstanding: Some(estimate), .. }) = shape.sampled {
        let (low, high) = (human(estimate.low_bytes), human(estimate.high_bytes));
        all.blocks = format!("{}; 95 % sure: {low} to {high}", all.blocks);
    }
    let mut rows = vec![all];
    if is_used(anonymous) {
        rows.push(named.allocations(named.heap, heap.outstanding));
        rows.push(mappings("  mapped itself", anonymous.outstanding, ""));
    }
    // The two peaks may have been at different times.
    let Usage { bytes, blocks } = outstanding.peak;
    let about = named.about;
    rows.push(Row {
        label: named.peak,
        bytes,
        blocks: format!("; at most {about}{} at once", count(blocks, "allocation")),
    });
    if outstanding.inherited != Usage::default() {
        rows.push(named.allocations(named.inherited, outstanding.inherited));
    }
    rows.push(named.allocations(named.allocated, outstanding.allocated));
    rows.push(named.allocations(named.freed, outstanding.freed));
    if let Some(Sampled { exact: Some(exact), .. }) = shape.sampled {
        let (allocations, releases) = (count(exact.allocations, "allocation"), count(exact.releases, "release"));
        let blocks = format!(" in {allocations} on the heap, and {releases}");
        rows.push(Row { label: "counted exactly", bytes: exact.allocated_bytes, blocks });
    }
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

/// What sums are called: estimates are named as such.
struct Names {
    outstanding: &'static str,
    heap: &'static str,
    peak: &'static str,
    inherited: &'static str,
    allocated: &'static str,
    freed: &'static str,
    about: &'static str,
}

impl Names {
    const fn of(shape: Shape) -> Self {
        if shape.sampled.is_some() {
            return Self {
                outstanding: "outstanding est.",
                heap: "  on heap, est.",
                peak: "peak, estimated",
                inherited: "inherited est.",
                allocated: "allocated est.",
                freed: "freed, estimated",
                about: "about ",
            };
        }
        Self {
            outstanding: "outstanding",
            heap: "  on the heap",
            peak: if shape.peak_is_bound { "peak at most" } else { "peak" },
            inherited: "inherited",
            allocated: "allocated",
            freed: "freed",
            about: "",
        }
    }

    fn allocations(&self, label: &'static str, usage: Usage) -> Row {
        let blocks = format!(" in {}{}", self.about, count(usage.blocks, "allocation"));
        Row { label, bytes: usage.bytes, blocks }
    }
}

fn mappings(label: &'static str, usage: Usage, note: &str) -> Row {
    Row { label, bytes: usage.bytes, blocks: format!(" in {}{note}", count(usage.blocks, "mapping")) }
}
