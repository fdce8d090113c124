//! Files that a process has mapped as code, opened so that they are certainly those files.
//!
//! The target may run in another mount namespace, its files may have been replaced since it started, and their paths
//! are the target's to choose. The kernel's own link to a mapping (`/proc/PID/map_files`) leads to the mapped file and
//! to no other; without the right to follow it, the path below the target's root is opened and compared by device and
//! inode.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str;

use nix::libc;
use nix::sys::stat::{major, minor};

/// Most bytes of a process's list of mappings that are read: more than the kernel's default limit of mappings needs.
const MAX_MAPS: u64 = 64 << 20;

/// A file mapped as code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MappedFile {
    /// First of its mappings: begin and end (avma).
    pub(super) range: (u64, u64),
    /// Major and minor number of its device.
    pub(super) device: (u64, u64),
    /// Its inode.
    pub(super) inode: u64,
    /// Its path as the process sees it.
    pub(super) path: PathBuf,
}

/// The files that `pid` has mapped as code, each once, in the order of their addresses.
pub(super) fn mapped_files(pid: u32) -> io::Result<Vec<MappedFile>> {
    let maps = File::open(format!("/proc/{pid}/maps"))?;
    parse(BufReader::new(maps.take(MAX_MAPS)))
}

fn parse(mut maps: impl BufRead) -> io::Result<Vec<MappedFile>> {
    let mut files: Vec<MappedFile> = Vec::new();
    let mut line = Vec::new();
    while maps.read_until(b'\n', &mut line)? > 0 {
        let file = parse_line(line.strip_suffix(b"\n").unwrap_or(&line));
        if let Some(file) = file.filter(|new| !files.iter().any(|f| (f.device, f.inode) == (new.device, new.inode))) {
            files.push(file);
        }
        line.clear();
    }
    Ok(files)
}

/// One line: `7f00-7f80 r-xp 00001000 fe:01 4711    /path`; `None` unless it is a file mapped as code.
fn parse_line(line: &[u8]) -> Option<MappedFile> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut field = || fields.next().and_then(|field| str::from_utf8(field).ok());
    let (begin, end) = field()?.split_once('-')?;
    let protection = field()?;
    let _offset = field()?;
    let (major, minor) = field()?.split_once(':')?;
    let inode = field()?.parse().ok()?;
    let path = fields.next()?.trim_ascii_start();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    if !protection.contains('x') || inode == 0 || !path.starts_with(b"/") {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some(MappedFile {
        range: (hex(begin)?, hex(end)?),
        device: (hex(major)?, hex(minor)?),
        inode,
        path: PathBuf::from(OsStr::from_bytes(path)),
    })
}

impl MappedFile {
    /// Opens the file that `pid` has mapped.
    pub(super) fn open(&self, pid: u32) -> io::Result<File> {
        let (begin, end) = self.range;
        open_regular(Path::new(&format!("/proc/{pid}/map_files/{begin:x}-{end:x}"))).or_else(|_| self.open_by_path(pid))
    }

    fn open_by_path(&self, pid: u32) -> io::Result<File> {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let file = open_regular(&root.join(self.path.strip_prefix("/").unwrap_or(&self.path)))?;
        let metadata = file.metadata()?;
        if (metadata.ino(), (major(metadata.dev()), minor(metadata.dev()))) == (self.inode, self.device) {
            return Ok(file);
        }
        Err(io::Error::other("another file has taken the place of the one that is mapped"))
    }
}

/// Opens a regular file for reading, without waiting for the other end of anything that is not one.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_mapped_as_code_are_listed_and_each_once() {
        let maps = b"\
            55d0-55d1 r--p 00000000 fe:01 12                         /usr/bin/some program\n\
            55d1-55d2 r-xp 00001000 fe:01 12                         /usr/bin/some program\n\
            55d2-55d3 r-xp 00002000 fe:01 12                         /usr/bin/some program\n\
            6000-6001 r-xp 00000000 00:00 0                          [vdso]\n\
            7000-7001 rwxp 00000000 00:00 0 \n\
            7100-7101 r-xp 00000000 00:1f 13                         /lib/\xff.so (deleted)\n\
            broken\n";
        let files = parse(maps.as_slice()).unwrap();
        let seen: Vec<_> = files.iter().map(|f| (f.range, f.device, f.inode, f.path.as_os_str().as_bytes())).collect();
        assert_eq!(
            seen,
            [
                ((0x55d1, 0x55d2), (0xfe, 1), 12, b"/usr/bin/some program".as_slice()),
                ((0x7100, 0x7101), (0, 0x1f), 13, b"/lib/\xff.so".as_slice()),
            ]
        );
    }

    #[test]
    fn a_mapped_file_opens_as_the_file_at_its_path() {
        let pid = std::process::id();
        let file = mapped_files(pid).unwrap().into_iter().find(|f| f.path.ends_with("libc.so.6")).unwrap();
        let expected = std::fs::metadata(&file.path).unwrap();
        for opened in [file.open(pid).unwrap(), file.open_by_path(pid).unwrap()] {
            let metadata = opened.metadata().unwrap();
            assert_eq!((metadata.dev(), metadata.ino()), (expected.dev(), expected.ino()));
        }
        let other = MappedFile { inode: file.inode + 1, ..file };
        assert!(other.open_by_path(pid).is_err());
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused() {
        assert!(open_regular(Path::new("/")).is_err());
        assert!(open_regular(Path::new("/dev/null")).is_err());
    }
}
