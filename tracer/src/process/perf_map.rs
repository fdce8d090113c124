//! Names of code that a program makes while it runs: it writes them to `/tmp/perf-PID.map`, where perf looks for them.

mod place;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;

pub use place::{Place, Roots};

/// Most bytes that are read of one map. Of a longer one the end is read: what is written last is what runs now.
const MOST_BYTES: u64 = 64 << 20;

/// Most ranges that are kept of one map.
const MOST_RANGES: usize = 1 << 20;

/// Longest name, in bytes; longer ones are cut.
const LONGEST_NAME: usize = 1024;

/// The names of the code that one process has made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PerfMap {
    /// Sorted by address, none overlaps another.
    ranges: Box<[Range]>,
    /// All names, one behind the other.
    names: Box<str>,
}

/// A range of addresses with one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
    /// Where the function begins, of which this may be a part that was not overwritten.
    function: u64,
    /// Where its name lies among the names.
    name: (u32, u32),
}

impl PerfMap {
    /// Reads an open map.
    pub fn read(file: &File) -> io::Result<Self> {
        let mut file = file;
        let skipped = file.metadata()?.size().saturating_sub(MOST_BYTES);
        file.seek(SeekFrom::Start(skipped))?;
        let mut content = Vec::new();
        // The program may go on to write meanwhile.
        file.take(MOST_BYTES).read_to_end(&mut content)?;
        let mut content = content.as_slice();
        if skipped > 0 {
            // The first line that is read was cut.
            let next = content.iter().position(|&byte| byte == b'\n').map_or(content.len(), |end| end + 1);
            content = content.get(next..).unwrap_or_default();
            log::warn!("a perf map is larger than {MOST_BYTES} bytes: code at its beginning has no names");
        }
        Ok(Self::parse(content, MOST_RANGES))
    }

    /// Takes the lines `START SIZE NAME` with hexadecimal numbers; all others, and a last one that is not complete, are
    /// passed over. Code is moved and overwritten: what is written later wins.
    fn parse(content: &[u8], most: usize) -> Self {
        let mut ranges = BTreeMap::new();
        let mut names = String::new();
        // What follows the last newline is being written.
        let complete = content.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let lines = content.get(..complete).unwrap_or_default().split(|&byte| byte == b'\n');
        for (start, end, name) in lines.filter_map(line) {
            let first = names.len() as u32;
            names.push_str(&String::from_utf8_lossy(name));
            let range = Range { start, end, function: start, name: (first, names.len() as u32) };
            insert(&mut ranges, range);
            if ranges.len() > most {
                log::warn!("a perf map has more than {most} functions: the rest has no names");
                break;
            }
        }
        Self { ranges: ranges.into_values().collect(), names: names.into() }
    }

    /// The name of the function that holds `address`, and where it begins.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        let index = self.ranges.partition_point(|range| range.end <= address);
        let range = self.ranges.get(index).filter(|range| range.start <= address)?;
        let (first, end) = range.name;
        Some((self.names.get(first as usize..end as usize)?, range.function))
    }

    /// Bytes that it takes in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of_val(&*self.ranges) + self.names.len()
    }
}

/// Takes in a range that wins over what was there before.
fn insert(ranges: &mut BTreeMap<u64, Range>, range: Range) {
    while let Some((&start, &other)) = ranges.range(..range.end).next_back() {
        if other.end <= range.start {
            break;
        }
        ranges.remove(&start);
        if range.end < other.end {
            ranges.insert(range.end, Range { start: range.end, ..other });
        }
        if other.start < range.start {
            ranges.insert(other.start, Range { end: range.start, ..other });
            break;
        }
    }
    ranges.insert(range.start, range);
}

