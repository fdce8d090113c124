//! Symbols of ELF files by name, and where the next function begins.

use std::sync::Arc;

use object::LittleEndian as LE;
use object::elf::{SHN_LORESERVE, SHN_UNDEF, STB_GLOBAL, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE, Sym64};

/// Longest name that is looked at, in bytes, without its version.
const LONGEST_NAME: usize = 256;

/// A symbol table of a file.
pub(super) struct SymbolTable {
    pub(super) entries: Vec<Sym64<LE>>,
    pub(super) strings: Vec<u8>,
}

/// A symbol that a file defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    /// Its name, without a version (`malloc@@GLIBC_2.2.5`).
    pub(super) name: Arc<str>,
    /// Its value (svma).
    pub(super) address: u64,
    /// Its size in bytes; 0 when it does not tell.
    pub(super) size: u64,
    /// Whether it is a function, and no data. A function that chooses another one when the program starts (IFUNC) is
    /// none: its address is that of the chooser, which hands out no memory.
    pub(super) is_function: bool,
    /// Whether it is visible in the file alone.
    pub(super) local: bool,
}

impl SymbolTable {
    /// The symbols with the names that are `wanted`. The same symbol may come more than once.
    pub(super) fn symbols(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = Symbol> {
        self.entries.iter().filter(|entry| is_defined(entry)).filter_map(move |entry| {
            let name = symbol_name(&self.strings, entry.st_name.get(LE))?;
            wanted(name).then(|| Symbol {
                name: name.into(),
                address: entry.st_value.get(LE),
                size: entry.st_size.get(LE),
                is_function: kind(entry) == STT_FUNC,
                local: !matches!(entry.st_info >> 4, STB_GLOBAL | STB_WEAK),
            })
        })
    }

    /// The name of symbol number `index`, defined or not.
    pub(super) fn name_of(&self, index: usize) -> Option<&str> {
        symbol_name(&self.strings, self.entries.get(index)?.st_name.get(LE))
    }

    /// Where functions begin, and what may be one (hand-written code does not always say): addresses in any order.
    pub(super) fn begins(&self) -> impl Iterator<Item = u64> {
        let may_be_code = |entry: &&Sym64<LE>| {
            is_defined(entry)
                && entry.st_shndx.get(LE) < SHN_LORESERVE
                && matches!(kind(entry), STT_FUNC | STT_GNU_IFUNC | STT_NOTYPE)
        };
        self.entries.iter().filter(may_be_code).map(|entry| entry.st_value.get(LE))
    }
}

/// For each of the sorted `addresses` the next of `begins` after it; the largest number when there is none.
pub(super) fn next_begins(addresses: &[u64], begins: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut next = vec![u64::MAX; addresses.len()];
    for begin in begins {
        // The last address before it; those before that one are looked at below.
        let before = addresses.partition_point(|&address| address < begin);
        if let Some(next) = before.checked_sub(1).and_then(|index| next.get_mut(index)) {
            *next = begin.min(*next);
        }
    }
    let mut nearest = u64::MAX;
    for next in next.iter_mut().rev() {
        nearest = nearest.min(*next);
        *next = nearest;
    }
    next
}

const fn kind(entry: &Sym64<LE>) -> u8 {
    entry.st_info & 0xf
}

fn is_defined(entry: &Sym64<LE>) -> bool {
    entry.st_shndx.get(LE) != SHN_UNDEF
}

/// The name at `offset` without its version; `None` when it is longer than any that is looked for, or no text.
fn symbol_name(strings: &[u8], offset: u32) -> Option<&str> {
    let rest = strings.get(offset as usize..)?;
    let end = rest.iter().take(LONGEST_NAME + 1).position(|&byte| byte == 0 || byte == b'@')?;
    str::from_utf8(rest.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_no_part_of_a_name() {
        let strings = b"\0malloc@@GLIBC_2.2.5\0free\0\xff\0without end";
        assert_eq!(symbol_name(strings, 1), Some("malloc"));
        assert_eq!(symbol_name(strings, 21), Some("free"));
        assert_eq!(symbol_name(strings, 26), None);
        assert_eq!(symbol_name(strings, 28), None);
        assert_eq!(symbol_name(strings, 99), None);
        assert_eq!(symbol_name(&[b'a'; LONGEST_NAME + 2], 0), None);
    }

    #[test]
    fn the_next_function_is_the_nearest_behind() {
        let begins = [5, 10, 12, 12, 40, 30, 20];
        assert_eq!(next_begins(&[10, 20, 21, 40], begins.into_iter()), [12, 30, 30, u64::MAX]);
        assert_eq!(next_begins(&[], begins.into_iter()), [0; 0]);
    }
}
