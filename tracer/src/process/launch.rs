//! Starting a program so that nothing of it is missed.
//!
//! heaptide starts itself as a *launcher*, which waits at a socket until every probe is in, and then becomes the program.
//! So the probes are attached to the very process, before the first instruction of the program.
//!
//! When children are to be followed, that is not enough: a probe of one process does not see its children before
//! somebody attaches to them, and they may have allocated by then. So the launcher gives the program a mount namespace of
//! its own, in which its allocator's library is a private copy. Probes on that copy see every process that maps it,
//! which are the program's descendants and nobody else, each from its first instruction on.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::{net::UnixStream as StdUnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use tempfile::TempDir;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    process::Child,
};

/// The launcher says that it is prepared.
const READY: u8 = b'r';
/// The launcher may become the program.
const GO: u8 = b'g';
/// The launcher's private copies could not be made; the reason follows.
const FAILED: u8 = b'f';
/// The program could not be executed; the errno follows.
const NOT_EXECUTED: u8 = b'x';

/// Why a program was not started.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The socket or the launcher could not be made.
    #[error("the launcher could not be started: {0}")]
    Launcher(#[from] io::Error),
    /// The launcher ended before it was prepared.
    #[error("the launcher ended before it was prepared")]
    Ended,
    /// The private copies could not be made.
    #[error("no private copy of the program's libraries could be made, which --follow needs: {0}")]
    Private(String),
    /// The program could not be executed.
    #[error("{program} cannot be executed: {source}")]
    NotExecuted {
        /// The program as it was named.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A launcher that waits for leave to become its program.
pub struct Launch {
    child: Child,
    stream: UnixStream,
    program: OsString,
    /// Holds the socket and the place for private copies; goes with this value.
    _directory: TempDir,
}

impl Launch {
    /// Starts a launcher for `command` (program and arguments) with private copies of the files `private`.
    pub async fn prepare(command: &[OsString], private: &[PathBuf]) -> Result<Self, LaunchError> {
        let directory = TempDir::with_prefix("heaptide-")?;
        let socket = directory.path().join("gate");
        let listener = UnixListener::bind(&socket)?;
        let mut launcher = tokio::process::Command::new("/proc/self/exe");
        launcher.arg("launch").arg(&socket);
        for file in private {
            launcher.arg("--private").arg(file);
        }
        let mut child = launcher.arg("--").args(command).spawn()?;
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = child.wait() => return Err(LaunchError::Ended),
        };
        let program = command.first().cloned().unwrap_or_default();
        let mut launch = Self { child, stream, program, _directory: directory };
        let mut answer = Vec::new();
        match launch.stream.read_u8().await {
            Ok(READY) => Ok(launch),
            Ok(FAILED) => {
                launch.stream.read_to_end(&mut answer).await?;
                Err(LaunchError::Private(String::from_utf8_lossy(&answer).into_owned()))
            }
            _ => Err(LaunchError::Ended),
        }
    }

    /// The process that will be the program.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Lets the launcher become the program; gives the running program.
    pub async fn go(mut self) -> Result<Child, LaunchError> {
        self.stream.write_u8(GO).await?;
        // The socket closes by itself when the program is in place.
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer).await?;
        match answer.split_first() {
            None => Ok(self.child),
            Some((&NOT_EXECUTED, errno)) if let Ok(errno) = errno.try_into() => {
                self.child.wait().await?;
                Err(LaunchError::NotExecuted {
                    program: super::printable(&self.program.to_string_lossy()),
                    source: io::Error::from_raw_os_error(i32::from_ne_bytes(errno)),
                })
            }
            Some(_) => Err(LaunchError::Ended),
        }
    }
}

/// The launcher itself: prepares, waits, and becomes the program. Returns only when it cannot.
pub fn launcher(socket: &Path, private: &[PathBuf], command: &[OsString]) -> io::Result<()> {
    let mut stream = StdUnixStream::connect(socket)?;
    if let Err(error) = make_private(socket.parent().unwrap_or(socket), private) {
        stream.write_all(&[FAILED])?;
        return stream.write_all(error.to_string().as_bytes());
    }
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments);
    // From here on it calls no allocator: the calls would count as those of the program.
    stream.write_all(&[READY])?;
    let mut leave = [0];
    if stream.read(&mut leave)? == 0 || leave != [GO] {
        return Ok(()); // heaptide has changed its mind, or is gone
    }
    let error = command.exec();
    stream.write_all(&[NOT_EXECUTED])?;
    stream.write_all(&error.raw_os_error().unwrap_or(0).to_ne_bytes())
}

const NONE: Option<&str> = None;

/// Puts a copy of each file in its place, for this process and its children alone.
fn make_private(directory: &Path, files: &[PathBuf]) -> io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What the host mounts later still arrives here; nothing goes back.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
    mount(Some("heaptide"), directory, Some("tmpfs"), MsFlags::empty(), NONE)?;
    for (number, file) in files.iter().enumerate() {
        let copy = directory.join(number.to_string());
        let target = file.canonicalize()?;
        std::fs::copy(&target, &copy)?;
        mount(Some(&copy), &target, NONE, MsFlags::MS_BIND, NONE)?;
    }
    // The copies stay where they are bound; their directory need not be seen.
    umount2(directory, MntFlags::MNT_DETACH)?;
    Ok(())
}
