//! Any bytes as call frame information, in a file that is otherwise sound. The first byte chooses the section.

#![no_main]

use heaptide::unwind::Table;
use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "what makes call frame information by hand is for the tests")]
#[path = "../../../tracer/tests/unwind_crafted/elf.rs"]
mod elf;
#[path = "sound.rs"]
mod sound;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, section)) = bytes.split_first() else { return };
    let file = elf::elf(if choice & 1 == 0 { ".eh_frame" } else { ".debug_frame" }, section);
    if let Ok(table) = Table::parse(&file) {
        sound::assert_sound(&table, file.len());
    }
});
