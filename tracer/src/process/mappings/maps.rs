//! `/proc/PID/maps`, read as bytes.
//!
//! Not by the procfs crate: a path in there is the target's choice, and that crate refuses a whole process for one path
//! that is not UTF-8, trims spaces off paths, and panics on a file named `/SYSV`.

use std::io::{self, BufRead};
use std::sync::Arc;

use super::{Identity, MappedFile, Mapping};

/// What the kernel calls the code that it lends to every process.
const VDSO: &[u8] = b"[vdso]";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    start: u64,
    end: u64,
    offset: u64,
    pub(super) executable: bool,
    device: (u32, u32),
    inode: u64,
    path: Box<[u8]>,
}

impl Entry {
    /// Whether a file is mapped, rather than memory without one (`[heap]`, `[anon:…]`, nothing).
    pub(super) fn is_file(&self) -> bool {
        self.path.starts_with(b"/")
    }

    /// Whether it is the vDSO.
    pub(super) fn is_vdso(&self) -> bool {
        *self.path == *VDSO
    }

    /// What tells files apart within a process.
    pub(super) fn key(&self) -> ((u32, u32), u64, &[u8]) {
        (self.device, self.inode, &self.path)
    }

    /// The mapping in the process `pid`, with its file opened.
    pub(super) fn mapping(&self, pid: u32) -> Mapping {
        let identity = Identity { device: self.device, inode: self.inode, path: self.path.clone() };
        let file = MappedFile::shared(identity, pid, self.start..self.end);
        let &Self { start, end, offset, executable, .. } = self;
        Mapping { start, end, offset, executable, file: Arc::clone(&file) }
    }
}

/// The lines of `maps`; `None` for a line that is not of the documented form.
pub(super) fn entries(maps: impl BufRead) -> impl Iterator<Item = io::Result<Option<Entry>>> {
    maps.split(b'\n').map(|line| line.map(|line| parse(&line)))
}

/// `start-end perms offset major:minor inode   path`; numbers are hexadecimal except for the inode.
fn parse(line: &[u8]) -> Option<Entry> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut field = || std::str::from_utf8(fields.next()?).ok();
    let (start, end) = field()?.split_once('-')?;
    let permissions = field()?;
    let offset = field()?;
    let (major, minor) = field()?.split_once(':')?;
    let inode = field()?;
    Some(Entry {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        offset: u64::from_str_radix(offset, 16).ok()?,
        executable: permissions.as_bytes().get(2) == Some(&b'x'),
        device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
        inode: inode.parse().ok()?,
        // Without a path, the line ends behind the inode, on some kernels with a space.
        path: fields.next().unwrap_or_default().trim_ascii_start().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(line: &[u8]) -> Vec<u8> {
        parse(line).unwrap().path.into_vec()
    }

    #[test]
    fn every_field_is_read() {
        let line = b"7f00c0de0000-7f00c0df0000 r-xp 0002f000 fe:1f 247003                     /usr/bin/bash";
        let entry = parse(line).unwrap();
        let expected = Entry {
            start: 0x7f00_c0de_0000,
            end: 0x7f00_c0df_0000,
            offset: 0x2f000,
            executable: true,
            device: (0xfe, 0x1f),
            inode: 247_003,
            path: b"/usr/bin/bash".as_slice().into(),
        };
        assert_eq!(entry, expected);
        assert!(entry.is_file());
    }

    #[test]
    fn memory_without_a_file_is_told_apart() {
        for line in [&b"1000-2000 rw-p 00000000 00:00 0 "[..], b"1000-2000 rw-p 00000000 00:00 0"] {
            assert!(!parse(line).unwrap().is_file());
        }
        assert!(!parse(b"1000-2000 rwxp 00000000 00:00 0    [anon:/usr/lib/x.so]").unwrap().is_file());
        assert!(parse(b"1000-2000 r-xp 00000000 00:00 0    [vdso]").unwrap().is_vdso());
    }

    #[test]
    fn hostile_paths_are_kept_as_they_are() {
        assert_eq!(path(b"1000-2000 r-xp 00000000 00:01 7    /SYSV"), b"/SYSV");
        assert_eq!(path(b"1000-2000 r-xp 00000000 00:01 7    /a  b \xff "), b"/a  b \xff ");
        assert_eq!(path(b"1000-2000 r-xp 00000000 00:01 7    /a\\0121000-2000 r-xp"), b"/a\\0121000-2000 r-xp");
    }

    #[test]
    fn other_forms_are_refused() {
        for line in [&b""[..], b"1000 r-xp 0 00:00 0", b"1000-2000 r-xp x 00:00 0", b"1000-2000 r-xp 0 0000 0"] {
            assert_eq!(parse(line), None);
        }
    }
}
