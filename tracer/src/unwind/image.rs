//! What unwinding needs of an ELF file: where its code is, and the sections with call frame information.
//!
//! Every number in the file may be a lie. Sizes are checked against a limit, and against the file's length, before
//! memory is taken. The file is read rather than mapped: a mapped file that shrinks kills its reader.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use flate2::read::ZlibDecoder;
use gimli::{EhFrameHdr, LittleEndian, Pointer};
use object::LittleEndian as LE;
use object::elf::{
    ELFCLASS64, ELFCOMPRESS_ZLIB, ELFDATA2LSB, ELFMAG, EM_X86_64, FileHeader64, PF_X, PN_XNUM, PT_GNU_EH_FRAME,
    PT_LOAD, ProgramHeader64, SHF_COMPRESSED, SHT_NOBITS, SectionHeader64,
};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::read::{ReadCacheOps, ReadRef};

use super::TableError;

/// Largest section that is read, in bytes; a browser's `.eh_frame` has some 50 MB.
const MAX_SECTION: u64 = 256 << 20;
/// Most sections and program headers that are read.
const MAX_SECTIONS: usize = 1 << 16;
const MAX_SEGMENTS: u16 = 1 << 12;
/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;

/// A part of the file that is mapped to run. Addresses are the file's own (svma).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it begins in the file, in bytes.
    pub(super) offset: u64,
    /// The address of its first byte.
    pub(super) start: u64,
    /// The first address behind it.
    pub(super) end: u64,
}

impl Segment {
    /// How far a mapping of the file at `offset` begins before (negative) or in the segment; `None` when the mapping
    /// holds nothing of it. A mapping begins at a page, so up to a page before what it is made for.
    pub(super) fn distance(&self, offset: u64) -> Option<i64> {
        let first = self.offset & !(PAGE - 1);
        let behind = self.offset.checked_add(self.end - self.start)?;
        (first..behind).contains(&offset).then(|| offset.wrapping_sub(self.offset).cast_signed())
    }
}

/// A section with call frame information.
pub(super) struct Section<'data> {
    /// The address of its first byte.
    pub(super) address: u64,
    /// Its content.
    pub(super) bytes: Cow<'data, [u8]>,
}

/// What is known of the file.
pub(super) struct Image<'data> {
    /// Its executable segments, sorted by address, none overlaps another.
    pub(super) segments: Vec<Segment>,
    /// `.eh_frame`.
    pub(super) eh_frame: Option<Section<'data>>,
    /// `.debug_frame`, decompressed.
    pub(super) debug_frame: Option<Section<'data>>,
    /// The address of `.eh_frame_hdr`, which pointers may be relative to; 0 without one.
    pub(super) eh_frame_hdr: u64,
    /// The address of `.got`, likewise.
    pub(super) got: u64,
}

impl<'data> Image<'data> {
    /// Reads it.
    pub(super) fn read(data: impl ReadRef<'data>) -> Result<Self, TableError> {
        let header = header(data)?;
        if header.e_phnum.get(LE) == PN_XNUM || header.e_phnum.get(LE) > MAX_SEGMENTS {
            return Err(TableError::TooLarge("program header table"));
        }
        let damaged = |_| TableError::Damaged("program header table");
        let programs = header.program_headers(LE, data).map_err(damaged)?;
        let mut image =
            Self { segments: executable(programs), eh_frame: None, debug_frame: None, eh_frame_hdr: 0, got: 0 };
        image.read_sections(header, data)?;
        if image.eh_frame.is_none()
            && let Some(program) = programs.iter().find(|program| program.p_type.get(LE) == PT_GNU_EH_FRAME)
        {
            image.eh_frame_hdr = program.p_vaddr.get(LE);
            image.eh_frame = without_section(programs, program, data)?;
        }
        Ok(image)
    }

    fn read_sections(&mut self, header: &'data FileHeader64<LE>, data: impl ReadRef<'data>) -> Result<(), TableError> {
        const WHAT: &str = "section header table";
        if header.shnum(LE, data).map_err(|_| TableError::Damaged(WHAT))? > MAX_SECTIONS {
            return Err(TableError::TooLarge(WHAT));
        }
        let sections = header.sections(LE, data).map_err(|_| TableError::Damaged(WHAT))?;
        for section in sections.iter() {
            let here = || section.sh_addr.get(LE);
            match sections.section_name(LE, section) {
                Ok(b".eh_frame") => self.eh_frame = read_section(section, data, ".eh_frame")?,
                Ok(b".debug_frame") => self.debug_frame = read_section(section, data, ".debug_frame")?,
                Ok(b".eh_frame_hdr") => self.eh_frame_hdr = here(),
                Ok(b".got") => self.got = here(),
                // A name that cannot be read is none of these.
                _ => {}
            }
        }
        Ok(())
    }
}

fn header<'data>(data: impl ReadRef<'data>) -> Result<&'data FileHeader64<LE>, TableError> {
    let header = data.read_at::<FileHeader64<LE>>(0).map_err(|()| TableError::NotElf)?;
    if header.e_ident.magic != ELFMAG {
        return Err(TableError::NotElf);
    }
    let ident = header.e_ident;
    if (ident.class, ident.data, header.e_machine.get(LE)) != (ELFCLASS64, ELFDATA2LSB, EM_X86_64) {
        return Err(TableError::Foreign);
    }
    Ok(header)
}

