//! What the kernel will run for a command: the file that a name stands for, and the interpreters of scripts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::mapped::open_regular;

/// How often a script's interpreter may be a script itself: the kernel's own limit.
const MAX_LEVELS: usize = 4;
/// Longest first line of a script, in bytes: the kernel's own limit.
const MAX_LINE: u64 = 256;
/// Where the C library looks for programs when `PATH` is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file that runs when `name` is executed: `name` itself when it holds a slash, else the first executable file of
/// that name in the directories of `path` (the value of `PATH`).
///
/// Errors are those of `execvp`: not found, or found without the right to execute it.
pub fn find_program(name: &OsStr, path: Option<&OsStr>) -> io::Result<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return executable(PathBuf::from(name));
    }
    let mut refused = None;
    for directory in std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        match executable(directory.join(name)) {
            Ok(program) => return Ok(program),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused = Some(error),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

fn executable(path: PathBuf) -> io::Result<PathBuf> {
    let metadata = fs::metadata(&path)?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    access(&path, AccessFlags::X_OK)?;
    Ok(path)
}

/// The ELF files that run for `program`: itself, or for a script its interpreter; for `#!/usr/bin/env NAME` the
/// program that `env` will run as well.
pub(super) fn interpreters(program: &Path, path: Option<&OsStr>) -> io::Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    let mut current = program.to_owned();
    for _ in 0..=MAX_LEVELS {
        let Some(line) = first_line(&current)? else {
            programs.push(current);
            return Ok(programs);
        };
        let (interpreter, rest) = split_line(&line);
        if interpreter.is_empty() {
            return Err(io::Error::other("its first line names no interpreter"));
        }
        let interpreter = PathBuf::from(interpreter);
        let named = (interpreter.file_name() == Some(OsStr::new("env"))).then(|| env_program(&rest)).flatten();
        match named.and_then(|name| find_program(&name, path).ok()) {
            Some(next) => {
                programs.push(interpreter);
                current = next;
            }
            None => current = interpreter,
        }
    }
    Err(io::Error::other("its interpreter is a script whose interpreter is a script, and so on, too often"))
}

/// What follows `#!` in a script; `None` for anything else.
fn first_line(program: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut begin = Vec::new();
    open_regular(program)?.take(MAX_LINE).read_to_end(&mut begin)?;
    let Some(line) = begin.strip_prefix(b"#!") else { return Ok(None) };
    Ok(Some(line.split(|&byte| byte == b'\n' || byte == 0).next().unwrap_or_default().to_vec()))
}

/// The interpreter, and all that follows it.
fn split_line(line: &[u8]) -> (OsString, Vec<u8>) {
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    (OsString::from_vec(line[..end].to_vec()), line[end..].trim_ascii().to_vec())
}

/// The program that `env` runs: its first argument that is neither an option nor a variable.
fn env_program(arguments: &[u8]) -> Option<OsString> {
    let mut words = arguments.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.find(|word| word[0] != b'-' && !word.contains(&b'=')).map(|word| OsString::from_vec(word.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(directory: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_program_is_found_as_the_shell_finds_it() {
        let directory = tempfile::tempdir().unwrap();
        let (plain, run) = (directory.path().join("plain"), directory.path().join("run"));
        fs::create_dir_all(&plain).unwrap();
        fs::create_dir_all(&run).unwrap();
        script(&plain, "tool", "", 0o644);
        let tool = script(&run, "tool", "", 0o755);
        let both = std::env::join_paths([&plain, &run]).unwrap();
        assert_eq!(find_program(OsStr::new("tool"), Some(&both)).unwrap(), tool);
        assert_eq!(find_program(tool.as_os_str(), None).unwrap(), tool);
        let error = find_program(OsStr::new("tool"), Some(plain.as_os_str())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let error = find_program(OsStr::new("no such tool"), Some(&both)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(find_program(run.as_os_str(), None).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_script_runs_its_interpreter_and_env_runs_another_program() {
        let directory = tempfile::tempdir().unwrap();
        let binary = script(directory.path(), "binary", "\x7fELF", 0o755);
        let first = script(directory.path(), "first", &format!("#! {} -x\nbody", binary.display()), 0o755);
        let second = script(directory.path(), "second", &format!("#!{}\n", first.display()), 0o755);
        assert_eq!(interpreters(&second, None).unwrap(), std::slice::from_ref(&binary));
        let env = script(directory.path(), "env", "\x7fELF", 0o755);
        let third = script(directory.path(), "third", &format!("#!{} -S A=1 binary -u\n", env.display()), 0o755);
        assert_eq!(interpreters(&third, Some(directory.path().as_os_str())).unwrap(), [env, binary]);
    }

    #[test]
    fn a_script_that_interprets_itself_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loop");
        let path = script(directory.path(), "loop", &format!("#!{}\n", path.display()), 0o755);
        assert!(interpreters(&path, None).is_err());
        let empty = script(directory.path(), "empty", "#!\n", 0o755);
        assert!(interpreters(&empty, None).is_err());
    }
}
