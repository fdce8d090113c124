//! Builds the workloads on demand, each once.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

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

/// What those in C++ need besides: the compiler may drop pairs of new and delete otherwise.
const CPP_FLAGS: &[&str] = &["-std=c++17", "-fno-allocation-dce"];

/// The program of the workload `name`, built when it is missing or older than what it is made of.
pub fn workload(name: &str) -> Result<PathBuf> {
    if let Some(program) = prebuilt(name)? {
        return Ok(program);
    }
    let source = source(name)?;
    built(name, &source, |program| compile(name, &source, program))
}

/// The text that the workload `name` is made of.
pub fn workload_source(name: &str) -> Result<String> {
    let source = source(name)?;
    fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))
}

/// The program of the workload `name`, without frame pointers and optimized at `level` (1 or 2), as most programs are
/// built. Workloads in C have the shared library `stacks_library.c`, built likewise, but for those about growth.
pub fn without_frame_pointers(name: &str, level: u8) -> Result<PathBuf> {
    let file = format!("{name}-O{level}");
    if let Some(program) = prebuilt(&file)? {
        return Ok(program);
    }
    let source = source(name)?;
    if wants_library(&source) {
        let library = self::source(LIBRARY)?;
        built(&library_file(level), &library, |file| {
            run(frameless_c("gcc", level).args(["-fPIC", "-shared"]).arg(&library).arg("-o").arg(file))
        })?;
    }
    built(&file, &source, |program| run(&mut frameless(&source, program, level)))
}

/// How a program gets its allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// glibc is part of it.
    Static,
    /// glibc is part of it, and it can be mapped anywhere.
    StaticPie,
    /// musl is part of it.
    Musl,
    /// It needs musl's library.
    MuslLibrary,
    /// It needs this library besides the C library.
    To(&'static str),
}

/// The program of the workload `name`, linked so.
pub fn linked(name: &str, linked: Linked) -> Result<PathBuf> {
    let file = match linked {
        Linked::Static => format!("{name}-static"),
        Linked::StaticPie => format!("{name}-static-pie"),
        Linked::Musl => format!("{name}-musl"),
        Linked::MuslLibrary => format!("{name}-musl-library"),
        Linked::To(library) => format!("{name}-{library}"),
    };
    if let Some(program) = prebuilt(&file)? {
        return Ok(program);
    }
    let source = source(name)?;
    let is_cpp = source.extension().is_some_and(|extension| extension == "cpp");
    let compiler = match linked {
        Linked::Musl | Linked::MuslLibrary => "musl-gcc",
        _ if is_cpp => "g++",
        _ => "gcc",
    };
    built(&file, &source, |program| {
        let mut command = Command::new(compiler);
        command.args(COMPILER_FLAGS).arg(&source).arg("-o").arg(program);
        if is_cpp {
            command.args(CPP_FLAGS);
        }
        run(match linked {
            Linked::Static | Linked::Musl => command.arg("-static"),
            Linked::StaticPie => command.arg("-static-pie"),
            Linked::MuslLibrary => &mut command,
            // Whether it is used or not.
            Linked::To(library) => command.args(["-Wl,--no-as-needed".to_owned(), format!("-l:{library}")]),
        })
    })
}

/// The environment variable that names a folder of workloads that were built already, for machines without compilers.
/// Nothing is built then, and no source is needed.
pub const PREBUILT: &str = "HEAPTIDE_WORKLOADS";

/// The file `name` of [`PREBUILT`], when that is set.
fn prebuilt(name: &str) -> Result<Option<PathBuf>> {
    let Some(folder) = env::var_os(PREBUILT) else { return Ok(None) };
    let program = Path::new(&folder).join(name);
    ensure!(program.exists(), "there is no {} (the folder is of {PREBUILT})", program.display());
    Ok(Some(program))
}

/// The file `name` in the folder of built workloads, made by `make` when it is missing or older than what it is made of.
fn built(name: &str, source: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let included = ["truth.h", "truth.rs", "stacks.h", "stacks_asm.h", "plugin_frame.h", "grows.h"]
        .map(|name| sources().join(name));
    let inputs: Vec<PathBuf> = [source.to_owned()].into_iter().chain(included).collect();
    made("workloads", name, &inputs, make)
}

