//! A process to be traced: checked before anything is attached to it, and told apart from whichever process may get
//! its number later.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::kill;
use nix::unistd::Uid;
use object::elf::{ELFCLASS64, ELFMAG};
use procfs::process::{Process, Stat};
use procfs::{ProcError, ProcResult};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// `PF_KTHREAD` of the kernel's `linux/sched.h`: a thread of the kernel's own.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// A living 64-bit process that heaptide may read.
#[derive(Debug)]
pub struct Target {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since the system did: with `pid`, its identity.
    pub start_time: u64,
    /// The command's name, as the kernel keeps it (15 bytes), without control characters.
    pub name: String,
    pidfd: OwnedFd,
}

/// Why a process cannot be traced.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No process has this id.
    #[error("no process has the id {pid} (`pgrep -l NAME` lists the ids of a program)")]
    NoSuchProcess {
        /// What was asked for.
        pid: u32,
    },
    /// The id is that of one thread of a process.
    #[error("{tid} is a thread of process {pid} (use `-p {pid}`)")]
    Thread {
        /// What was asked for.
        tid: u32,
        /// The process that it belongs to.
        pid: u32,
    },
    /// heaptide itself.
    #[error("process {pid} is heaptide itself (name another process)")]
    Myself {
        /// heaptide's id.
        pid: u32,
    },
    /// A thread of the kernel: it has no memory of its own.
    #[error("process {pid} ({name}) is a kernel thread, without memory of its own (name another process)")]
    KernelThread {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// It has ended, and its parent has not asked how.
    #[error("process {pid} ({name}) has ended already, and is kept by its parent only (name another process)")]
    Zombie {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// It is another user's, or protects itself.
    #[error("process {pid} may not be read: {reason}")]
    NotAllowed {
        /// Its id.
        pid: u32,
        /// Which right is missing, and what to do.
        reason: String,
    },
    /// heaptide reads 64-bit processes only.
    #[error("process {pid} ({name}) is a 32-bit program: heaptide reads 64-bit programs only")]
    NotSupported {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// Something else went wrong.
    #[error("cannot examine process {pid}")]
    Examine {
        /// Its id.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Target {
    /// Checks that `pid` is a living process that can be traced.
    pub fn check(pid: u32) -> Result<Self, TargetError> {
        if pid == std::process::id() {
            return Err(TargetError::Myself { pid });
        }
        let number = i32::try_from(pid).ok().filter(|&number| number > 0);
        let number = number.ok_or(TargetError::NoSuchProcess { pid })?;
        let process = Process::new(number).map_err(|error| unreadable(pid, error))?;
        let status = process.status().map_err(|error| unreadable(pid, error))?;
        if status.tgid != number {
            return Err(TargetError::Thread { tid: pid, pid: status.tgid.cast_unsigned() });
        }
        let pidfd = open_pidfd(pid, number)?;
        let stat = process.stat().map_err(|error| unreadable(pid, error))?;
        let name = printable(&stat.comm);
        check_kind(pid, &name, &stat)?;
        let is_64_bit = is_readable(pid).and_then(|()| is_64_bit(pid));
        if !is_64_bit.map_err(|error| refused(pid, status.euid, error))? {
            return Err(TargetError::NotSupported { pid, name });
        }
        let target = Self { pid, start_time: stat.starttime, name, pidfd };
        // Still alive: so all of the above was said of one process, the one that the pidfd stands for.
        if target.has_ended().map_err(|source| TargetError::Examine { pid, source })? {
            return Err(TargetError::NoSuchProcess { pid });
        }
        Ok(target)
    }

    /// Becomes readable (`poll`) when the process ends; never stands for another process.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Whether the process has ended.
    pub fn has_ended(&self) -> io::Result<bool> {
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut polled, PollTimeout::ZERO)? > 0)
    }
}

fn open_pidfd(pid: u32, number: i32) -> Result<OwnedFd, TargetError> {
    let raw = Pid::from_raw(number).ok_or(TargetError::NoSuchProcess { pid })?;
    pidfd_open(raw, PidfdFlags::empty()).map_err(|error| match error {
        rustix::io::Errno::SRCH => TargetError::NoSuchProcess { pid },
        error => TargetError::Examine { pid, source: error.into() },
    })
}

fn check_kind(pid: u32, name: &str, stat: &Stat) -> Result<(), TargetError> {
    let name = name.to_owned();
    match stat.state {
        'Z' | 'X' | 'x' => Err(TargetError::Zombie { pid, name }),
        _ if stat.flags & KERNEL_THREAD != 0 => Err(TargetError::KernelThread { pid, name }),
        _ => Ok(()),
    }
}

/// Whether the kernel lets heaptide read the process's mappings, which needs the same right as its memory.
fn is_readable(pid: u32) -> io::Result<()> {
    // Opening asks for the right; the first byte tells whether the process still has memory.
    let mut first = [0];
    File::open(format!("/proc/{pid}/maps"))?.read(&mut first).map(|_| ())
}

fn is_64_bit(pid: u32) -> io::Result<bool> {
    is_64_bit_file(File::open(format!("/proc/{pid}/exe"))?)
}

fn is_64_bit_file(mut file: impl Read) -> io::Result<bool> {
    let mut ident = [0; 5];
    file.read_exact(&mut ident)?;
    Ok(ident[..4] == ELFMAG && ident[4] == ELFCLASS64)
}

fn unreadable(pid: u32, error: ProcError) -> TargetError {
    match error {
        ProcError::NotFound(_) if is_hidden(pid) => TargetError::NotAllowed {
            pid,
            reason: "/proc hides other users' processes (run heaptide with sudo)".to_owned(),
        },
        ProcError::NotFound(_) => TargetError::NoSuchProcess { pid },
        ProcError::PermissionDenied(_) => refused(pid, Uid::effective().as_raw(), io::Error::from(Errno::EACCES)),
        // The process ended while its file was read.
        ProcError::Io(error, _) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {
            TargetError::NoSuchProcess { pid }
        }
        error => TargetError::Examine { pid, source: io::Error::other(error.to_string()) },
    }
}

/// Whether a process exists that /proc does not show (mounted with `hidepid`). No signal is sent.
fn is_hidden(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|number| kill(nix::unistd::Pid::from_raw(number), None) == Err(Errno::EPERM))
}

