//! The functions of a section with call frame information, each with its rows.

use std::collections::hash_map::Entry;
use std::ops::Range;

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, FrameDescriptionEntry, LittleEndian,
    UnwindContext, UnwindOffset, UnwindSection,
};
use heaptide_common::unwind::MAX_ROWS;
use rustc_hash::FxHashMap;

use super::image::{Image, Section, Segment};
use super::rule::{Bytes, Storage, rule};
use super::{Row, Rule, TableError};

/// Each byte of instructions costs time, and those that functions share run once for each function. Real sections stay
/// below 1.5 times their own size; this is for sections made to keep a reader busy.
const MAX_WORK: u64 = 8;
/// Work that is never too much, in bytes of instructions.
const FREE_WORK: u64 = 1 << 20;

/// A range of addresses (relative to the base) with rows of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// The first address.
    pub(super) start: u32,
    /// The first address behind it.
    pub(super) end: u32,
    /// Its rows in [`Functions::rows`], at least one; the first begins at `start`.
    pub(super) rows: Range<u32>,
}

/// What the sections describe, in their order, which is nearly but not always that of the addresses.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// The functions.
    pub(super) list: Vec<Function>,
    /// The rows of all of them.
    pub(super) rows: Vec<Row>,
    /// Functions with instructions that cannot be run: one row says that nothing is known.
    pub(super) damaged: u64,
    /// Functions that lie in no executable segment, such as those that the linker has dropped.
    pub(super) outside: u64,
}

impl Functions {
    /// Runs the call frame information of `image`; `base` is the address that rows are relative to.
    pub(super) fn read(image: &Image<'_>, base: u64) -> Result<Self, TableError> {
        let mut functions = Self::default();
        // `.eh_frame` comes last: of two descriptions of one function the later wins, and this is the one that
        // the program itself is unwound by.
        if let Some(section) = &image.debug_frame {
            let mut frames = DebugFrame::new(&section.bytes, LittleEndian);
            frames.set_address_size(8);
            let bases = BaseAddresses::default();
            Reader::new(&frames, ".debug_frame", &bases, section, image, base).read(&mut functions)?;
        }
        if let Some(section) = &image.eh_frame {
            let mut frames = EhFrame::new(&section.bytes, LittleEndian);
            frames.set_address_size(8);
            let bases = BaseAddresses::default().set_eh_frame(section.address);
            let bases = bases.set_eh_frame_hdr(image.eh_frame_hdr).set_got(image.got);
            Reader::new(&frames, ".eh_frame", &bases, section, image, base).read(&mut functions)?;
        }
        Ok(functions)
    }
}

/// Reads one section.
struct Reader<'a, 'data, S: UnwindSection<Bytes<'data>>> {
    frames: &'a S,
    name: &'static str,
    bases: &'a BaseAddresses,
    segments: &'a [Segment],
    base: u64,
    /// Bytes of instructions that may still be run.
    work: u64,
    shared: FxHashMap<usize, CommonInformationEntry<Bytes<'data>>>,
    context: UnwindContext<usize, Storage>,
}

impl<'a, 'data, S: UnwindSection<Bytes<'data>>> Reader<'a, 'data, S> {
    fn new(
        frames: &'a S,
        name: &'static str,
        bases: &'a BaseAddresses,
        section: &Section<'_>,
        image: &'a Image<'_>,
        base: u64,
    ) -> Self {
        let work = section.bytes.len() as u64 * MAX_WORK + FREE_WORK;
        let (segments, context) = (image.segments.as_slice(), UnwindContext::new_in());
        Self { frames, name, bases, segments, base, work, shared: FxHashMap::default(), context }
    }

    fn read(mut self, functions: &mut Functions) -> Result<(), TableError> {
        let section = self.name;
        let damaged = |source| TableError::Cfi { section, source };
        let mut entries = self.frames.entries(self.bases);
        while let Some(entry) = entries.next().map_err(damaged)? {
            let CieOrFde::Fde(entry) = entry else { continue };
            let shared = &mut self.shared;
            let entry = entry.parse(|frames, bases, offset| match shared.entry(UnwindOffset::into(offset)) {
                Entry::Occupied(known) => Ok(known.get().clone()),
                Entry::Vacant(new) => frames.cie_from_offset(bases, offset).map(|cie| new.insert(cie).clone()),
            });
            self.read_function(&entry.map_err(damaged)?, functions)?;
        }
        Ok(())
    }

    fn read_function(
        &mut self,
        entry: &FrameDescriptionEntry<Bytes<'data>>,
        functions: &mut Functions,
    ) -> Result<(), TableError> {
        let cost = (entry.entry_len() as u64).saturating_add(entry.cie().entry_len() as u64);
        self.work = self.work.checked_sub(cost).ok_or(TableError::TooLarge(self.name))?;
        let Some((start, end)) = self.range(entry) else {
            functions.outside += 1;
            return Ok(());
        };
        let first = functions.rows.len();
        if !self.read_rows(entry, start..end, &mut functions.rows) {
            functions.damaged += 1;
            functions.rows.truncate(first);
            functions.rows.push(Row { pc: start, rule: Rule::NOT_EXPRESSIBLE });
        }
        if functions.rows.len() > MAX_ROWS {
            return Err(TableError::TooLarge(self.name));
        }
        functions.list.push(Function { start, end, rows: first as u32..functions.rows.len() as u32 });
        Ok(())
    }

    /// The part of the function that can run, relative to the base; `None` when it is nothing.
    fn range(&self, entry: &FrameDescriptionEntry<Bytes<'data>>) -> Option<(u32, u32)> {
        let start = entry.initial_address();
        let index = self.segments.partition_point(|segment| segment.end <= start);
        let segment = self.segments.get(index).filter(|segment| segment.start <= start)?;
        let end = start.saturating_add(entry.len()).min(segment.end);
        let relative = |address: u64| u32::try_from(address.checked_sub(self.base)?).ok();
        Some((relative(start)?, relative(end)?)).filter(|(start, end)| start < end)
    }

    /// Runs the function's instructions; whether they could be run to their end.
    fn read_rows(
        &mut self,
        entry: &FrameDescriptionEntry<Bytes<'data>>,
        range: Range<u32>,
        rows: &mut Vec<Row>,
    ) -> bool {
        let Ok(mut table) = entry.rows(self.frames, self.bases, &mut self.context) else { return false };
        let first = rows.len();
        let encoding = entry.cie().encoding();
        loop {
            let row = match table.next_row() {
                Ok(Some(row)) => row,
                Ok(None) => return rows.len() > first,
                Err(_) => return false,
            };
            let relative = row.start_address().checked_sub(self.base).and_then(|pc| u32::try_from(pc).ok());
            let Some(pc) = relative.filter(|pc| range.contains(pc)) else { continue };
            let rule = rule(row, self.frames, encoding);
            let own = &rows[first..];
            match own.last() {
                Some(last) if last.rule == rule => continue,
                // An address that the instructions come back to: the later holds.
                Some(last) if last.pc == pc => {
                    rows.pop();
                }
                Some(last) if last.pc > pc => return false,
                _ => {}
            }
            rows.push(Row { pc, rule });
        }
    }
}
