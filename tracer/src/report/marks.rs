//! What is left of each time between marks.

use std::io;

use super::{
    page::Page,
    words::{count, duration, human},
};
use crate::profile::{Mark, Usage};

/// Writes what a stack holds by the marks between which it was allocated; nothing without marks.
pub(super) fn write(page: &mut Page<'_>, marks: &[Mark], generations: &[Usage]) -> io::Result<()> {
    let mut parts = Vec::new();
    for (index, held) in generations.iter().enumerate().filter(|(_, held)| held.blocks > 0) {
        let what = format!("{} in {}", human(held.bytes), count(held.blocks, "allocation"));
        let before = index.checked_sub(1).and_then(|index| marks.get(index));
        parts.push(match (before, marks.get(index)) {
            (None, Some(first)) => format!("{what} from before {}", name(first)),
            (Some(begin), Some(end)) => format!("{what} from {} to {}", name(begin), name(end)),
            (Some(last), None) => format!("{what} since {}", name(last)),
            (None, None) => what,
        });
    }
    if parts.is_empty() {
        return Ok(());
    }
    page.line(format_args!("     {}", parts.join("; ")))
}

/// `mark 2 (34 s)`.
fn name(mark: &Mark) -> String {
    format!("mark {} ({})", mark.number, duration(mark.seconds.round()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_is_told_with_its_marks() {
        let marks = [Mark { number: 1, seconds: 10.2 }, Mark { number: 3, seconds: 34.0 }];
        let generations = [Usage::block(100), Usage { bytes: 2048, blocks: 2 }, Usage::default()];
        let mut out = Vec::new();
        write(&mut Page::new(&mut out), &marks, &generations).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "     100 bytes in 1 allocation from before mark 1 (10 s); 2.0 KiB in 2 allocations from mark 1 (10 s) to mark 3 \
             (34 s)\n"
        );
        let mut out = Vec::new();
        write(&mut Page::new(&mut out), &[], &[]).unwrap();
        assert!(out.is_empty());
    }
}
