//! What heaptide reads of an ELF file to find allocators and libraries: symbol tables, and the dynamic section.
//!
//! Every number in the file may be a lie. Each piece is read with a limit of its own, and a string only as far as the
//! longest that can be meant.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use object::LittleEndian as LE;
use object::elf::{
    DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, Dyn64, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_AARCH64,
    EM_X86_64, FileHeader64, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, ProgramHeader64, R_X86_64_GLOB_DAT,
    R_X86_64_JUMP_SLOT, Rela64, SHF_ALLOC, SHF_EXECINSTR, SHT_DYNSYM, SHT_RELA, SHT_SYMTAB, SectionHeader64, Sym64,
};
use object::pod::{self, Pod};

use super::symbol_table::SymbolTable;

/// Largest symbol or string table that is read, in bytes: ten million symbols.
const MAX_TABLE: u64 = 512 << 20;
/// Most sections that are read; a compiler's largest output has some ten thousand.
const MAX_SECTIONS: u64 = 1 << 20;
/// Largest dynamic section, and the longest string that it may name, in bytes.
const MAX_DYNAMIC: u64 = 1 << 20;
const MAX_STRING: usize = 4096;

/// Most bytes of names of sections.
const MAX_NAMES: u64 = 1 << 20;
/// Most segments and sections with code; programs have one and some five.
const MAX_CODE: usize = 256;
/// Most functions that a file calls by name; the largest programs have some ten thousand.
const MAX_IMPORTS: usize = 1 << 18;
/// Most relocation tables that are read; programs have two.
const MAX_RELOCATION_SECTIONS: usize = 8;

/// The machine that this build of heaptide runs on.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { EM_AARCH64 } else { EM_X86_64 };

/// Why a file could not be read as an ELF file.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file could not be read.
    #[error("it could not be read")]
    Read(#[from] io::Error),
    /// It does not begin as ELF files do.
    #[error("it is not an ELF file")]
    NotElf,
    /// It is an ELF file of another class, byte order or machine.
    #[error("it is not a 64-bit ELF file for this machine")]
    Foreign,
    /// A part lies outside the file, or contradicts another part.
    #[error("its {0} is damaged")]
    Damaged(&'static str),
    /// A part is larger than any real one.
    #[error("its {0} is too large to be read")]
    TooLarge(&'static str),
}

/// What the dynamic section asks of the loader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dynamic {
    /// Names of the libraries (`DT_NEEDED`).
    pub(super) needed: Vec<OsString>,
    /// Colon-separated directories to search first (`DT_RUNPATH`, `DT_RPATH`).
    pub(super) search: Vec<OsString>,
}

/// Begin (svma) and size.
type Range = (u64, u64);

/// An ELF file whose headers have been read.
pub(super) struct Elf<'a> {
    file: &'a File,
    length: u64,
    segments: Vec<ProgramHeader64<LE>>,
    sections: Vec<SectionHeader64<LE>>,
    /// Which section holds the names of all.
    section_names: usize,
    /// Begin (svma) and size of the segments with code, and where each is in the file.
    code_segments: Vec<(Range, u64)>,
    /// Begin (svma) and size of the sections with code.
    code_sections: Vec<Range>,
}

impl<'a> Elf<'a> {
    /// Reads the headers.
    pub(super) fn read(file: &'a File) -> Result<Self, ElfError> {
        let length = file.metadata()?.len();
        if length < size_of::<FileHeader64<LE>>() as u64 {
            return Err(ElfError::NotElf);
        }
        let headers: Vec<FileHeader64<LE>> = read_table(file, 0, 1, "header")?;
        let [header] = headers.as_slice() else { return Err(ElfError::NotElf) };
        if header.e_ident.magic != ELFMAG {
            return Err(ElfError::NotElf);
        }
        let ident = header.e_ident;
        if (ident.class, ident.data, header.e_machine.get(LE)) != (ELFCLASS64, ELFDATA2LSB, MACHINE) {
            return Err(ElfError::Foreign);
        }
        let segments = read_table(file, header.e_phoff.get(LE), header.e_phnum.get(LE).into(), "program header table")?;
        let sections = read_sections(file, header)?;
        let (code_segments, code_sections) = code(&segments, &sections);
        let section_names = header.e_shstrndx.get(LE).into();
        Ok(Self { file, length, segments, sections, section_names, code_segments, code_sections })
    }

    /// The loader that starts the program; `None` for libraries and for programs that need none.
    pub(super) fn interpreter(&self) -> Result<Option<OsString>, ElfError> {
        let Some(segment) = self.segment(PT_INTERP) else { return Ok(None) };
        let size = segment.p_filesz.get(LE).min(MAX_STRING as u64);
        let bytes = read_bytes(self.file, segment.p_offset.get(LE), size, "loader's name")?;
        let name = until_nul(&bytes, 0).filter(|name| !name.is_empty()).ok_or(ElfError::Damaged("loader's name"))?;
        Ok(Some(OsString::from_vec(name.to_vec())))
    }

