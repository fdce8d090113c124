//! `cargo xtask demo`: traces a small leaking service and shows what heaptide says of it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::plan::Needs;
use crate::workspace::Workspace;
use crate::{build, process, setup};

const SOURCE: &str = "xtask/demo/service.c";

/// Frames must be walkable and each function must keep a frame of its own, so that the report shows the way to the leak.
const FLAGS: [&str; 7] =
    ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline", "-Wall", "-Werror"];

/// Builds heaptide and the service, traces the service for eight seconds, and ends it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    build::build(&setup::run(Needs::Build)?, workspace)?;

    let folder = workspace.demo();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let program = folder.join("service");
    process::run(Command::new("cc").args(FLAGS).arg("-o").arg(&program).arg(SOURCE))?;

    // Ctrl-C goes to heaptide too, which then ends the recording and reports; this program waits for that, so that it
    // can end the service. Until here it ends whatever is being built, as usual.
    ctrlc::set_handler(|| {}).context("cannot take over Ctrl-C")?;
    let service = Service::start(&program)?;
    let stacks = folder.join("demo.folded");
    process::say(&format!("demo: heaptide watches {SOURCE} for eight seconds (PID {})", service.pid()));
    process::run(&mut record(workspace, service.pid(), &stacks))?;
    drop(service);

    process::conclude(&format!(
        "\nfolded stacks: {0}\nas a flame graph (cargo install inferno):\n  \
         inferno-flamegraph --countname bytes --colors mem {0} > {1}",
        stacks.display(),
        stacks.with_extension("svg").display()
    ))
}

/// heaptide as its users call it: with sudo, unless this is root.
fn record(workspace: &Workspace, pid: u32, stacks: &Path) -> Command {
    let program = workspace.program();
    let mut record = if nix::unistd::geteuid().is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg(program);
        sudo
    };
    record.args(["record", "-p", &pid.to_string(), "-d", "8s", "--top", "5", "--folded"]).arg(stacks);
    record
}

/// The running service; it is ended when this goes.
///
/// The service also ends by itself when its standard input closes, and this holds the other end: so nothing is left
/// running even if this program is killed.
struct Service(Child);

impl Service {
    fn start(program: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        // In a process group of its own, Ctrl-C does not reach it: what is traced should outlive the trace.
        let child = Command::new(program).stdin(Stdio::piped()).process_group(0).spawn();
        Ok(Self(child.with_context(|| format!("cannot run {}", program.display()))?))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// `cat` serves as service: it too runs until its standard input closes.
    fn start() -> Service {
        Service::start(Path::new("cat")).unwrap()
    }

    fn proc_folder(service: &Service) -> PathBuf {
        PathBuf::from(format!("/proc/{}", service.pid()))
    }

    #[test]
    fn the_service_is_gone_when_its_guard_is() {
        let service = start();
        let folder = proc_folder(&service);
        assert!(folder.exists());
        drop(service);
        assert!(!folder.exists());
    }

    #[test]
    fn the_service_ends_when_nobody_holds_its_input() {
        let mut service = start();
        drop(service.0.stdin.take());
        assert!(service.0.wait().unwrap().success());
    }
}
