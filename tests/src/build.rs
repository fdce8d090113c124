//! Builds the workloads on demand, each once.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What every C and C++ workload needs: frames that can be walked by frame pointers, and every call left in place.
const COMPILER_FLAGS: &[&str] = &[
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-fno-builtin",
    "-pthread",
    "-Wall",
    "-Wextra",
    "-Werror",
];

/// The program of the workload `name`, built when it is missing or older than what it is made of.
pub fn workload(name: &str) -> Result<PathBuf> {
    let source = source(name)?;
    let folder = target_folder().join("workloads");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Tests run in several threads and programs: one builds, the others wait for it. Held until the end of the scope.
    let lock = File::create(folder.join(".lock")).context("cannot create the lock of the workloads")?;
    lock.lock().context("cannot lock the workloads")?;

    let program = folder.join(name);
    if is_older(&program, &source)? {
        // Under another name first: a program that was built in part must never look like a whole one.
        let unfinished = folder.join(format!("{name}.unfinished"));
        compile(name, &source, &unfinished)?;
        fs::rename(&unfinished, &program).with_context(|| format!("cannot rename {}", unfinished.display()))?;
    }
    Ok(program)
}

/// Cargo's target folder.
pub(crate) fn target_folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace.join(folder),
        None => workspace.join("target"),
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads")
}

fn source(name: &str) -> Result<PathBuf> {
    let candidates = ["c", "cpp", "rs"].map(|language| sources().join(format!("{name}.{language}")));
    match candidates.into_iter().find(|candidate| candidate.exists()) {
        Some(source) => Ok(source),
        None => bail!("there is no workload {name} in {}", sources().display()),
    }
}

/// Whether `program` is missing, or older than its source, what the source includes, or this program with its flags.
fn is_older(program: &Path, source: &Path) -> Result<bool> {
    let Ok(built) = fs::metadata(program).and_then(|metadata| metadata.modified()) else { return Ok(true) };
    let made_of = [source.to_owned(), sources().join("truth.h"), sources().join("truth.rs"), env::current_exe()?];
    for input in made_of {
        if fs::metadata(&input)?.modified()? >= built {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compile(name: &str, source: &Path, program: &Path) -> Result<()> {
    let mut compiler = match source.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => {
            let mut rustc = Command::new("rustc");
            rustc.args([
                "--edition=2024",
                "-O",
                "-g",
                "-Cforce-frame-pointers=yes",
                "-Dwarnings",
                "--crate-name",
                name,
            ]);
            rustc
        }
        Some("cpp") => {
            let mut cpp = Command::new("g++");
            // The compiler may drop pairs of new and delete otherwise.
            cpp.args(COMPILER_FLAGS).args(["-std=c++17", "-fno-allocation-dce"]);
            cpp
        }
        _ => {
            let mut c = Command::new("gcc");
            c.args(COMPILER_FLAGS);
            match name {
                "bare" => c.args(["-static", "-nostdlib"]),
                // A library that a workload loads while it runs.
                "plugin" => c.args(["-shared", "-fPIC"]),
                _ => &mut c,
            };
            c
        }
    };
    let output = compiler.arg(source).arg("-o").arg(program).output();
    let output = output.with_context(|| format!("cannot run {}", compiler.get_program().display()))?;
    if !output.status.success() {
        bail!("cannot build the workload {name}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
