//! Files in which distributions keep the debug information of other files.
//!
//! Not by blazesym's own search: that one follows the name in `.gnu_debuglink` wherever it leads, and here the name is
//! the target's choice.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::image::{Image, with_own_position};
use crate::process::open_regular;

/// Where distributions keep them.
const SYSTEM: &str = "/usr/lib/debug";

/// Longest file whose checksum is taken.
const LONGEST: u64 = 4 << 30;

/// A file with the debug information of another one, and whether all that it says can be read.
#[derive(Debug)]
pub(super) struct DebugFile {
    pub(super) file: File,
    pub(super) has_debug_info: bool,
}

/// The file with the debug information of the file at `path` (as its process sees it): by build id, or by name.
pub(super) fn find(path: &Path, of: &Image) -> Option<DebugFile> {
    by_build_id(of).or_else(|| by_name(path, of))
}

fn by_build_id(of: &Image) -> Option<DebugFile> {
    let id = of.build_id_text()?;
    let (first, rest) = id.split_at_checked(2)?;
    let name = format!("{SYSTEM}/.build-id/{first}/{rest}.debug");
    let file = open_regular(Path::new(&name)).ok()?;
    let image = Image::read(&file)?;
    let has_debug_info = image.has_trusted_debug_info();
    (image.build_id == of.build_id).then_some(DebugFile { file, has_debug_info })
}

fn by_name(path: &Path, of: &Image) -> Option<DebugFile> {
    let (name, checksum) = of.debug_link.as_ref()?;
    let name = Path::new(OsStr::from_bytes(name));
    // A name alone, not a path that leads somewhere else.
    if name.file_name()? != name.as_os_str() {
        return None;
    }
    let directory = path.parent()?;
    let in_system = Path::new(SYSTEM).join(directory.strip_prefix("/").unwrap_or(directory)).join(name);
    let beside: [PathBuf; 2] = [directory.join(".debug").join(name), directory.join(name)];
    let candidates = [(in_system, true)].into_iter().chain(beside.map(|candidate| (candidate, false)));
    for (candidate, trusted) in candidates {
        let Ok(file) = open_regular(&candidate) else { continue };
        let Some(image) = Image::read(&file) else { continue };
        if belongs(&file, &image, of, *checksum) {
            let has_debug_info = if trusted { image.has_trusted_debug_info() } else { image.has_debug_info() };
            return Some(DebugFile { file, has_debug_info });
        }
    }
    None
}

/// Whether the file was made from the one with the facts `of`, by build id when both have one, else by checksum.
fn belongs(file: &File, image: &Image, of: &Image, checksum: u32) -> bool {
    match (&image.build_id, &of.build_id) {
        // The same build id and a link of its own: that is the file itself.
        (Some(one), Some(other)) => one == other && image.debug_link.is_none(),
        _ => checksum_of(file) == Some(checksum),
    }
}

fn checksum_of(file: &File) -> Option<u32> {
    if file.metadata().ok()?.size() > LONGEST {
        return None;
    }
    let mut file = with_own_position(file).ok()?;
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(hasher.finalize()),
            length => hasher.update(piece.get(..length)?),
        }
    }
}
