//! Mapped files: each one once for all processes, and kept open.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use heaptide_common::unwind;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit};
use rustc_hash::FxHashMap;

/// Most files kept open. Those beyond are opened by their path when they are needed.
const MAX_OPEN: usize = 4096;

/// Files kept open now.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// [`MAX_OPEN`], or half of what the system lets this process open when that is less.
static OPEN_LIMIT: LazyLock<usize> = LazyLock::new(|| {
    let system = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    MAX_OPEN.min(system as usize / 2)
});

/// Every file that some process has mapped.
static FILES: LazyLock<Mutex<Files>> = LazyLock::new(Mutex::default);

/// What tells one mapped file from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Major and minor number of the device, as `/proc/PID/maps` and perf events give it (`stat` may give another).
    pub device: (u32, u32),
    /// The inode on it; 0 when it is not known.
    pub inode: u64,
    /// The path as the kernel writes it into `/proc/PID/maps`, with its escapes.
    pub path: Box<[u8]>,
}

/// A file that is mapped in some process.
#[derive(Debug)]
pub struct MappedFile {
    /// Where it is, as the process sees it (or saw it: it may have been deleted).
    pub path: PathBuf,
    /// The path's last component, printable: control characters are replaced.
    pub name: Arc<str>,
    identity: Identity,
    /// A process that has it mapped, and where.
    seen: (u32, Range<u64>),
    kept: Option<Arc<File>>,
}

impl MappedFile {
    /// The file that the process `pid` has mapped at `range`, opened now: later the process may be gone, the path
    /// replaced or deleted. The same object for all processes that map the same file.
    #[must_use]
    pub fn shared(identity: Identity, pid: u32, range: Range<u64>) -> Arc<Self> {
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.known.get(&identity).and_then(Weak::upgrade)
            && !file.may_open_by((pid, &range))
        {
            return file;
        }
        let file = Arc::new(Self::new(identity.clone(), pid, range));
        files.insert(identity, &file);
        file
    }

    fn new(identity: Identity, pid: u32, range: Range<u64>) -> Self {
        let path = PathBuf::from(OsStr::from_bytes(&unescape(without_deleted(&identity.path))));
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = name.chars().map(|each| if each.is_control() { char::REPLACEMENT_CHARACTER } else { each });
        let name = name.collect::<String>().into();
        let mut file = Self { path, name, identity, seen: (pid, range), kept: None };
        if reserve() {
            file.kept = file.open_by_path().ok().map(Arc::new);
            if file.kept.is_none() {
                OPEN.fetch_sub(1, Ordering::Relaxed);
            }
        }
        file
    }

    /// What tells it from all other files.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the kernel part knows it by.
    #[must_use]
    pub fn key(&self) -> unwind::File {
        if self.is_file() {
            unwind::File::new(self.identity.device, self.identity.inode)
        } else {
            // Nothing else without a file is among a process's mappings.
            unwind::File::VDSO
        }
    }

    /// The open file. Errors: it could not be opened when it was first seen and cannot now, or is no regular file.
    pub fn open(&self) -> io::Result<Arc<File>> {
        match &self.kept {
            Some(file) => Ok(Arc::clone(file)),
            None => self.open_by_path().map(Arc::new),
        }
    }

    /// Whether it could not be opened by way of the process that it was first seen in, and may be by way of another.
    fn may_open_by(&self, other: (u32, &Range<u64>)) -> bool {
        let (pid, range) = &self.seen;
        self.kept.is_none() && (*pid, range) != other && OPEN.load(Ordering::Relaxed) < *OPEN_LIMIT
    }

