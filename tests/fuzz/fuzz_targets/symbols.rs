//! Any bytes as an ELF file with symbols and debug information, and as a file of symbols for code made at run time.
//!
//! heaptide goes on when the library that reads debug information panics, so a panic is no find; a crash, a hang, or
//! memory without bounds is.

#![no_main]

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Once;

use heaptide::process::{Identity, MappedFile, Mapping, Mappings};
use heaptide::symbols::Symbolizer;
use libfuzzer_sys::fuzz_target;

/// Where the file is said to be mapped.
const START: u64 = 0x5000_0000;

fuzz_target!(|bytes: &[u8]| {
    static QUIET: Once = Once::new();
    // libFuzzer's own ends the program, caught or not.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Ok(mut file) = tempfile::NamedTempFile::new_in("/dev/shm") else { return };
    if file.write_all(bytes).is_err() {
        return;
    }
    let Ok(metadata) = file.as_file().metadata() else { return };
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let device = ((metadata.dev() >> 8) as u32 & 0xfff, metadata.dev() as u32 & 0xff);
    let identity = Identity { device, inode: metadata.ino(), path: path.into_bytes().into() };
    let end = START + (bytes.len() as u64).next_multiple_of(4096);
    let file = MappedFile::shared(identity, std::process::id(), START..end);
    let mut mappings = Mappings::default();
    mappings.insert(Mapping { start: START, end, offset: 0, executable: true, file });
    let addresses: Vec<u64> = (0..64).map(|index| START + 1 + index * 37).take_while(|&address| address < end).collect();
    let frames = Symbolizer::new().frames(&mappings, &addresses, true);
    assert_eq!(frames.len(), addresses.len());
});