/// The executable segments, sorted. Of overlapping ones the loader lets the later win: what is left of the earlier is
/// dropped, since no linker makes such a file.
fn executable(programs: &[ProgramHeader64<LE>]) -> Vec<Segment> {
    let loaded = programs.iter().filter(|p| p.p_type.get(LE) == PT_LOAD && p.p_flags.get(LE) & PF_X != 0);
    let mut segments: Vec<_> = loaded
        .filter_map(|program| {
            let start = program.p_vaddr.get(LE);
            let end = start.checked_add(program.p_filesz.get(LE)).filter(|&end| end > start)?;
            Some(Segment { offset: program.p_offset.get(LE), start, end })
        })
        .collect();
    segments.sort_by_key(|segment| segment.start);
    segments.reverse();
    segments.dedup_by(|earlier, later| earlier.end > later.start);
    segments.reverse();
    segments
}

fn read_section<'data>(
    section: &SectionHeader64<LE>,
    data: impl ReadRef<'data>,
    what: &'static str,
) -> Result<Option<Section<'data>>, TableError> {
    // A file with debug information alone keeps the headers of the sections that it was split from.
    if section.sh_type.get(LE) == SHT_NOBITS {
        return Ok(None);
    }
    if section.sh_size.get(LE) > MAX_SECTION {
        return Err(TableError::TooLarge(what));
    }
    let damaged = |_| TableError::Damaged(what);
    let mut bytes = Cow::Borrowed(section.data(LE, data).map_err(damaged)?);
    if section.sh_flags.get(LE) & u64::from(SHF_COMPRESSED) != 0 {
        let (header, offset, _) = section.compression(LE, data).map_err(damaged)?.ok_or(TableError::Damaged(what))?;
        let start = offset.saturating_sub(section.sh_offset.get(LE)) as usize;
        let compressed = bytes.get(start..).ok_or(TableError::Damaged(what))?;
        bytes = Cow::Owned(decompress(header.ch_type.get(LE), header.ch_size.get(LE), compressed, what)?);
    }
    Ok(Some(Section { address: section.sh_addr.get(LE), bytes }))
}

fn decompress(kind: u32, size: u64, compressed: &[u8], what: &'static str) -> Result<Vec<u8>, TableError> {
    if kind != ELFCOMPRESS_ZLIB {
        return Err(TableError::Damaged(what));
    }
    if size > MAX_SECTION {
        return Err(TableError::TooLarge(what));
    }
    // Grows with what comes out, so a size that is a lie takes no memory.
    let mut bytes = Vec::new();
    let read = ZlibDecoder::new(compressed).take(size).read_to_end(&mut bytes);
    if read.is_ok_and(|length| length as u64 == size) { Ok(bytes) } else { Err(TableError::Damaged(what)) }
}

/// `.eh_frame` of a file without section headers: its own header says where it begins, and the segment where it ends
/// at the latest (a zero says where it really does).
fn without_section<'data>(
    programs: &[ProgramHeader64<LE>],
    program: &ProgramHeader64<LE>,
    data: impl ReadRef<'data>,
) -> Result<Option<Section<'data>>, TableError> {
    const WHAT: &str = ".eh_frame_hdr";
    // The fixed part is all that is looked at: four bytes of encodings and two pointers.
    let size = program.p_filesz.get(LE).min(64);
    let bytes = data.read_bytes_at(program.p_offset.get(LE), size).map_err(|()| TableError::Damaged(WHAT))?;
    let bases = gimli::BaseAddresses::default().set_eh_frame_hdr(program.p_vaddr.get(LE));
    let parsed = EhFrameHdr::new(bytes, LittleEndian).parse(&bases, 8);
    let parsed = parsed.map_err(|source| TableError::Cfi { section: WHAT, source })?;
    let Pointer::Direct(address) = parsed.eh_frame_ptr() else { return Err(TableError::Damaged(WHAT)) };
    let loaded = programs.iter().filter(|program| program.p_type.get(LE) == PT_LOAD);
    for segment in loaded {
        let Some(distance) = address.checked_sub(segment.p_vaddr.get(LE)) else { continue };
        let Some(size) = segment.p_filesz.get(LE).checked_sub(distance).filter(|&size| size > 0) else { continue };
        let offset = segment.p_offset.get(LE).checked_add(distance).ok_or(TableError::Damaged(WHAT))?;
        if size > MAX_SECTION {
            return Err(TableError::TooLarge(".eh_frame"));
        }
        let bytes = data.read_bytes_at(offset, size).map_err(|()| TableError::Damaged(WHAT))?;
        return Ok(Some(Section { address, bytes: Cow::Borrowed(bytes) }));
    }
    Err(TableError::Damaged(WHAT))
}

/// Reads of a file at places of its own: the descriptor's position is shared with whoever else has it, and not moved.
pub(super) struct Reads<'file> {
    file: &'file File,
    position: u64,
    /// The first error that is not about the file's content.
    failed: &'file Cell<Option<io::Error>>,
}

impl<'file> Reads<'file> {
    /// Reads `file`; an error of the system goes to `failed`, since `object` tells no more than that there was one.
    pub(super) fn new(file: &'file File, failed: &'file Cell<Option<io::Error>>) -> Self {
        Self { file, position: 0, failed }
    }

    fn keep<T>(&self, result: io::Result<T>) -> Result<T, ()> {
        result.map_err(|error| {
            if error.kind() != io::ErrorKind::UnexpectedEof {
                self.failed.set(Some(error));
            }
        })
    }
}

impl ReadCacheOps for Reads<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        self.keep(self.file.metadata().map(|metadata| metadata.len()))
    }

    fn seek(&mut self, position: u64) -> Result<u64, ()> {
        self.position = position;
        Ok(position)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ()> {
        let read = self.keep(self.file.read_at(bytes, self.position))?;
        self.position += read as u64;
        Ok(read)
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), ()> {
        self.keep(self.file.read_exact_at(bytes, self.position))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
