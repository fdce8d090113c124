//! What an ELF file says of itself: where its code lies, who it is, and where its debug information is.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsRawFd as _;

use object::elf::{FileHeader64, PF_X, PT_LOAD, SHF_COMPRESSED};
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader as _, SectionHeader as _, SectionTable};
use object::{Endianness, ReadCache, ReadRef, elf};

/// Longest piece of the file that is read at once. Its headers and notes are far smaller.
const LONGEST_PIECE: u64 = 16 << 20;

/// Most bytes of debug information, when it is unpacked. The largest browsers have about 4 GiB.
const MOST_DEBUG_INFO: u64 = 8 << 30;

/// How many bytes a build id has. Others are somebody's play.
const LENGTHS_OF_BUILD_ID: std::ops::Range<usize> = 8..65;

/// The facts of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// The segments with code.
    code: Vec<Segment>,
    /// The identity that its linker gave it.
    pub(super) build_id: Option<Box<[u8]>>,
    /// The name of the file with its debug information, and that file's checksum.
    pub(super) debug_link: Option<(Box<[u8]>, u32)>,
    /// Where in the file a small symbol table lies, compressed, and its length: what is left of a stripped file's own.
    pub(super) small_table: Option<(u64, u64)>,
    /// Whether its debug information needs another file, which it names.
    needs_another: bool,
    /// Bytes of its own debug information, unpacked.
    debug_info: u64,
}

/// A part of the file that is mapped as code.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    size: u64,
    /// Its address (svma).
    address: u64,
}

impl Image {
    /// Reads the file's headers. `None` when it is no 64-bit ELF file, or a broken one.
    pub(super) fn read(file: &File) -> Option<Self> {
        let file = with_own_position(file).ok()?;
        let cache = ReadCache::new(BufReader::new(&file));
        let data = Pieces(&cache);
        let header = FileHeader64::<Endianness>::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let mut image = Self::default();
        for segment in header.program_headers(endian, data).ok()? {
            if segment.p_type(endian) == PT_LOAD && segment.p_flags(endian) & PF_X != 0 {
                let (offset, size) = segment.file_range(endian);
                image.code.push(Segment { offset, size, address: segment.p_vaddr(endian) });
            }
            if let Ok(Some(notes)) = segment.notes(endian, data) {
                image.build_id = image.build_id.or_else(|| build_id(endian, notes));
            }
        }
        // A file without section headers is a good one to run, and has no debug information.
        if let Ok(sections) = header.sections(endian, data) {
            image.take_sections(endian, data, &sections);
        }
        Some(image)
    }

    fn take_sections<'data>(
        &mut self,
        endian: Endianness,
        data: Pieces<'data>,
        sections: &SectionTable<'data, FileHeader64<Endianness>, Pieces<'data>>,
    ) {
        for section in sections.iter() {
            if self.build_id.is_none()
                && let Ok(Some(notes)) = section.notes(endian, data)
            {
                self.build_id = build_id(endian, notes);
            }
            match sections.section_name(endian, section).unwrap_or_default() {
                b".gnu_debuglink" => self.debug_link = section.data(endian, data).ok().and_then(debug_link),
                b".gnu_debugdata" => self.small_table = section.file_range(endian),
                b".gnu_debugaltlink" | b".debug_sup" => self.needs_another = true,
                name if name.starts_with(b".debug_") && section.sh_type(endian) != elf::SHT_NOBITS => {
                    let compressed = section.sh_flags(endian) & u64::from(SHF_COMPRESSED) != 0;
                    let size = if compressed {
                        section
                            .compression(endian, data)
                            .ok()
                            .flatten()
                            .map_or(u64::MAX, |(header, ..)| header.ch_size.get(endian))
                    } else {
                        section.sh_size(endian)
                    };
                    self.debug_info = self.debug_info.saturating_add(size);
                }
                _ => {}
            }
        }
    }

    /// The build id in hexadecimal digits.
    pub(super) fn build_id_text(&self) -> Option<String> {
        let id = self.build_id.as_ref().filter(|id| LENGTHS_OF_BUILD_ID.contains(&id.len()))?;
        let mut text = String::with_capacity(2 * id.len());
        for byte in id {
            write!(text, "{byte:02x}").ok()?;
        }
        Some(text)
    }

    /// The address (svma) of the code at `offset` in the file.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        let within =
            |segment: &&Segment| offset.checked_sub(segment.offset).is_some_and(|distance| distance < segment.size);
        let segment = self.code.iter().find(within)?;
        Some(segment.address.wrapping_add(offset - segment.offset))
    }

    /// Whether it has debug information that can be read without following a name that the file itself gives.
    pub(super) fn has_debug_info(&self) -> bool {
        self.has_trusted_debug_info() && self.debug_link.is_none() && !self.needs_another
    }

    /// The same for a file of the system's debug directories, which may name another one.
    pub(super) fn has_trusted_debug_info(&self) -> bool {
        (1..=MOST_DEBUG_INFO).contains(&self.debug_info)
    }
}

