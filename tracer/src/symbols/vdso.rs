//! The vDSO: code that the kernel maps into every process, without a file.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::memory;
use crate::process::Mappings;

/// A copy of it, as a file in memory. Taken of heaptide's own: a kernel has one for all 64-bit programs.
pub(super) fn copy() -> io::Result<Arc<File>> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "the kernel maps none");
    let mappings = Mappings::read(std::process::id()).map_err(io::Error::other)?;
    let mapping = mappings.iter().find(|mapping| mapping.executable && !mapping.file.is_file()).ok_or_else(none)?;
    let mut content = vec![0; usize::try_from(mapping.end - mapping.start).map_err(io::Error::other)?];
    File::open("/proc/self/mem")?.read_exact_at(&mut content, mapping.start)?;
    let mut copy = memory::file(c"vdso")?;
    copy.write_all(&content)?;
    Ok(Arc::new(copy))
}
