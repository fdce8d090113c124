//! The files that a machine boots from: an archive that the kernel unpacks into memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::{build, pace};

use super::package;
use super::selection::Selection;
use crate::process;
use crate::workspace::Workspace;

/// How many times slower than a usual machine the tests shall take an emulated one to be.
const SLOWNESS: u32 = 8;

/// The workloads of the tests about truth, about sampling, about coverage, about named allocators, and about growth.
const WORKLOADS: [&str; 20] = [
    "before_main",
    "calls",
    "failing",
    "first_free",
    "functions",
    "layers",
    "layers_library",
    "mappings",
    "middle",
    "obeys",
    "operators",
    "realloc",
    "reuse",
    "threads",
    "vectors",
    "ways",
    "fork",
    "generations",
    "growth",
    "vfork",
];

/// Those of the tests about equality, with their optimization.
const FRAMELESS: [(&str, u8); 2] = [("stacks_c", 2), ("stacks_rust", 3)];

/// Makes the archive, in `folder`.
pub(super) fn make(folder: &Path, selection: &Selection, workspace: &Workspace) -> Result<PathBuf> {
    let busybox = package::unpacked(folder, "busybox-static", &["busybox-static".to_owned()])?.join("bin/busybox");
    let root = Root::new(folder.join("root"))?;
    for empty in ["proc", "sys", "dev", "tmp"] {
        root.folder(empty)?;
    }
    root.copy(&busybox, "bin/busybox")?;
    // Workloads run it; busybox does what its name says.
    root.copy(&busybox, "bin/true")?;
    root.copy(&workspace.program(), "heaptide")?;
    root.copy(&selection.program, "on_kernel")?;
    let mut programs = vec![workspace.program(), selection.program.clone()];
    for workload in workloads()? {
        let name = workload.file_name().context("a workload has a name")?.to_string_lossy().into_owned();
        root.copy(&workload, format!("workloads/{name}"))?;
        programs.push(workload);
    }
    for library in libraries(&programs)? {
        root.copy(&library, library.strip_prefix("/").unwrap_or(&library))?;
    }
    root.write("tests", &selection.names.join("\n"))?;
    root.write("init", &init())?;
    let archive = folder.join("initramfs.cpio");
    root.pack(&busybox, &archive)?;
    Ok(archive)
}

/// What the kernel starts: it runs the tests, and switches the machine off.
fn init() -> String {
    let (workloads, slowness) = (build::PREBUILT, pace::SLOWNESS);
    format!(
        "#!/bin/busybox sh\n\
         mount() {{ /bin/busybox mount -t $1 $1 $2; }}\n\
         mount proc /proc\n\
         mount sysfs /sys\n\
         mount devtmpfs /dev\n\
         mount tmpfs /tmp\n\
         mount cgroup2 /sys/fs/cgroup\n\
         export HEAPTIDE=/heaptide {workloads}=/workloads {slowness}={SLOWNESS} RUST_LIB_BACKTRACE=0\n\
         cd /tmp\n\
         /on_kernel --test-threads=1 --show-output --exact $(/bin/busybox cat /tests) >/dev/ttyS1 2>&1\n\
         /bin/busybox poweroff -f\n"
    )
}

/// The workloads' programs, and the libraries that were built with them.
fn workloads() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in WORKLOADS {
        files.push(build::workload(name)?);
    }
    for (name, level) in FRAMELESS {
        let program = build::without_frame_pointers(name, level)?;
        let library = program.with_file_name(format!("libstacks_library-O{level}.so"));
        files.push(program);
        if library.exists() {
            files.push(library);
        }
    }
    Ok(files)
}

/// What the dynamic loader would load for some programs, and the loader itself; none of it twice.
fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let said = process::read(Command::new("ldd").args(programs))?;
    Ok(String::from_utf8_lossy(&said).lines().filter_map(library_of_line).collect())
}

/// The file in a line such as `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f…)`; the loader has no arrow. Of those
/// that lie beside the workloads there is a copy already.
fn library_of_line(line: &str) -> Option<PathBuf> {
    let (file, _) = line.strip_prefix('\t')?.rsplit_once(" (0x")?;
    let path = file.split_once(" => ").map_or(file, |(_, path)| path);
    (path.starts_with("/lib") || path.starts_with("/usr/lib")).then(|| PathBuf::from(path))
}

/// The folder that becomes the machine's root.
struct Root(PathBuf);

impl Root {
    /// Empty.
    fn new(path: PathBuf) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        let root = Self(path);
        root.folder("")?;
        Ok(root)
    }

    fn folder(&self, name: impl AsRef<Path>) -> Result<()> {
        let path = self.0.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))
    }

    fn copy(&self, from: &Path, to: impl AsRef<Path>) -> Result<()> {
        let path = self.0.join(&to);
        self.folder(to.as_ref().parent().unwrap_or(Path::new("")))?;
        fs::copy(from, &path).with_context(|| format!("cannot copy {} to {}", from.display(), path.display()))?;
        Ok(())
    }

    /// Writes a file that can be run.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join(name);
        let written =
            fs::write(&path, text).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Packs it, in the one format that kernels know.
    fn pack(&self, busybox: &Path, archive: &Path) -> Result<()> {
        let names = process::read(Command::new(busybox).arg("find").current_dir(&self.0))?;
        let file = fs::File::create(archive).with_context(|| format!("cannot create {}", archive.display()))?;
        let mut cpio = Command::new(busybox);
        cpio.args(["cpio", "-o", "-H", "newc"]).current_dir(&self.0);
        let mut child = cpio.stdin(Stdio::piped()).stdout(file).stderr(Stdio::null()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(&names).context("cannot tell cpio the files")?;
        }
        let status = child.wait()?;
        ensure!(status.success(), "{} failed: {status}", process::shown(&cpio));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_with_the_loader_and_without_what_is_no_file() {
        let of = |line| library_of_line(line).map(|path| path.display().to_string());
        assert_eq!(of("\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f01)").as_deref(), Some("/lib/x/libm.so.6"));
        assert_eq!(of("\t/lib64/ld-linux-x86-64.so.2 (0x00007f01)").as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(of("\tlinux-vdso.so.1 (0x00007ffc)"), None);
        assert_eq!(of("\tlibstacks_library-O2.so => /build/target/libstacks_library-O2.so (0x00007f01)"), None);
        assert_eq!(of("/build/program:"), None);
    }
}