/// The same file, opened again: a descriptor that others share has one position for all of them.
pub(super) fn with_own_position(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn build_id(endian: Endianness, mut notes: NoteIterator<'_, FileHeader64<Endianness>>) -> Option<Box<[u8]>> {
    while let Ok(Some(note)) = notes.next() {
        if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
            return Some(note.desc().into());
        }
    }
    None
}

/// `.gnu_debuglink`: a name, zeros up to a multiple of four, a checksum.
fn debug_link(section: &[u8]) -> Option<(Box<[u8]>, u32)> {
    let name = section.split(|&byte| byte == 0).next()?;
    let checksum = section.get((name.len() + 1).next_multiple_of(4)..)?.first_chunk()?;
    Some((name.into(), u32::from_ne_bytes(*checksum)))
}

/// A file, read in pieces of bounded length: a header can claim any.
#[derive(Clone, Copy)]
struct Pieces<'data>(&'data ReadCache<BufReader<&'data File>>);

impl<'data> ReadRef<'data> for Pieces<'data> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'data [u8], ()> {
        if size > LONGEST_PIECE { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }

    fn read_bytes_at_until(self, range: std::ops::Range<u64>, delimiter: u8) -> Result<&'data [u8], ()> {
        let end = range.end.min(range.start.saturating_add(LONGEST_PIECE));
        self.0.read_bytes_at_until(range.start..end, delimiter)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn this_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn this_program_has_code_a_build_id_and_debug_info() {
        let image = Image::read(&file(&this_program())).unwrap();
        assert!(!image.code.is_empty());
        assert_eq!(image.build_id.as_ref().map(|id| id.len()), Some(20));
        assert!(image.has_debug_info());
    }

    #[test]
    fn an_offset_outside_of_the_code_has_no_address() {
        let code = vec![Segment { offset: 0x1000, size: 0x500, address: 0x40_1000 }];
        let image = Image { code, ..Image::default() };
        assert_eq!(image.address(0x1010), Some(0x40_1010));
        assert_eq!([image.address(0xfff), image.address(0x1500)], [None, None]);
    }

    #[test]
    fn what_is_not_elf_is_refused() {
        for content in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &[0; 4096]] {
            assert_eq!(Image::read(&file(content)), None);
        }
    }

    #[test]
    fn a_broken_file_is_no_reason_to_fail() {
        let whole = this_program();
        let whole = &whole[..whole.len().min(8192)];
        for position in 0..64 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = whole.to_vec();
                broken[position] = value;
                // Whatever comes of it, it comes back.
                let image = Image::read(&file(&broken));
                assert!(image.is_none_or(|image| image.code.len() < 1 << 16));
            }
        }
    }

    #[test]
    fn a_debug_link_is_a_name_and_a_checksum() {
        let section = [&b"a.debug\0"[..], &0x1234_5678_u32.to_ne_bytes()].concat();
        assert_eq!(debug_link(&section), Some((b"a.debug".as_slice().into(), 0x1234_5678)));
        for short in [&b""[..], b"a.debug", b"a.debug\0\0\0"] {
            assert_eq!(debug_link(short), None);
        }
    }
}