/// The file `name` in a folder of cargo's target folder, made by `make` when it is missing or older than its `inputs`, or
/// than this program with its flags.
pub(crate) fn made(
    folder: &str,
    name: &str,
    inputs: &[PathBuf],
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = target_folder().join(folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Tests run in several threads and programs: one builds, the others wait for it. Held until the end of the scope.
    let lock = File::create(folder.join(".lock")).context("cannot create the lock of what is built")?;
    lock.lock().context("cannot lock what is built")?;

    let program = folder.join(name);
    if is_older(&program, inputs)? {
        // Under another name first: a program that was built in part must never look like a whole one.
        let unfinished = folder.join(format!("{name}.unfinished"));
        make(&unfinished).with_context(|| format!("cannot build {name}"))?;
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

/// The text of a workload that an interpreter runs: `file` in the folder of workloads.
pub fn script(file: &str) -> Result<PathBuf> {
    let script = sources().join(file);
    ensure!(script.exists(), "there is no {}", script.display());
    Ok(script)
}

fn source(name: &str) -> Result<PathBuf> {
    let candidates = ["c", "cpp", "rs"].map(|language| sources().join(format!("{name}.{language}")));
    match candidates.into_iter().find(|candidate| candidate.exists()) {
        Some(source) => Ok(source),
        None => bail!("there is no workload {name} in {}", sources().display()),
    }
}

/// Whether `program` is missing, or older than what it is made of, or this program with its flags.
fn is_older(program: &Path, inputs: &[PathBuf]) -> Result<bool> {
    let Ok(built) = fs::metadata(program).and_then(|metadata| metadata.modified()) else { return Ok(true) };
    for input in inputs.iter().chain([&env::current_exe()?]) {
        let changed = fs::metadata(input).and_then(|metadata| metadata.modified());
        if changed.with_context(|| format!("cannot look at {}", input.display()))? >= built {
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
            cpp.args(COMPILER_FLAGS).args(CPP_FLAGS);
            cpp
        }
        _ => {
            let mut c = Command::new("gcc");
            c.args(COMPILER_FLAGS);
            match name {
                "bare" => c.args(["-static", "-nostdlib"]),
                // A library that a workload loads while it runs.
                "plugin" | "plugin_small" | "plugin_large" | "layers_library" | "libcudart.so" => {
                    c.args(["-shared", "-fPIC"])
                }
                _ => &mut c,
            };
            c
        }
    };
    // After the source, which needs it: a library of the system, without its development files.
    let library = match name {
        "named_sqlite" => Some("-l:libsqlite3.so.0"),
        "named_openssl" => Some("-l:libcrypto.so.3"),
        "named_glib" => Some("-l:libglib-2.0.so.0"),
        _ => None,
    };
    run(compiler.arg(source).arg("-o").arg(program).args(library))
}

/// The shared library of the workloads without frame pointers.
const LIBRARY: &str = "stacks_library";

fn wants_library(source: &Path) -> bool {
    let grows = source.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("grows_"));
    !grows && source.extension().is_some_and(|extension| extension == "c")
}

fn library_file(level: u8) -> String {
    format!("lib{LIBRARY}-O{level}.so")
}

/// A C or C++ compiler that leaves frame pointers out.
fn frameless_c(compiler: &str, level: u8) -> Command {
    let mut command = Command::new(compiler);
    command.arg(format!("-O{level}"));
    command.args(["-g", "-fomit-frame-pointer", "-pthread", "-Wall", "-Wextra", "-Werror"]);
    command
}

fn frameless(source: &Path, program: &Path, level: u8) -> Command {
    let mut compiler = match source.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => {
            let mut rustc = Command::new("rustc");
            rustc.args(["--edition=2024", "-g", "-Dwarnings", "--crate-name", "stacks"]);
            rustc.arg(format!("-Copt-level={level}"));
            rustc
        }
        Some("cpp") => {
            let mut cpp = frameless_c("g++", level);
            cpp.arg("-std=c++17");
            cpp
        }
        _ => frameless_c("gcc", level),
    };
    compiler.arg(source).arg("-o").arg(program);
    if wants_library(source) {
        // Bound at the first call, so that the whole of a stub is run.
        let library = format!("-l:{}", library_file(level));
        let folder = program.parent().unwrap_or(program);
        compiler.arg("-L").arg(folder).args([&library, "-Wl,-rpath,$ORIGIN", "-Wl,-z,lazy"]);
    } else if source.extension().is_some_and(|extension| extension == "c") {
        compiler.arg("-lm");
    }
    compiler
}

pub(crate) fn run(compiler: &mut Command) -> Result<()> {
    let output = compiler.output();
    let output = output.with_context(|| format!("cannot run {}", compiler.get_program().display()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