/// Begin, end and name of one function. Some programs write `0x` before numbers.
fn line(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut fields = line.splitn(3, |&byte| byte == b' ');
    let mut number = || {
        let digits = std::str::from_utf8(fields.next()?).ok()?;
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        // `from_str_radix` takes a sign, too.
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
    };
    let start = number()?;
    let end = start.checked_add(number()?)?;
    let name = fields.next()?.trim_ascii();
    let name = name.get(..LONGEST_NAME).unwrap_or(name);
    (start < end && !name.is_empty()).then_some((start, end, name))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn parse(content: &str) -> PerfMap {
        PerfMap::parse(content.as_bytes(), 100)
    }

    /// A map with the functions `f0`, `f1` and so on, at these begins and with these sizes.
    fn map_of(entries: impl Iterator<Item = (u64, u64)>) -> String {
        let lines = entries.enumerate().map(|(index, (start, size))| format!("{start:x} {size:x} f{index}\n"));
        lines.collect::<Vec<_>>().concat()
    }

    fn names(map: &PerfMap, addresses: impl IntoIterator<Item = u64>) -> Vec<Option<(&str, u64)>> {
        addresses.into_iter().map(|address| map.find(address)).collect()
    }

    #[test]
    fn functions_are_found_from_their_first_byte_to_their_last() {
        let map = parse("3000 20 JS:*second /srv/app.js:12:3\n1000 10 first\n0x5000 0x10 with a prefix\n");
        assert_eq!(
            names(&map, [0xfff, 0x1000, 0x100f, 0x1010]),
            [None, Some(("first", 0x1000)), Some(("first", 0x1000)), None]
        );
        assert_eq!(map.find(0x301f), Some(("JS:*second /srv/app.js:12:3", 0x3000)));
        assert_eq!(map.find(0x5001), Some(("with a prefix", 0x5000)));
    }

    #[test]
    fn what_is_written_later_wins() {
        let map = parse("1000 100 old\n1040 20 new\n1040 20 newest\n");
        assert_eq!(
            names(&map, [0x103f, 0x1040, 0x105f, 0x1060]),
            [Some(("old", 0x1000)), Some(("newest", 0x1040)), Some(("newest", 0x1040)), Some(("old", 0x1000))]
        );
        let covered = parse("1000 10 a\n1010 10 b\n1020 10 c\n1008 20 over all\n");
        assert_eq!(
            names(&covered, [0x1007, 0x1008, 0x1018, 0x1027, 0x1028]),
            [
                Some(("a", 0x1000)),
                Some(("over all", 0x1008)),
                Some(("over all", 0x1008)),
                Some(("over all", 0x1008)),
                Some(("c", 0x1020))
            ]
        );
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        let map = parse(
            "\n \nroot:x:0:0\n1000\n1000 10\n1000 10 \n+1000 10 a\n1000 -10 a\n1000 0 a\nffffffffffffffff 2 a\n\
            1000 zz a\n10000000000000000 1 a\n2000 10 good\n3000 10 not yet comple",
        );
        assert_eq!(map, parse("2000 10 good\n"));
    }

    #[test]
    fn bytes_that_are_no_text_and_endless_names_are_no_reason_to_fail() {
        let long = "x".repeat(5000);
        let content = [b"1000 10 \xff\x00\x1b[31m\n2000 10 ".as_slice(), long.as_bytes(), b"\n"].concat();
        let map = PerfMap::parse(&content, 100);
        assert_eq!(map.find(0x1000), Some(("\u{fffd}\0\u{1b}[31m", 0x1000)));
        assert_eq!(map.find(0x2000).unwrap().0.len(), LONGEST_NAME);
    }

    #[test]
    fn no_more_functions_are_kept_than_allowed() {
        let content = map_of((0..1000).map(|number| (0x1000 + number * 0x20, 0x10)));
        assert_eq!(PerfMap::parse(content.as_bytes(), 10).ranges.len(), 11);
    }

    #[test]
    fn of_a_map_that_is_too_long_the_end_is_read() {
        let mut file = tempfile::tempfile().unwrap();
        writeln!(file, "1000 10 first").unwrap();
        // A hole takes no space on the disk.
        file.set_len(MOST_BYTES + 100).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        writeln!(file, "\n2000 10 last").unwrap();
        let map = PerfMap::read(&file).unwrap();
        assert_eq!(names(&map, [0x1000, 0x2000]), [None, Some(("last", 0x2000))]);
    }

    proptest! {
        #[test]
        fn every_address_has_the_name_that_was_written_last(entries in prop::collection::vec((0_u64..200, 1_u64..50), 0..60)) {
            let content = map_of(entries.iter().copied());
            let map = PerfMap::parse(content.as_bytes(), 10_000);
            for address in 0..260 {
                let holds = |(_, (start, size)): &(usize, &(u64, u64))| (*start..start + size).contains(&address);
                let expected = entries.iter().enumerate().rfind(holds);
                let expected = expected.map(|(index, (start, _))| (format!("f{index}"), *start));
                prop_assert_eq!(map.find(address).map(|(name, start)| (name.to_owned(), start)), expected);
            }
        }

        #[test]
        fn any_bytes_can_be_read(content: Vec<u8>) {
            let map = PerfMap::parse(&content, 100);
            for range in &map.ranges {
                prop_assert!(map.find(range.start).is_some());
            }
        }
    }
}
