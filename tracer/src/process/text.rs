//! Whether the code of a process is what its file says.
//!
//! The kernel emulates a probed instruction, or steps over it, as the *file* has it. In a function that was changed in
//! memory (by a hot patch, or a hook) that would be another program: there no probe may go.

use std::{fs::File, os::unix::fs::FileExt};

use super::{Mapping, Mappings};

/// What was found out about a piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// It is what the file says.
    Same,
    /// It is not.
    Changed,
    /// It could not be read.
    Unknown,
}

/// The breakpoint of somebody's probe.
const BREAKPOINT: u8 = 0xcc;

/// The `nop` that newer kernels replace by a call of their own when it is probed.
const REPLACED: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// Compares the memory of process `pid` with the bytes that its mapped file holds from `offset` on.
#[must_use]
pub fn compare(pid: u32, mappings: &Mappings, is_file: impl Fn(&Mapping) -> bool, offset: u64, bytes: &[u8]) -> Text {
    let Ok(memory) = File::open(format!("/proc/{pid}/mem")) else { return Text::Unknown };
    let holds = |mapping: &&Mapping| {
        let length = mapping.end - mapping.start;
        mapping.executable && (mapping.offset..mapping.offset.saturating_add(length)).contains(&offset)
    };
    let mut text = Text::Unknown;
    // A file can be mapped twice, and be changed in one place only.
    for mapping in mappings.iter().filter(holds).filter(|mapping| is_file(mapping)) {
        let mut found = vec![0; bytes.len()];
        match memory.read_exact_at(&mut found, mapping.start + (offset - mapping.offset)) {
            Ok(()) if is_same(bytes, &found) => text = Text::Same,
            Ok(()) => return Text::Changed,
            Err(_) => {}
        }
    }
    text
}

/// Whether bytes in memory are those of the file, but for what probes make of them.
fn is_same(file: &[u8], memory: &[u8]) -> bool {
    let mut at = 0;
    while at < file.len() {
        if file[at..].starts_with(&REPLACED) {
            at += REPLACED.len();
        } else if file[at] == memory[at] || memory[at] == BREAKPOINT {
            at += 1;
        } else {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_told_from_a_breakpoint() {
        let file = [0x55, 0x48, 0x89, 0xe5];
        assert!(is_same(&file, &file));
        assert!(is_same(&file, &[0xcc, 0x48, 0x89, 0xe5]));
        assert!(!is_same(&file, &[0xe9, 0x48, 0x89, 0xe5]));
        assert!(is_same(&[0x0f, 0x1f, 0x44, 0, 0, 0xc3], &[0xe8, 1, 2, 3, 4, 0xc3]));
        assert!(!is_same(&[0x0f, 0x1f, 0x44, 0, 0, 0xc3], &[0xe8, 1, 2, 3, 4, 0x90]));
    }

    #[test]
    fn the_code_of_this_process_is_that_of_its_file() {
        let pid = std::process::id();
        let mappings = Mappings::read(pid).unwrap();
        let mapping = mappings.iter().find(|mapping| mapping.executable).unwrap();
        let mut bytes = [0; 64];
        File::open(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end))
            .unwrap()
            .read_exact_at(&mut bytes, mapping.offset)
            .unwrap();
        let is_it = |other: &Mapping| other.start == mapping.start;
        assert_eq!(compare(pid, &mappings, is_it, mapping.offset, &bytes), Text::Same);
        bytes[7] ^= 1;
        assert_eq!(compare(pid, &mappings, is_it, mapping.offset, &bytes), Text::Changed);
        assert_eq!(compare(pid, &mappings, |_| false, mapping.offset, &bytes), Text::Unknown);
    }
}
