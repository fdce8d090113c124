//! The growth of memory alone: page faults of the traced processes, and which libraries have allocators.
//!
//! Page faults are software events of `perf_event_open(2)`: they belong to threads, so nobody else pays for them, and new
//! threads inherit them (`inherit_event` in `kernel/events/core.c` hands on the program, too). Minor and major faults are
//! counted by the kernel when they have been dealt with (`mm_account_fault` in `mm/memory.c`), each as one of the two.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
};
use heaptide_common::{offsets::GrowthOffsets, unwind::File};
use nix::{
    errno::Errno,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        stat::{major, minor},
    },
};
use perf_event::{Builder, Counter, events::Software};

use super::{
    AttachError, Kernel, Layout, LayoutError, LoadError,
    object::{Code, Purpose},
    take,
};
use crate::allocator::Found;

/// Rounds in which threads that were made meanwhile are looked for. A thread made by a watched one is watched, so each
/// round leaves fewer to be found.
const ROUNDS: usize = 64;

/// So many threads need no higher limit of open files: each needs two.
const FEW_THREADS: usize = 100;

/// What records the growth of memory.
pub(super) struct Growth {
    program: OwnedFd,
    /// Whether children of processes are watched.
    follow: bool,
    /// The events by process: closed, they end, also where they were inherited.
    events: HashMap<u32, Vec<Counter>>,
    allocators: BpfHashMap<MapData, File, u32>,
}

impl Growth {
    /// Loads the program.
    pub(super) fn load(code: &Code, bpf: &mut Ebpf, follow: bool) -> Result<Self, LoadError> {
        Ok(Self {
            program: code.load("page_fault", Purpose::PerfEvent)?,
            follow,
            events: HashMap::new(),
            allocators: BpfHashMap::try_from(take(bpf, "ALLOCATORS")?)?,
        })
    }

    /// The program.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// A process has ended. Its children's events would end with its own.
    pub(super) fn ended(&mut self, pid: u32) {
        if !self.follow {
            self.events.remove(&pid);
        }
    }

    fn watch(&mut self, pid: u32) -> io::Result<()> {
        let mut watched = HashSet::new();
        let mut events = Vec::new();
        for _ in 0..ROUNDS {
            let threads = threads(pid)?;
            if threads.len() > FEW_THREADS {
                raise_limit();
            }
            let before = watched.len();
            for thread in threads {
                if watched.insert(thread) {
                    match self.watch_thread(thread) {
                        Ok(both) => events.extend(both),
                        // It has ended meanwhile.
                        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            if watched.len() == before {
                break;
            }
        }
        self.events.insert(pid, events);
        Ok(())
    }

    fn watch_thread(&self, thread: i32) -> io::Result<[Counter; 2]> {
        Ok([self.event(thread, Software::PAGE_FAULTS_MIN)?, self.event(thread, Software::PAGE_FAULTS_MAJ)?])
    }

    fn event(&self, thread: i32, which: Software) -> io::Result<Counter> {
        let open = |threads_only| {
            let mut builder = Builder::new(which);
            builder.observe_pid(thread).any_cpu().inherit(true).inherit_thread(threads_only).sample_period(1);
            // The kernel touches a process's memory for it.
            builder.include_kernel().enabled(false).build()
        };
        // Kernels before 5.13 do not know that threads alone may inherit; the program looks at the process as well.
        let opened = match open(!self.follow) {
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => open(false),
            opened => opened,
        };
        let mut event = opened?;
        event.set_bpf(self.program.as_raw_fd())?;
        event.enable()?;
        Ok(event)
    }
}

/// The offsets that are needed for it; none are when only blocks are recorded.
pub(super) fn offsets(layout: &Layout, wanted: bool) -> Result<GrowthOffsets, LayoutError> {
    match layout.growth {
        None if wanted => Err(LayoutError::Missing { structure: "mm_struct", field: "brk" }),
        found => Ok(found.unwrap_or_default()),
    }
}

impl Kernel {
    /// Watches the page faults of all threads of process `pid`, and of those that it will start, with those of its children
    /// where they are traced. Does nothing where blocks are recorded.
    pub fn watch_faults(&mut self, pid: u32) -> Result<(), AttachError> {
        let Some(growth) = &mut self.growth else { return Ok(()) };
        growth.watch(pid).map_err(|source| AttachError::Faults { pid, source })
    }

    /// Says that the code of these libraries is an allocator's: what it maps is the heap's. Does nothing where blocks are
    /// recorded. A program that has its allocator within itself maps memory for other purposes, too, and is none.
    pub fn know_allocators(&mut self, found: &[Found]) -> Result<(), AttachError> {
        let Some(growth) = &mut self.growth else { return Ok(()) };
        let has_one = |found: &&Found| found.functions.iter().any(|function| function.role.is_heap());
        for found in found.iter().filter(has_one).filter(|found| is_library(&found.display)) {
            if let Ok(metadata) = fs::metadata(&found.path_to_attach) {
                let device = (major(metadata.dev()) as u32, minor(metadata.dev()) as u32);
                growth.allocators.insert(File::new(device, metadata.ino()), 1, 0)?;
            }
        }
        Ok(())
    }
}

/// Whether a file is called like a shared library: `libc.so.6`.
fn is_library(path: &str) -> bool {
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.ends_with(".so") || name.contains(".so.")
}

/// Lets heaptide open as many files as it may. A command that it starts has one thread, so this comes to no command.
fn raise_limit() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    if let Err(error) = limit.and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard)) {
        log::info!("the limit of open files stays as it is: {error}");
    }
}

/// The threads of a process.
fn threads(pid: u32) -> io::Result<Vec<i32>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::from(Errno::ESRCH),
        _ => error,
    })?;
    Ok(tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_told_by_its_name() {
        let names = ["/usr/lib/libc.so.6", "/opt/libjemalloc.so", "/usr/bin/python3.11", "/usr/bin/so", "/opt/a.sock"];
        assert_eq!(names.map(is_library), [true, true, false, false, false]);
    }

    #[test]
    fn all_threads_of_a_process_are_found() {
        let (begun, begins) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            begun.send(nix::unistd::gettid().as_raw()).unwrap();
            let _ = ends.recv();
        });
        let other = begins.recv().unwrap();
        let found = threads(std::process::id()).unwrap();
        assert!(found.contains(&other) && found.contains(&std::process::id().cast_signed()), "{found:?}");
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_said_to_be_gone() {
        assert_eq!(threads(u32::MAX).unwrap_err().raw_os_error(), Some(Errno::ESRCH as i32));
    }
}