    /// The dynamic section; empty in a static program.
    pub(super) fn dynamic(&self) -> Result<Dynamic, ElfError> {
        const WHAT: &str = "dynamic section";
        let Some(segment) = self.segment(PT_DYNAMIC) else { return Ok(Dynamic::default()) };
        let size = segment.p_filesz.get(LE);
        if size > MAX_DYNAMIC {
            return Err(ElfError::TooLarge(WHAT));
        }
        let count = size / size_of::<Dyn64<LE>>() as u64;
        let entries: Vec<Dyn64<LE>> = read_table(self.file, segment.p_offset.get(LE), count, WHAT)?;
        let value = |tag: i64| entries.iter().find(|entry| entry.d_tag.get(LE) == tag).map(|e| e.d_val.get(LE));
        let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else { return Ok(Dynamic::default()) };
        let offset = self.offset_of(address).ok_or(ElfError::Damaged(WHAT))?;
        let strings = read_bytes(self.file, offset, size, WHAT)?;
        let texts = |tag: i64| {
            let entries = entries.iter().filter(move |entry| entry.d_tag.get(LE) == tag);
            entries.filter_map(|entry| until_nul(&strings, entry.d_val.get(LE))).map(|s| OsString::from_vec(s.to_vec()))
        };
        Ok(Dynamic { needed: texts(DT_NEEDED).collect(), search: texts(DT_RUNPATH).chain(texts(DT_RPATH)).collect() })
    }

    /// The symbol tables: that of what the loader binds, and that of all.
    pub(super) fn symbol_tables(&self) -> Result<Vec<SymbolTable>, ElfError> {
        // There is at most one of each in any real file.
        let section = |kind| self.sections.iter().find(|section| section.sh_type.get(LE) == kind);
        let sections = [section(SHT_DYNSYM), section(SHT_SYMTAB)];
        sections.into_iter().flatten().map(|section| self.symbol_table(section)).collect()
    }

    /// Whether there is a symbol table of all symbols, and not only of those that the loader binds.
    pub(super) fn has_all_symbols(&self) -> bool {
        self.sections.iter().any(|section| section.sh_type.get(LE) == SHT_SYMTAB)
    }

    /// Whether a section is called `name`.
    pub(super) fn has_section(&self, name: &[u8]) -> bool {
        let names = self.sections.get(self.section_names);
        let names = names.and_then(|names| {
            let (offset, size) = (names.sh_offset.get(LE), names.sh_size.get(LE));
            read_bytes(self.file, offset, size.min(MAX_NAMES), "section names").ok()
        });
        names.is_some_and(|names| {
            self.sections.iter().any(|section| until_nul(&names, section.sh_name.get(LE).into()) == Some(name))
        })
    }

