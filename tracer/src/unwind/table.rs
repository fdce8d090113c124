//! The rows of one file, and how they apply to where a process has it mapped.

use std::cell::Cell;
use std::fs::File;
use std::ops::Range;

use heaptide_common::unwind::MAX_ROWS;
use object::read::{ReadCache, ReadRef};

use super::cfi::Functions;
use super::flatten::flatten;
use super::image::{Image, Reads, Segment};
use super::{Kind, Row, Rule, TableError};

/// All that is needed to unwind through one file's code.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Row>,
    segments: Vec<Segment>,
    base: u64,
    stats: Stats,
}

/// What a table was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows by the number of their [`Kind`].
    pub rows: [u64; Kind::COUNT],
    /// Functions that the file describes.
    pub functions: u64,
    /// Of those: functions whose description cannot be followed; nothing is known of them.
    pub damaged: u64,
    /// Functions left out because they lie in no executable segment.
    pub outside: u64,
    /// Whether there is an `.eh_frame`.
    pub eh_frame: bool,
    /// Whether there is a `.debug_frame`.
    pub debug_frame: bool,
}

impl Stats {
    /// Rows of one kind.
    #[must_use]
    pub const fn rows_of(&self, kind: Kind) -> u64 {
        self.rows[kind as usize]
    }

    /// Rows of functions with CFI that no [`Rule`] can say: stacks end there.
    #[must_use]
    pub const fn not_expressible(&self) -> u64 {
        self.rows_of(Kind::NotExpressible)
    }
}

impl Table {
    /// Makes the table of a regular file. A file without call frame information has a table without rows.
    pub fn build(file: &File) -> Result<Self, TableError> {
        let failed = Cell::new(None);
        let table = Self::build_from(&ReadCache::new(Reads::new(file, &failed)));
        match failed.take() {
            Some(error) => Err(error.into()),
            None => table,
        }
    }

    /// Makes the table of a file that is in memory, such as the vDSO.
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        Self::build_from(bytes)
    }

    fn build_from<'data>(data: impl ReadRef<'data>) -> Result<Self, TableError> {
        let image = Image::read(data)?;
        let first = image.segments.first().map_or(0, |segment| segment.start);
        let base = first & !(super::image::PAGE - 1);
        let end = image.segments.last().map_or(0, |segment| segment.end);
        // The last address stays free: it marks the end when rows are put together.
        if end - base >= u64::from(u32::MAX) {
            return Err(TableError::TooLarge("code"));
        }
        let functions = Functions::read(&image, base)?;
        let mut stats = Stats {
            functions: functions.list.len() as u64 + functions.outside,
            damaged: functions.damaged,
            outside: functions.outside,
            eh_frame: image.eh_frame.is_some(),
            debug_frame: image.debug_frame.is_some(),
            ..Stats::default()
        };
        let rows = if functions.list.is_empty() { Vec::new() } else { flatten(functions) };
        if rows.len() > MAX_ROWS {
            return Err(TableError::TooLarge("call frame information"));
        }
        for row in &rows {
            stats.rows[row.rule.kind() as usize] += 1;
        }
        Ok(Self { rows, segments: image.segments, base, stats })
    }

    /// The rows, sorted by address; each holds up to the next one. The first is at 0.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What it was made of.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Size of the rows in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        size_of_val(self.rows.as_slice())
    }

    /// The address in the file (svma) that rows are relative to: the page in which the code begins.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Addresses in the file (svma) from the first byte of code to behind the last.
    #[must_use]
    pub fn text(&self) -> Range<u64> {
        let start = self.segments.first().map_or(0, |segment| segment.start);
        start..self.segments.last().map_or(0, |segment| segment.end)
    }

    /// The row that holds at `pc`, an address relative to [`Self::base`].
    #[must_use]
    pub fn find(&self, pc: u32) -> Row {
        let behind = self.rows.partition_point(|row| row.pc <= pc);
        let none = Row { pc: 0, rule: Rule::NO_CFI };
        behind.checked_sub(1).map_or(none, |index| self.rows[index])
    }

    /// The rows by their place in the file: the kernel part knows where in a file an address lies, and nothing of
    /// segments. Gives the place at which a row's pc is 0, and the rows.
    #[must_use]
    pub fn by_place(&self) -> (u64, Vec<Row>) {
        let place = |segment: &Segment| segment.offset.wrapping_sub(segment.start);
        let first = self.segments.first().map_or(0, place);
        if self.segments.iter().all(|segment| place(segment) == first) {
            return (self.base.wrapping_add(first), self.rows.clone());
        }
        // Segments at different distances from their places: each moves by itself, with its end as a row of its own.
        let mut rows = Vec::with_capacity(self.rows.len());
        for segment in &self.segments {
            let from = segment.start - self.base;
            let to = segment.end - self.base;
            let moved = |pc: u64| u32::try_from(pc - from + segment.offset).unwrap_or(u32::MAX);
            rows.push(Row { pc: moved(from), rule: self.find(from as u32).rule });
            let inside = self.rows.iter().filter(|row| (from + 1..to).contains(&u64::from(row.pc)));
            rows.extend(inside.map(|row| Row { pc: moved(u64::from(row.pc)), rule: row.rule }));
            rows.push(Row { pc: moved(to), rule: Rule::NO_CFI });
        }
        rows.sort_by_key(|row| row.pc);
        // Where one segment ends and the next begins, the later row rules.
        rows.dedup_by(|next, before| {
            let same = next.pc == before.pc;
            if same && before.rule == Rule::NO_CFI {
                before.rule = next.rule;
            }
            same
        });
        (0, rows)
    }

    /// The bias of an executable mapping that begins at `start` in the process and at `offset` in the file:
    /// address - bias = pc, modulo 2^64. `None` when the file has no code there.
    ///
    /// Read-only segments are not asked: some linkers let them share a page of the file with the code, at another
    /// distance between file and memory.
    #[must_use]
    pub fn bias(&self, start: u64, offset: u64) -> Option<u64> {
        let (segment, distance) =
            self.segments.iter().find_map(|s| s.distance(offset).map(|distance| (s, distance)))?;
        let address = segment.start.wrapping_add_signed(distance);
        Some(start.wrapping_sub(address.wrapping_sub(self.base)))
    }
}
