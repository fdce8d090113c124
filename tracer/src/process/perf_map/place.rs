//! Where a process writes its perf map, remembered while it lives: in its own root, under its innermost pid.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use procfs::process::{Process as ProcProcess, Status};
use rustc_hash::{FxHashMap, FxHashSet};

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
    pid: u32,
    /// Users that the process has been, as far as was looked: it can become another one.
    owners: FxHashSet<u32>,
    /// When the process began. What was written before is of another one that had its number.
    began: SystemTime,
}

/// How much later than its first lines a process may seem to have begun: its begin is known in ticks of the clock.
const TOLERANCE: Duration = Duration::from_secs(2);

impl Place {
    /// The place of the living process `pid`; `None` when it cannot be told.
    #[must_use]
    pub fn of(pid: u32, roots: &mut Roots) -> Option<Self> {
        let root = roots.of(pid).ok()?;
        let process = ProcProcess::new(pid.cast_signed()).ok()?;
        let status = process.status().ok()?;
        let began = began(process.stat().ok()?.starttime)?;
        // As the process itself knows its number: in a container it is another one.
        let own = status.nspid.as_ref().and_then(|pids| pids.last().copied()).unwrap_or(pid.cast_signed());
        let path = format!("tmp/perf-{own}.map").into();
        Some(Self { root, path, pid, owners: users(&status), began })
    }

    /// Opens the map. Errors: there is none, or one that heaptide does not believe: anybody may write to `/tmp`.
    pub fn open(&mut self) -> io::Result<File> {
        let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why);
        // Opening a pipe or a device can have effects; this does not open what is there.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // `/tmp` itself may be a link, which leads to where it leads the process.
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let there = File::from(openat2(&*self.root, &self.path, OpenHow::new().flags(flags).resolve(resolve))?);
        let metadata = there.metadata()?;
        if !metadata.is_file() {
            return Err(refused("it is no regular file"));
        }
        // As perf has it: the user's own, or the administrator's.
        if metadata.uid() != 0 && !self.is_owner(metadata.uid()) {
            return Err(refused("it belongs to another user than the process"));
        }
        if metadata.modified()? + TOLERANCE < self.began {
            return Err(refused("it was left by another process that had the same number"));
        }
        File::open(format!("/proc/self/fd/{}", there.as_raw_fd()))
    }

    /// Whether the process is, or has been, the user `uid`.
    fn is_owner(&mut self, uid: u32) -> bool {
        if !self.owners.contains(&uid)
            && let Ok(status) = ProcProcess::new(self.pid.cast_signed()).and_then(|process| process.status())
        {
            self.owners.extend(users(&status));
        }
        self.owners.contains(&uid)
    }
}

fn users(status: &Status) -> FxHashSet<u32> {
    [status.ruid, status.euid, status.suid, status.fuid].into_iter().collect()
}

/// When a process began that says so in ticks since the machine's start.
fn began(ticks: u64) -> Option<SystemTime> {
    let since_start = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    let started = SystemTime::now().checked_sub(since_start)?;
    started.checked_add(Duration::from_millis(ticks.checked_mul(1000)? / procfs::ticks_per_second().max(1)))
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
        let owners = [owner].into_iter().collect();
        let (path, began) = ("tmp/perf-7.map".into(), SystemTime::now());
        // A number that no process has.
        Place { root: Arc::new(root), path, pid: u32::MAX >> 1, owners, began }
    }

    fn read(mut place: Place) -> Result<String, io::ErrorKind> {
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
        assert_eq!(read(place(root.path(), me())), Err(io::ErrorKind::NotFound));
        fs::write(root.path().join("tmp/perf-7.map"), "text").unwrap();
        assert_eq!(read(place(root.path(), me())).unwrap(), "text");
    }

    #[test]
    fn a_directory_that_is_a_link_stays_within_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("private/tmp")).unwrap();
        fs::write(root.path().join("private/tmp/perf-7.map"), "text").unwrap();
        symlink("/private/tmp", root.path().join("tmp")).unwrap();
        assert_eq!(read(place(root.path(), me())).unwrap(), "text");
    }

    #[test]
    fn links_and_pipes_are_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tmp")).unwrap();
        let map = root.path().join("tmp/perf-7.map");
        fs::write(root.path().join("secret"), "text").unwrap();
        symlink("/secret", &map).unwrap();
        assert!(read(place(root.path(), me())).is_err());
        fs::remove_file(&map).unwrap();
        nix::unistd::mkfifo(&map, Mode::S_IRWXU).unwrap();
        assert_eq!(read(place(root.path(), me())), Err(io::ErrorKind::PermissionDenied));
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
            assert_eq!(read(place(root.path(), another)).unwrap(), "text");
            assert_eq!(read(place(root.path(), another + 1)), Err(io::ErrorKind::PermissionDenied));
            assert_eq!(read(place(root.path(), 0)), Err(io::ErrorKind::PermissionDenied));
        } else {
            assert_eq!(read(place(root.path(), another)), Err(io::ErrorKind::PermissionDenied));
        }
    }

    #[test]
    fn a_map_that_another_process_has_left_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tmp")).unwrap();
        let map = root.path().join("tmp/perf-7.map");
        fs::write(&map, "text").unwrap();
        let before = SystemTime::now() - Duration::from_mins(1);
        File::options().write(true).open(&map).unwrap().set_modified(before).unwrap();
        assert_eq!(read(place(root.path(), me())), Err(io::ErrorKind::PermissionDenied));
    }

    #[test]
    fn processes_with_one_root_share_it() {
        let mut roots = Roots::default();
        let one = Place::of(std::process::id(), &mut roots).unwrap();
        let other = Place::of(std::process::id(), &mut roots).unwrap();
        assert!(Arc::ptr_eq(&one.root, &other.root));
        assert_eq!(one.path, PathBuf::from(format!("tmp/perf-{}.map", std::process::id())));
        assert!(one.owners.contains(&me()));
        let age = SystemTime::now().duration_since(one.began).unwrap();
        assert!(age < Duration::from_hours(1), "a test runs for {age:?}");
        assert!(Place::of(u32::MAX >> 1, &mut roots).is_none());
    }
}