fn refused(pid: u32, owner: u32, source: io::Error) -> TargetError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => TargetError::NotAllowed { pid, reason: missing_right(owner) },
        // Its files in /proc lead nowhere any more.
        io::ErrorKind::NotFound => TargetError::NoSuchProcess { pid },
        _ if source.raw_os_error() == Some(Errno::ESRCH as i32) => TargetError::NoSuchProcess { pid },
        _ => TargetError::Examine { pid, source },
    }
}

fn missing_right(owner: u32) -> String {
    let own = Uid::effective().as_raw();
    if owner == own {
        "it protects itself (it changed its user, or its file has capabilities), and CAP_SYS_PTRACE is missing (run \
         heaptide with sudo)"
            .to_owned()
    } else {
        format!(
            "it belongs to user {owner}, heaptide runs as user {own} without CAP_SYS_PTRACE (run heaptide with sudo)"
        )
    }
}

/// `text` for a terminal: control characters, which would be obeyed there, become `?`.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_invisible(c) { '?' } else { c }).collect()
}

/// Characters that change the order in which a line is shown.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// When the process `pid` started, in clock ticks since the system did: with its id, its identity.
pub fn start_time(pid: u32) -> ProcResult<u64> {
    Ok(Process::new(pid.cast_signed())?.stat()?.starttime)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Child, Command, Stdio};
    use std::thread;

    use super::*;

    /// Lives until its standard input is closed.
    fn child() -> Child {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_living_child_is_a_target_until_it_ends() {
        let mut child = child();
        let target = Target::check(child.id()).unwrap();
        assert_eq!((target.pid, target.name.as_str()), (child.id(), "cat"));
        assert_eq!(target.start_time, start_time(child.id()).unwrap());
        assert!(!target.has_ended().unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(target.has_ended().unwrap());
        assert!(matches!(Target::check(child.id()), Err(TargetError::NoSuchProcess { .. })));
    }

    #[test]
    fn an_ended_child_that_nobody_asked_for_is_a_zombie() {
        let mut child = child();
        let pidfd = open_pidfd(child.id(), child.id().cast_signed()).unwrap();
        drop(child.stdin.take());
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        let error = Target::check(child.id()).unwrap_err();
        child.wait().unwrap();
        assert!(matches!(error, TargetError::Zombie { .. }), "{error}");
    }

    #[test]
    fn heaptide_itself_and_numbers_without_a_process_are_refused() {
        assert!(matches!(Target::check(std::process::id()), Err(TargetError::Myself { .. })));
        for pid in [0, i32::MAX as u32, u32::MAX] {
            assert!(matches!(Target::check(pid), Err(TargetError::NoSuchProcess { .. })), "{pid}");
        }
    }

    #[test]
    fn a_thread_is_refused_with_the_id_of_its_process() {
        let (send, receive) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || receive.recv());
        let own = std::process::id();
        let ids = fs::read_dir("/proc/self/task").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let tid = ids.map(|id| id.parse::<u32>().unwrap()).find(|&id| id != own).unwrap();
        let error = Target::check(tid).unwrap_err();
        drop(send);
        thread.join().unwrap().unwrap_err();
        assert_eq!(error.to_string(), format!("{tid} is a thread of process {own} (use `-p {own}`)"));
    }

    #[test]
    fn a_thread_of_the_kernel_is_refused() {
        // In a container there may be none.
        if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
            assert!(matches!(Target::check(2), Err(TargetError::KernelThread { .. })));
        }
    }

    #[test]
    fn only_an_elf_file_of_the_64_bit_class_is_a_64_bit_program() {
        assert!(is_64_bit_file(b"\x7fELF\x02 and more".as_slice()).unwrap());
        assert!(!is_64_bit_file(b"\x7fELF\x01 and more".as_slice()).unwrap());
        assert!(!is_64_bit_file(b"MZ\0\0\x02 and more".as_slice()).unwrap());
        assert!(is_64_bit_file(b"\x7fEL".as_slice()).is_err());
    }

    #[test]
    fn the_right_that_is_missing_is_named() {
        let error = refused(7, Uid::effective().as_raw() + 1, Errno::EACCES.into());
        assert!(error.to_string().contains("CAP_SYS_PTRACE") && error.to_string().contains("belongs to user"));
        let error = refused(7, Uid::effective().as_raw(), Errno::EPERM.into());
        assert!(error.to_string().contains("CAP_SYS_PTRACE") && error.to_string().contains("protects itself"));
    }

    #[test]
    fn control_characters_never_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{202e}c\u{9b}"), "a?[2Jb??c?");
        assert_eq!(printable("größe 大"), "größe 大");
    }
}
