//! Runs other programs, and talks to whoever runs this one.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Writes one line to standard error, where what `cargo xtask` says while it works goes.
pub(crate) fn say(line: &str) {
    // Nobody is left to be told when standard error is gone, and the work itself can still be done.
    drop(writeln!(io::stderr(), "{line}"));
}

/// Writes a task's result to standard output, where the results of the programs that it ran went too.
pub(crate) fn conclude(line: &str) -> Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

/// Cargo, as it was called to run this program; its rustup toolchain stays the same through the environment.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a program to its end with this program's own terminal. Fails, naming the command, unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    ensure!(status.success(), "{} failed: {status}", shown(command));
    Ok(())
}

/// Runs a program to its end and gives what it wrote to standard output. Fails, with what it wrote to standard error,
/// unless it succeeds.
pub(crate) fn read(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}\n{}", shown(command), output.status, words.trim_end());
    }
    Ok(output.stdout)
}

/// The command as one would type it, without its environment.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_named_with_its_arguments() {
        let error = run(Command::new("false").arg("--really")).unwrap_err();
        assert!(error.to_string().starts_with("false --really failed: "), "{error}");
    }

    #[test]
    fn what_a_failing_program_said_is_passed_on() {
        let error = read(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("no such thing"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("heaptide-no-such-program")).unwrap_err();
        assert_eq!(error.to_string(), "cannot run heaptide-no-such-program");
    }
}
