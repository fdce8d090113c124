//! Functions get their names whatever became of the file that they are in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::program::Program;
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, compare, truth};
use tempfile::TempDir;

fn loads(options: &[&str]) -> Result<Workload> {
    let plugin = build::workload("plugin")?;
    let plugin = plugin.to_str().context("a path of the build is text")?;
    Workload::start("loads", &[options, &[plugin]].concat())
}

#[test]
fn a_library_loaded_while_attached_gives_names_after_the_end_of_its_process() -> Result<()> {
    let mut workload = loads(&[])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    workload.hear("loaded")?;
    // heaptide looks at the new addresses within some milliseconds; the machine may be busy.
    std::thread::sleep(std::time::Duration::from_secs(2));
    workload.tell("go on")?;
    let accounts = workload.done()?;
    ensure!(workload.end()?.status.success(), "the target did not end well");
    compare::same("loads", &accounts, &recording.end()?.profile)
}

#[test]
fn an_unloaded_library_still_gives_names() -> Result<()> {
    let mut workload = loads(&["unload"])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    workload.hear("loaded")?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    workload.tell("go on")?;
    let accounts = workload.done()?;
    compare::same("loads and unloads", &accounts, &recording.stop()?.profile)
}

#[test]
fn a_library_that_comes_and_goes_is_known_from_the_start() -> Result<()> {
    let plugin = build::workload("plugin")?;
    let plugin = plugin.to_str().context("a path of the build is text")?;
    let report = Recording::command("loads", &["unload", plugin], &[])?.end()?;
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    compare::same("loads and unloads, from its start", &accounts, &report.profile)
}

/// The workload `name`, copied to `folder` and started there.
fn moved(name: &str, folder: &Path) -> Result<(Workload, PathBuf)> {
    let path = folder.join(name);
    fs::copy(build::workload(name)?, &path)?;
    Ok((Workload::run(Command::new(&path).arg("wait"))?, path))
}

#[test]
fn a_deleted_program_gives_names() -> Result<()> {
    let folder = TempDir::new()?;
    let (mut workload, path) = moved("functions", folder.path())?;
    fs::remove_file(path)?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    compare::same("functions, deleted", &accounts, &recording.stop()?.profile)
}

#[test]
fn a_replaced_program_gives_the_names_of_the_one_that_runs() -> Result<()> {
    let folder = TempDir::new()?;
    let (mut workload, path) = moved("functions", folder.path())?;
    fs::remove_file(&path)?;
    fs::copy(build::workload("realloc")?, &path)?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    compare::same("functions, replaced", &accounts, &recording.stop()?.profile)
}

/// The libraries of a program, and its loader, as `ldd` knows them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let ended = Program::start(Command::new("ldd").arg(program))?.end()?;
    let libraries: Vec<PathBuf> = ended
        .out
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    ensure!(libraries.len() >= 2, "the libraries are not known: {ended:?}");
    Ok(libraries)
}

#[test]
fn a_process_in_another_mount_namespace_is_recorded_by_its_own_library() -> Result<()> {
    let folder = TempDir::new()?;
    let program = build::workload("functions")?;
    let libc = libraries(&program)?.into_iter().find(|path| path.ends_with("libc.so.6")).context("no libc")?;
    let copy = folder.path().join("libc.so.6");
    fs::copy(&libc, &copy)?;
    let script = r#"mount --bind "$1" "$(readlink -f "$2")" && exec "$3" wait"#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).args([&copy, &libc, &program]);
    let mut workload = Workload::run(&mut command)?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    compare::same("functions, with a library of its own", &accounts, &recording.stop()?.profile)
}

#[test]
fn a_process_with_another_root_is_recorded() -> Result<()> {
    let root = TempDir::new()?;
    let program = build::workload("functions")?;
    let inside = |path: &Path| root.path().join(path.strip_prefix("/").unwrap_or(path));
    for library in libraries(&program)? {
        let copy = inside(&library);
        fs::create_dir_all(copy.parent().context("a library is in a folder")?)?;
        fs::copy(&library, &copy)?;
    }
    fs::copy(&program, root.path().join("program"))?;
    let mut command = Command::new("chroot");
    command.arg(root.path()).args(["/program", "wait"]);
    let mut workload = Workload::run(&mut command)?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    compare::same("functions, with another root", &accounts, &recording.stop()?.profile)
}
