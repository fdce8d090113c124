//! Where a process writes its perf map, remembered while it lives: in its own root, under its innermost pid.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use procfs::process::Process as ProcProcess;
use rustc_hash::FxHashMap;

/// What a process has for its root: the mount namespace, and the path in it.
type RootId = (PathBuf, PathBuf);

/// Root directories of traced processes, each opened once. They lead to a process's files also when it has ended.
#[derive(Debug, Default)]
pub struct Roots {
    open: FxHashMap<RootId, Weak<OwnedFd>>,
}

impl Roots {
    fn of(&mut self, pid: u32) -> io::Result<Arc<OwnedFd>> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let id = (fs::read_link(process.join("ns/mnt"))?, fs::read_link(process.join("root"))?);
        if let Some(root) = self.open.get(&id).and_then(Weak::upgrade) {
            return Ok(root);
        }
        self.open.retain(|_, root| root.strong_count() > 0);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = Arc::new(open(&process.join("root"), flags, Mode::empty())?);
        self.open.insert(id, Arc::downgrade(&root));
        Ok(root)
    }
}

/// Where one process writes its perf map, and who may have written it.
#[derive(Clone, Debug)]
pub struct Place {
    root: Arc<OwnedFd>,
    path: PathBuf,
    owner: u32,
}

impl Place {
    /// The place of the living process `pid`; `None` when it cannot be told.
    #[must_use]
    pub fn of(pid: u32, roots: &mut Roots) -> Option<Self> {
        let root = roots.of(pid).ok()?;
        let status = ProcProcess::new(pid.cast_signed()).and_then(|process| process.status()).ok()?;
        // As the process itself knows its number: in a container it is another one.
        let own = status.nspid.and_then(|pids| pids.last().copied()).unwrap_or(pid.cast_signed());
        Some(Self { root, path: format!("tmp/perf-{own}.map").into(), owner: status.euid })
    }

    /// Opens the map. Errors: there is none, or one that heaptide does not believe: anybody may write to `/tmp`.
    pub fn open(&self) -> io::Result<File> {
        let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        // `/tmp` itself may be a link, which leads to where it leads the process.
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let file = File::from(openat2(&*self.root, &self.path, OpenHow::new().flags(flags).resolve(resolve))?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(refused("it is no regular file"));
        }
        // As perf has it: the user's own, or the administrator's.
        if metadata.uid() != 0 && metadata.uid() != self.owner {
            return Err(refused("it belongs to another user than the process"));
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// The place of a process with the number 7, the effective user `owner` and the root `root`.
    fn place(root: &Path, owner: u32) -> Place {
        let root = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        Place { root: Arc::new(root), path: "tmp/perf-7.map".into(), owner }
    }

    fn read(place: &Place) -> Result<String, io::ErrorKind> {
        let mut content = String::new();
        place.open().map_err(|error| error.kind())?.read_to_string(&mut content).unwrap();
        Ok(content)
    }

    fn me() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn the_map_is_found_in_the_root_of_the_process() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tmp")).unwrap();
        assert_eq!(read(&place(root.path(), me())), Err(io::ErrorKind::NotFound));
        fs::write(root.path().join("tmp/perf-7.map"), "text").unwrap();
        assert_eq!(read(&place(root.path(), me())).unwrap(), "text");
    }

    #[test]
    fn a_directory_that_is_a_link_stays_within_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("private/tmp")).unwrap();
        fs::write(root.path().join("private/tmp/perf-7.map"), "text").unwrap();
        symlink("/private/tmp", root.path().join("tmp")).unwrap();
        assert_eq!(read(&place(root.path(), me())).unwrap(), "text");
    }

    #[test]
    fn links_and_pipes_are_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tmp")).unwrap();
        let map = root.path().join("tmp/perf-7.map");
        fs::write(root.path().join("secret"), "text").unwrap();
        symlink("/secret", &map).unwrap();
        assert!(read(&place(root.path(), me())).is_err());
        fs::remove_file(&map).unwrap();
        nix::unistd::mkfifo(&map, Mode::S_IRWXU).unwrap();
        assert_eq!(read(&place(root.path(), me())), Err(io::ErrorKind::PermissionDenied));
    }

    #[test]
    fn a_map_of_another_user_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tmp")).unwrap();
        let map = root.path().join("tmp/perf-7.map");
        fs::write(&map, "text").unwrap();
        let another = 54321;
        if me() == 0 {
            // Only root can give a file away.
            std::os::unix::fs::chown(&map, Some(another), None).unwrap();
            assert_eq!(read(&place(root.path(), another)).unwrap(), "text");
            assert_eq!(read(&place(root.path(), another + 1)), Err(io::ErrorKind::PermissionDenied));
            assert_eq!(read(&place(root.path(), 0)), Err(io::ErrorKind::PermissionDenied));
        } else {
            assert_eq!(read(&place(root.path(), another)), Err(io::ErrorKind::PermissionDenied));
        }
    }

    #[test]
    fn processes_with_one_root_share_it() {
        let mut roots = Roots::default();
        let one = Place::of(std::process::id(), &mut roots).unwrap();
        let other = Place::of(std::process::id(), &mut roots).unwrap();
        assert!(Arc::ptr_eq(&one.root, &other.root));
        assert_eq!((one.path, one.owner), (format!("tmp/perf-{}.map", std::process::id()).into(), me()));
        assert!(Place::of(u32::MAX >> 1, &mut roots).is_none());
    }
}
