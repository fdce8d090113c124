//! A program under load: what it takes to start one, and to end it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use heaptide_tests::program::Program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a server may take to listen, or a program to start another.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// A program and what it is given to do.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    /// What it does while it is recorded.
    pub(crate) what: &'static str,
    /// Debian's packages, the program's own first.
    pub(crate) packages: &'static [&'static str],
    /// The file that is run: its entry point is where stacks end.
    pub(crate) program: &'static str,
    /// Starts it, with a folder of its own to work in.
    pub(crate) start: fn(&Path) -> Result<Running>,
}

/// A load that was started, or is about to be.
pub(crate) enum Running {
    /// A process to attach to. All end with this value, the last first: those that ask before the one that answers.
    Process { pid: u32, programs: Vec<Program> },
    /// A command for heaptide to start, with its children.
    Command(Command),
}

impl Running {
    /// The first program is recorded; the others make it work.
    pub(crate) fn programs(programs: Vec<Program>) -> Result<Self> {
        let pid = programs.first().context("no program was started")?.pid();
        Ok(Self::Process { pid, programs })
    }

    /// A child of the first program is recorded, which is process `pid`.
    pub(crate) fn child(pid: u32, programs: Vec<Program>) -> Self {
        Self::Process { pid, programs }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Process { pid, programs } = self {
            // A child would go on without its parent.
            let child = programs.first().is_some_and(|program| program.pid() != *pid);
            if let (true, Ok(pid)) = (child, i32::try_from(*pid)) {
                // Ended already: as wanted.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            while programs.pop().is_some() {}
        }
    }
}

/// A file of the folder `xtask/completeness`.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completeness").join(name)
}

/// A port of the loopback interface at which nothing listens.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on the loopback interface")?;
    Ok(listener.local_addr().context("a listener has an address")?.port())
}

/// Waits until something listens at `port` of the loopback interface.
pub(crate) fn wait_for_port(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    wait_for(&format!("server at port {port}"), || TcpStream::connect(address).is_ok().then_some(()))
}

/// Waits for a child of process `pid`, and gives its id.
pub(crate) fn wait_for_child(pid: u32) -> Result<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let first = || std::fs::read_to_string(&path).ok()?.split_whitespace().next()?.parse().ok();
    wait_for(&format!("child of process {pid}"), first)
}

fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("no {what} within {PATIENCE:?}");
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_waited_for() {
        let port = free_port().unwrap();
        let server = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
            listener.accept().unwrap();
        });
        wait_for_port(port).unwrap();
        server.join().unwrap();
    }

    #[test]
    fn a_child_is_found() {
        // The child reads until its parent's input ends.
        let program = Program::start(Command::new("sh").args(["-c", "exec 3<&0; cat <&3 & wait"])).unwrap();
        let child = wait_for_child(program.pid()).unwrap();
        assert!(Path::new(&format!("/proc/{child}")).exists());
    }
}
