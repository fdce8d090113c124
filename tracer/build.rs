//! Tells the program where its kernel part lies, so that the object is embedded when it has been built.
//!
//! `cargo xtask build` puts the object into the build directory (`target/bpf/heaptide.bpf.o`, also beneath
//! `CARGO_TARGET_DIR`). Without it an empty file is embedded instead: check, clippy and the offline tests need neither
//! root nor an eBPF compiler, and the program then says at run time that its kernel part is missing.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let target = variable("TARGET")?;
    let bpf_dir = build_dir(&out_dir, &target)?.join("bpf");

    // Cargo runs a build script at every call when what it watches does not exist: so the directory always does.
    // The directory's own time changes when the object appears or goes away, the object's when it is rebuilt.
    fs::create_dir_all(&bpf_dir)?;

    let mut object = bpf_dir.join("heaptide.bpf.o");
    if !object.is_file() {
        object = out_dir.join("absent.bpf.o");
        fs::write(&object, [])?;
    }

    let mut cargo = io::stdout().lock();
    writeln!(cargo, "cargo::rerun-if-changed=build.rs")?;
    writeln!(cargo, "cargo::rerun-if-changed={}", bpf_dir.display())?;
    writeln!(cargo, "cargo::rustc-env=HEAPTIDE_BPF_OBJECT={}", object.display())
}

/// The build directory, four folders above `OUT_DIR` (`<build dir>/<profile>/build/<package>/out`), or five when cargo
/// was given `--target` (`<build dir>/<target>/<profile>/…`).
fn build_dir<'a>(out_dir: &'a Path, target: &str) -> io::Result<&'a Path> {
    let mut above = out_dir.ancestors().skip(4).skip_while(|folder| folder.file_name() == Some(OsStr::new(target)));
    above.next().ok_or_else(|| io::Error::other(format!("no build directory above {}", out_dir.display())))
}

/// A variable that cargo gives to every build script.
fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}
