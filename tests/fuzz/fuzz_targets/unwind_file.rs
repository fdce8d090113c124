//! Any bytes as an ELF file.

#![no_main]

use heaptide::unwind::Table;
use libfuzzer_sys::fuzz_target;

#[path = "sound.rs"]
mod sound;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = Table::parse(bytes) {
        sound::assert_sound(&table, bytes.len());
    }
});
