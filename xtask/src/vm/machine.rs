//! One emulated machine, from its switching on to its end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::console::Console;
use super::emulator::Emulator;
use super::kernel::Kernel;

/// How long a machine may run.
const LIMIT: Duration = Duration::from_mins(15);

/// How long it may go on after its kernel has complained, to say all of it.
const AFTER_COMPLAINT: Duration = Duration::from_secs(10);

/// Boots `kernel` from `initramfs`, and gives what it said when the machine has switched itself off. What is written to its
/// second serial line goes to the file `results`.
pub(super) fn run(emulator: &Emulator, kernel: &Kernel, initramfs: &Path, results: &Path) -> Result<Console> {
    // What an earlier run left must never pass for this one's.
    drop(fs::remove_file(results));
    let mut command = emulator.command();
    // One thread for both processors: with a thread each, the emulator goes on running instructions that the kernel has
    // replaced on the other one, as it does whenever the kernel's statistics of BPF are switched on.
    command.args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "1536"]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(["-serial", "stdio", "-serial"]).arg(format!("file:{}", results.display()));
    command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    // An oops ends the machine, and the machine does not begin anew.
    command.args(["-append", "console=ttyS0 panic=-1 oops=panic"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the emulator")?;
    let mut machine = Machine(child);

    let output = machine.0.stdout.take().context("the emulator has no output")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            // Nobody listens any more.
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });

    let mut console = Console::default();
    let mut end = Instant::now() + LIMIT;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if console.take(&line) {
                    end = end.min(Instant::now() + AFTER_COMPLAINT);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                console.check()?;
                bail!("it did not come to its end within {} s; {}", LIMIT.as_secs(), console.last());
            }
        }
    }
    Ok(console)
}

/// The emulator's process, which ends with this.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail when it has ended and was waited for: as wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