    /// The places (svma) in which the loader puts addresses of functions with the names that are `wanted`.
    pub(super) fn imports(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<(u64, Arc<str>)>, ElfError> {
        let mut imports = Vec::new();
        let mut symbols: Option<(u32, SymbolTable)> = None;
        let relocations = self.sections.iter().filter(|section| section.sh_type.get(LE) == SHT_RELA);
        for section in relocations.take(MAX_RELOCATION_SECTIONS) {
            let count = section.sh_size.get(LE) / size_of::<Rela64<LE>>() as u64;
            let link = section.sh_link.get(LE);
            if link == 0 {
                continue;
            }
            if symbols.as_ref().is_none_or(|(known, _)| *known != link) {
                let section = self.sections.get(link as usize).ok_or(ElfError::Damaged("relocation table"))?;
                symbols = Some((link, self.symbol_table(section)?));
            }
            let Some((_, table)) = &symbols else { continue };
            let entries: Vec<Rela64<LE>> = read_table(self.file, section.sh_offset.get(LE), count, "relocation table")?;
            let places = entries.iter().filter_map(|entry| {
                let binds = matches!(entry.r_type(LE, false), R_X86_64_GLOB_DAT | R_X86_64_JUMP_SLOT);
                let name = table.name_of(entry.r_sym(LE, false) as usize).filter(|_| binds)?;
                wanted(name).then(|| (entry.r_offset.get(LE), Arc::from(name)))
            });
            imports.extend(places.take(MAX_IMPORTS - imports.len()));
        }
        Ok(imports)
    }

    /// Up to `size` bytes of code at `address` (svma).
    pub(super) fn code_bytes(&self, address: u64, size: usize) -> Option<Vec<u8>> {
        let (offset, rest) = self.code_at(address)?;
        read_bytes(self.file, offset, rest.min(size as u64), "code").ok()
    }

    fn symbol_table(&self, section: &SectionHeader64<LE>) -> Result<SymbolTable, ElfError> {
        const WHAT: &str = "symbol table";
        let count = section.sh_size.get(LE) / size_of::<Sym64<LE>>() as u64;
        let entries = read_table(self.file, section.sh_offset.get(LE), count, WHAT)?;
        let strings = self.sections.get(section.sh_link.get(LE) as usize).ok_or(ElfError::Damaged(WHAT))?;
        let strings = read_bytes(self.file, strings.sh_offset.get(LE), strings.sh_size.get(LE), "string table")?;
        Ok(SymbolTable { entries, strings })
    }

    /// Where code at `address` (svma) is in the file, and how many bytes its section goes on.
    pub(super) fn code_at(&self, address: u64) -> Option<(u64, u64)> {
        let rest = |&(begin, size): &Range| size.checked_sub(address.checked_sub(begin)?).filter(|&rest| rest > 0);
        let (begin, offset) = self.code_segments.iter().find(|(range, _)| rest(range).is_some())?;
        let offset = offset.checked_add(address - begin.0).filter(|&offset| offset < self.length)?;
        // A section's end comes before that of its segment.
        let ends = self.code_segments.iter().map(|(range, _)| range).chain(&self.code_sections);
        let rest = ends.filter_map(rest).min()?;
        Some((offset, rest.min(self.length - offset)))
    }

    /// Where `address` (svma) is in the file, when a loaded segment holds it.
    fn offset_of(&self, address: u64) -> Option<u64> {
        let loaded = self.segments.iter().filter(|s| s.p_type.get(LE) == PT_LOAD);
        loaded.into_iter().find_map(|segment| {
            let distance = address.checked_sub(segment.p_vaddr.get(LE))?;
            let offset = segment.p_offset.get(LE).checked_add(distance)?;
            (distance < segment.p_filesz.get(LE) && offset < self.length).then_some(offset)
        })
    }

    fn segment(&self, kind: u32) -> Option<&ProgramHeader64<LE>> {
        self.segments.iter().find(|segment| segment.p_type.get(LE) == kind)
    }
}

/// The segments and sections with code, as far as they are looked at: code is asked for many times.
fn code(segments: &[ProgramHeader64<LE>], sections: &[SectionHeader64<LE>]) -> (Vec<(Range, u64)>, Vec<Range>) {
    let segments = segments.iter().filter(|s| s.p_type.get(LE) == PT_LOAD && s.p_flags.get(LE) & PF_X != 0);
    let segments = segments.map(|s| ((s.p_vaddr.get(LE), s.p_filesz.get(LE)), s.p_offset.get(LE)));
    let flags = u64::from(SHF_ALLOC | SHF_EXECINSTR);
    let sections = sections.iter().filter(|section| section.sh_flags.get(LE) & flags == flags);
    let sections = sections.map(|section| (section.sh_addr.get(LE), section.sh_size.get(LE)));
    (segments.take(MAX_CODE).collect(), sections.take(MAX_CODE).collect())
}

fn read_sections(file: &File, header: &FileHeader64<LE>) -> Result<Vec<SectionHeader64<LE>>, ElfError> {
    const WHAT: &str = "section header table";
    let offset = header.e_shoff.get(LE);
    if offset == 0 {
        return Ok(Vec::new());
    }
    let mut count = u64::from(header.e_shnum.get(LE));
    if count == 0 {
        // More sections than the header's 16 bits can tell: the first section's size is their number.
        let first: Vec<SectionHeader64<LE>> = read_table(file, offset, 1, WHAT)?;
        count = first.first().map_or(0, |section| section.sh_size.get(LE));
    }
    if count > MAX_SECTIONS {
        return Err(ElfError::TooLarge(WHAT));
    }
    read_table(file, offset, count, WHAT)
}

fn read_table<T: Pod>(file: &File, offset: u64, count: u64, what: &'static str) -> Result<Vec<T>, ElfError> {
    let size = count.checked_mul(size_of::<T>() as u64).ok_or(ElfError::Damaged(what))?;
    let bytes = read_bytes(file, offset, size, what)?;
    let (table, _) = pod::slice_from_bytes(&bytes, count as usize).map_err(|()| ElfError::Damaged(what))?;
    Ok(table.to_vec())
}

/// `size` bytes at `offset`. The file's length is asked for first: memory is taken only for bytes that are there.
fn read_bytes(file: &File, offset: u64, size: u64, what: &'static str) -> Result<Vec<u8>, ElfError> {
    if size > MAX_TABLE {
        return Err(ElfError::TooLarge(what));
    }
    let end = offset.checked_add(size).ok_or(ElfError::Damaged(what))?;
    if end > file.metadata()?.len() {
        return Err(ElfError::Damaged(what));
    }
    let mut bytes = vec![0; size as usize];
    match file.read_exact_at(&mut bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ElfError::Damaged(what)),
        result => Ok(result.map(|()| bytes)?),
    }
}

/// The string at `offset`, of at most [`MAX_STRING`] bytes.
fn until_nul(strings: &[u8], offset: u64) -> Option<&[u8]> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let end = rest.iter().take(MAX_STRING).position(|&byte| byte == 0)?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_without_an_end_is_none() {
        assert_eq!(until_nul(b"libc", 0), None);
        assert_eq!(until_nul(b"libc\0", 1), Some(b"ibc".as_slice()));
        assert_eq!(until_nul(b"libc\0", u64::MAX), None);
    }
}
