//! `.gnu_debugdata`: a symbol table of the functions that a stripped file does not export, compressed by xz.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lzma_rust2::XzReader;

use super::image::{Image, with_own_position};
use super::memory;

/// Most bytes of one that is unpacked. The largest programs have some megabytes.
const MOST_BYTES: u64 = 64 << 20;

/// Most memory, in KiB, that a file can have unpacking take: as much as the strongest of xz's usual levels.
const MOST_MEMORY: u32 = 65 << 10;

/// The unpacked table of a file with the facts `image`, as a file in memory; `None` when it has none, or a broken one.
pub(super) fn unpack(file: &File, image: &Image) -> Option<Arc<File>> {
    let (offset, size) = image.small_table?;
    // Files are hostile: a panic of what reads this one costs its names, and no more.
    let unpacked = catch_unwind(AssertUnwindSafe(|| unpack_at(file, (offset, size), MOST_BYTES)));
    let unpacked = unpacked.unwrap_or_else(|_| Err(io::Error::other("what reads it has panicked")));
    unpacked.inspect_err(|error| log::debug!("a small symbol table is not used: {error}")).ok()
}

fn unpack_at(file: &File, (offset, size): (u64, u64), most: u64) -> io::Result<Arc<File>> {
    let mut file = with_own_position(file)?;
    file.seek(SeekFrom::Start(offset))?;
    let unpacking = XzReader::new_mem_limit(file.take(size.min(most)), false, MOST_MEMORY);
    let mut table = memory::file(c"small symbol table")?;
    let length = io::copy(&mut unpacking.take(most + 1), &mut table)?;
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large"));
    }
    Ok(Arc::new(table))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use lzma_rust2::{XzOptions, XzWriter};

    use super::*;

    pub(crate) fn xz(content: &[u8]) -> Vec<u8> {
        let mut packing = XzWriter::new(Vec::new(), XzOptions::with_preset(6)).unwrap();
        packing.write_all(content).unwrap();
        packing.finish().unwrap()
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn unpacked(content: &[u8], offset: u64, size: u64) -> io::Result<Vec<u8>> {
        let mut table = Vec::new();
        with_own_position(&*unpack_at(&file(content), (offset, size), 100_000)?)?.read_to_end(&mut table)?;
        Ok(table)
    }

    #[test]
    fn what_xz_has_packed_is_unpacked() {
        let packed = xz(b"a table");
        let content = [b"before".as_slice(), &packed, b"behind"].concat();
        assert_eq!(unpacked(&content, 6, packed.len() as u64).unwrap(), b"a table");
    }

    #[test]
    fn a_table_that_grows_without_end_is_refused() {
        assert_eq!(unpacked(&xz(&vec![0; 100_000]), 0, 1000).unwrap(), vec![0; 100_000]);
        let packed = xz(&vec![0; 100_001]);
        assert!(packed.len() < 1000);
        assert_eq!(unpacked(&packed, 0, packed.len() as u64).unwrap_err().to_string(), "it is too large");
    }

    #[test]
    fn a_broken_table_is_no_reason_to_fail() {
        let packed = xz(&(0..4000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
        assert!(unpacked(&packed, 0, packed.len() as u64 / 2).is_err());
        assert!(unpacked(b"no table at all", 0, 15).is_err());
        assert!(unpacked(&packed, 1 << 40, 100).is_err());
        for position in 0..packed.len().min(200) {
            let mut broken = packed.clone();
            broken[position] ^= 0x10;
            // Whatever comes of it, it comes back.
            let _ = unpacked(&broken, 0, broken.len() as u64);
        }
    }
}