    /// Whether it is a file at all; the vDSO is not.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.identity.path.starts_with(b"/")
    }

    /// Whether it is memory that only looks like a file: code may be made there at run time.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        const KINDS: [&[u8]; 4] = [b"/memfd:", b"/dev/zero", b"/anon_hugepage", b"/SYSV"];
        KINDS.iter().any(|kind| self.identity.path.starts_with(kind))
    }

    fn open_by_path(&self) -> io::Result<File> {
        if !self.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (pid, range) = &self.seen;
        // This link leads to the very file that is mapped, whatever its path leads to by now; but by now another one may be
        // mapped there.
        let exact = open_regular(Path::new(&format!("/proc/{pid}/map_files/{:x}-{:x}", range.start, range.end)));
        if let Ok(file) = exact
            && !self.is_another(&file.metadata()?)
        {
            return Ok(file);
        }
        let relative = self.path.strip_prefix("/").unwrap_or(&self.path);
        let in_its_root = Path::new("/proc").join(pid.to_string()).join("root").join(relative);
        let file = open_regular(&in_its_root).or_else(|_| open_regular(&self.path))?;
        if self.is_another(&file.metadata()?) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was replaced"));
        }
        Ok(file)
    }

    /// Whether it is certain that `other` is not this file. Where the devices differ it is not: on btrfs and overlay
    /// file systems, `stat` gives other numbers than `/proc/PID/maps`.
    fn is_another(&self, other: &fs::Metadata) -> bool {
        let device = (nix::sys::stat::major(other.dev()), nix::sys::stat::minor(other.dev()));
        let (major, minor) = self.identity.device;
        self.identity.inode != 0 && device == (u64::from(major), u64::from(minor)) && other.ino() != self.identity.inode
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        if self.kept.is_some() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Takes one of the places for files kept open; `false` when none is left.
fn reserve() -> bool {
    let taken =
        OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < *OPEN_LIMIT).then_some(open + 1));
    taken.is_ok()
}

/// Opens a regular file. Never a device, a pipe or a socket, whose opening alone can have effects or last for ever.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    // The path may have been given to something else in between.
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// The kernel adds ` (deleted)` to the path of a file that no longer has one.
fn without_deleted(path: &[u8]) -> &[u8] {
    path.strip_suffix(b" (deleted)").unwrap_or(path)
}

/// The kernel writes a newline in a path as `\012`, and nothing else in another way.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(b"\\012") {
            plain.push(b'\n');
            rest = behind;
        } else {
            plain.push(byte);
            rest = behind;
        }
    }
    plain
}

/// Mapped files by identity. Those that nobody uses any more are forgotten, and so closed.
#[derive(Default)]
struct Files {
    known: FxHashMap<Identity, Weak<MappedFile>>,
    /// How many to know before the next search for forgotten ones.
    sweep_at: usize,
}

impl Files {
    fn insert(&mut self, identity: Identity, file: &Arc<MappedFile>) {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, file| file.strong_count() > 0);
            self.sweep_at = 2 * self.known.len() + 256;
        }
        self.known.insert(identity, Arc::downgrade(file));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn identity(path: &Path, inode: u64) -> Identity {
        let device = fs::metadata(path.parent().unwrap()).unwrap().dev();
        let device = (nix::sys::stat::major(device) as u32, nix::sys::stat::minor(device) as u32);
        Identity { device, inode, path: path.as_os_str().as_bytes().into() }
    }

    fn mapped(path: &Path, inode: u64) -> Arc<MappedFile> {
        // No process has this number, so only the path can lead to the file.
        MappedFile::shared(identity(path, inode), u32::MAX, 0..0)
    }

    fn content(file: &MappedFile) -> String {
        let mut content = String::new();
        file.open().unwrap().as_ref().read_to_string(&mut content).unwrap();
        content
    }

    #[test]
    fn a_deleted_file_is_still_readable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deleted.so");
        fs::write(&path, "code").unwrap();
        let file = mapped(&path, fs::metadata(&path).unwrap().ino());
        fs::remove_file(&path).unwrap();
        assert_eq!(content(&file), "code");
    }

    #[test]
    fn a_file_in_the_place_of_a_replaced_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("replaced.so");
        fs::write(&path, "other code").unwrap();
        let file = mapped(&path, fs::metadata(&path).unwrap().ino() + 1);
        assert_eq!(file.open().unwrap_err().to_string(), "the file was replaced");
    }

    #[test]
    fn a_pipe_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe.so");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(mapped(&path, 0).open().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn names_are_printable_and_without_what_the_kernel_adds() {
        let name = |path: &str| {
            let identity = Identity { device: (0, 0), inode: 0, path: path.as_bytes().into() };
            MappedFile::shared(identity, u32::MAX, 0..0).name.to_string()
        };
        assert_eq!(name("/usr/lib/libz.so.1 (deleted)"), "libz.so.1");
        assert_eq!(name("/tmp/\u{1b}[31mred.so"), "\u{fffd}[31mred.so");
        assert_eq!(name("/tmp/two\\012lines.so"), "two\u{fffd}lines.so");
        assert_eq!(name("/"), "/");
    }

    #[test]
    fn a_newline_in_a_path_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("two\nlines.so");
        fs::write(&path, "code").unwrap();
        let escaped = path.to_str().unwrap().replace('\n', "\\012");
        assert_eq!(content(&mapped(Path::new(&escaped), fs::metadata(&path).unwrap().ino())), "code");
    }
}
