//! How many stacks are whole, and why the others are not.

use std::io;

use super::page::Page;
use super::words::count;
use crate::profile::{StackMethod, Unwinding};

/// Writes the share of whole stacks, the reasons why others end early, and the files without tables. Nothing when no
/// stack was taken.
pub(super) fn write(page: &mut Page<'_>, method: StackMethod, unwinding: &Unwinding) -> io::Result<()> {
    match method {
        StackMethod::Cfi => write_ends(page, unwinding),
        StackMethod::FramePointers => page.line(format_args!(
            "Stacks: by frame pointers, as asked: callers are missing where a function keeps none."
        )),
        StackMethod::None => page.line(format_args!("Stacks: none taken, as asked.")),
    }
}

fn write_ends(page: &mut Page<'_>, unwinding: &Unwinding) -> io::Result<()> {
    let ends = early_ends(unwinding);
    let early: u64 = ends.iter().map(|(number, _)| number).sum();
    let whole = unwinding.complete + unwinding.guessed;
    let all = whole + early;
    if all == 0 {
        return Ok(());
    }
    if early == 0 {
        page.line(format_args!("Stacks: all {all} whole."))?;
    } else {
        page.line(format_args!(
            "Stacks: {whole} of {all} whole ({} %); outer callers are missing from:",
            share(whole, all)
        ))?;
    }
    for (number, place) in ends.into_iter().filter(|&(number, _)| number > 0) {
        page.line(format_args!("  {number} that end{} {place}.", if number == 1 { "s" } else { "" }))?;
    }
    if unwinding.guessed > 0 {
        let (guessed, share) = (unwinding.guessed, share(unwinding.guessed, all));
        page.line(format_args!("  {guessed} of the whole ones ({share} %) lead through code without call frame information, by its frame pointers."))?;
    }
    write_files(page, unwinding)
}

fn write_files(page: &mut Page<'_>, unwinding: &Unwinding) -> io::Result<()> {
    if unwinding.files_failed > 0 {
        let files = count(unwinding.files_failed, "file");
        page.line(format_args!(
            "  {files} without readable call frame information: stacks go by frame pointers there. -v names them."
        ))?;
    }
    if unwinding.files_refused > 0 {
        let files = count(unwinding.files_refused, "file");
        page.line(format_args!("  {files} for whose call frame information there was no room: stacks end there."))?;
    }
    Ok(())
}

/// The ends that are not the outermost frame: how many, and where.
const fn early_ends(unwinding: &Unwinding) -> [(u64, &'static str); 8] {
    [
        (unwinding.too_deep, "at the largest depth that is kept"),
        (unwinding.not_expressible, "at code whose call frame information is beyond heaptide's rules"),
        (unwinding.no_cfi, "at code without call frame information and without frame pointers"),
        (unwinding.bad_read, "at a word of the stack that could not be read"),
        (unwinding.bad_frame, "at a frame that does not lie above the one that it called"),
        (unwinding.unmapped, "at an address where nothing is mapped"),
        (unwinding.no_table, "at a file whose call frame information was not read yet"),
        (unwinding.busy, "while the process was changing its mappings"),
    ]
}

/// A part in percent with two decimals, rounded down: 100.00 means all of it.
fn share(part: u64, all: u64) -> String {
    let hundredths = u128::from(part) * 10_000 / u128::from(all.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(unwinding: &Unwinding) -> String {
        let mut out = Vec::new();
        write(&mut Page::new(&mut out), StackMethod::Cfi, unwinding).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_is_said_of_no_stacks_and_one_line_of_whole_ones() {
        assert_eq!(written(&Unwinding::default()), "");
        assert_eq!(written(&Unwinding { complete: 7, ..Unwinding::default() }), "Stacks: all 7 whole.\n");
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        let text = written(&Unwinding { complete: 9_999_999, bad_read: 1, ..Unwinding::default() });
        assert!(text.starts_with("Stacks: 9999999 of 10000000 whole (99.99 %)"), "{text}");
        assert!(text.contains("\n  1 that ends at a word of the stack that could not be read.\n"), "{text}");
    }

    #[test]
    fn every_count_is_told() {
        // Each counter alone changes what is written, but those that say what the tables cost.
        let serde_json::Value::Object(all) = serde_json::to_value(Unwinding::default()).unwrap() else { panic!() };
        let told = [
            Unwinding { guessed: 1, ..Unwinding::default() },
            Unwinding { files_failed: 1, complete: 1, ..Unwinding::default() },
            Unwinding { files_refused: 1, complete: 1, ..Unwinding::default() },
        ];
        for unwinding in told {
            assert_eq!(written(&unwinding).lines().count(), 2, "{unwinding:?}");
        }
        let silent = ["complete", "guessed", "files", "rows", "table_nanoseconds", "files_failed", "files_refused"];
        assert_eq!(all.len(), early_ends(&Unwinding::default()).len() + silent.len());
    }
}
