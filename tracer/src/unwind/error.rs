//! Why a file has no table.

use std::io;

/// Why a file's call frame information could not be turned into rows.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file could not be read.
    #[error("it could not be read")]
    Read(#[from] io::Error),
    /// It does not begin as ELF files do.
    #[error("it is not an ELF file")]
    NotElf,
    /// It is an ELF file of another class, byte order or machine than x86-64's.
    #[error("it is not a 64-bit ELF file for x86-64")]
    Foreign,
    /// A part lies outside the file, or contradicts another part.
    #[error("its {0} is damaged")]
    Damaged(&'static str),
    /// A part is larger than any real one.
    #[error("its {0} is too large to be read")]
    TooLarge(&'static str),
    /// The call frame information cannot be parsed from some place on.
    #[error("its {section} is damaged")]
    Cfi {
        /// Which section.
        section: &'static str,
        /// What is wrong there.
        source: gimli::Error,
    },
}
