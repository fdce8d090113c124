//! Looks at the machine: what there is of an eBPF toolchain and of the tools that tests use.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::semver::Version;

use crate::piece::{LLVM_PREFIX, Piece};
use crate::process;
use crate::toolchain::{BPF_TARGET, SYSTEM_RUSTC};

/// Where a distribution puts the standard library's sources, which have to be compiled for the BPF target.
const SYSTEM_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/core";

/// Allocators' libraries that tests use.
const ALLOCATORS: [&str; 3] = ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0"];

/// Where distributions put libraries.
const LIBRARY_FOLDERS: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// Programs and libraries with an allocator of their own that tests trace.
const PROGRAMS: [&str; 3] = ["/usr/bin/python3", "/usr/bin/ruby", "/usr/sbin/nginx"];
const LIBRARIES: [&str; 3] = ["libglib-2.0.so.0", "libsqlite3.so.0", "libcrypto.so.3"];

/// What is there with the packages that services with a leak are built and run with, beside Ruby's headers.
const SERVICES: [&str; 4] =
    ["/usr/bin/puma", "/usr/bin/redis-server", "/usr/bin/python3-config", "/usr/bin/xml2-config"];

/// What is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) system: System,
    /// Whether packages can be installed.
    pub(crate) root: bool,
    /// A nightly toolchain of rustup that has the library's sources.
    pub(crate) nightly: Option<Nightly>,
    /// Where bpf-linker is, if it is there.
    pub(crate) linker: Option<PathBuf>,
    /// The other pieces that are there.
    pub(crate) present: Vec<Piece>,
}

impl Findings {
    /// Whether a piece is there.
    pub(crate) fn has(&self, piece: Piece) -> bool {
        match piece {
            Piece::Linker => self.linker.is_some(),
            _ => self.present.contains(&piece),
        }
    }
}

/// A nightly toolchain of rustup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nightly {
    /// The name that `rustup run` takes.
    pub(crate) name: String,
    pub(crate) clippy: bool,
}

/// Which distribution this is, as far as the ways to install something differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Debian,
    /// Debian's package manager, but not Debian's packages.
    DebianLike,
    Fedora,
    Arch,
    Other,
}

impl System {
    /// Reads the text of `/etc/os-release`.
    fn from_os_release(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"')
        };
        let relatives = value("ID_LIKE");
        let related_to = |name: &str| value("ID") == name || relatives.split_whitespace().any(|other| other == name);
        match value("ID") {
            "debian" => Self::Debian,
            _ if related_to("debian") => Self::DebianLike,
            _ if related_to("fedora") => Self::Fedora,
            _ if related_to("arch") => Self::Arch,
            _ => Self::Other,
        }
    }
}

/// Looks at this machine. Takes a few hundred milliseconds at most and changes nothing.
pub(crate) fn look() -> Result<Findings> {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Ok(Findings {
        system: System::from_os_release(&os_release),
        root: nix::unistd::geteuid().is_root(),
        nightly: nightly(),
        linker: linker(),
        present: present()?,
    })
}

/// All pieces that are there, except for the linker, whose place matters.
fn present() -> Result<Vec<Piece>> {
    let llvm_config = Path::new(LLVM_PREFIX).join("bin/llvm-config");
    let pieces = [
        (Piece::Compiler, system_rustc()?),
        (Piece::Library, Path::new(SYSTEM_LIBRARY).is_dir()),
        (Piece::Llvm, llvm_config.exists()),
        (Piece::Gcc, which::which("gcc").is_ok()),
        (Piece::Gxx, which::which("g++").is_ok()),
        (Piece::Heaptrack, which::which("heaptrack").is_ok()),
        (Piece::Allocators, ALLOCATORS.iter().all(|library| has_library(library))),
        (Piece::Musl, which::which("musl-gcc").is_ok()),
        (
            Piece::Named,
            PROGRAMS.iter().all(|path| Path::new(path).exists()) && LIBRARIES.iter().all(|name| has_library(name)),
        ),
        (Piece::Services, SERVICES.iter().all(|path| Path::new(path).exists()) && has_ruby_headers()),
    ];
    Ok(pieces.into_iter().filter_map(|(piece, there)| there.then_some(piece)).collect())
}

/// Their folder is named after Ruby's version.
fn has_ruby_headers() -> bool {
    let Ok(folders) = fs::read_dir("/usr/include") else { return false };
    let is_ruby = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b"ruby-");
    folders.flatten().any(|folder| is_ruby(&folder.file_name()) && folder.path().join("ruby.h").exists())
}

fn has_library(name: &str) -> bool {
    LIBRARY_FOLDERS.iter().any(|folder| Path::new(folder).join(name).exists())
}

/// The first nightly toolchain that has the library's sources; none when there is no rustup.
fn nightly() -> Option<Nightly> {
    let list = process::read(Command::new("rustup").args(["toolchain", "list", "--verbose"])).ok()?;
    String::from_utf8_lossy(&list).lines().filter_map(toolchain_of_line).find_map(|(name, folder)| {
        let sources = folder.join("lib/rustlib/src/rust/library/core");
        (name.starts_with("nightly") && sources.is_dir())
            .then(|| Nightly { name: name.to_owned(), clippy: folder.join("bin/cargo-clippy").exists() })
    })
}

/// Name and folder from a line such as `nightly-x86_64-unknown-linux-gnu (default) /home/me/.rustup/toolchains/…`.
fn toolchain_of_line(line: &str) -> Option<(&str, &Path)> {
    let name = line.split_whitespace().next()?;
    let folder = &line[line.find('/')?..];
    Some((name, Path::new(folder.trim_end())))
}

/// Whether the distribution's compiler is there, knows the BPF target, and is new enough.
fn system_rustc() -> Result<bool> {
    if !Path::new(SYSTEM_RUSTC).exists() {
        return Ok(false);
    }
    let version = process::read(Command::new(SYSTEM_RUSTC).arg("--version"))?;
    let targets = process::read(Command::new(SYSTEM_RUSTC).args(["--print", "target-list"]))?;
    let knows_target = String::from_utf8_lossy(&targets).lines().any(|target| target == BPF_TARGET);
    Ok(knows_target && new_enough(&String::from_utf8_lossy(&version), env!("CARGO_PKG_RUST_VERSION"))?)
}

/// Whether `rustc --version` said a version that is not older than the one the workspace asks for (`1.95`).
fn new_enough(said: &str, asked: &str) -> Result<bool> {
    let number = said.split_whitespace().nth(1).with_context(|| format!("no version in: {said}"))?;
    let version = Version::parse(number).with_context(|| format!("no version in: {said}"))?;
    let oldest = cargo_metadata::semver::Comparator::parse(&format!(">={asked}"))
        .with_context(|| format!("not a version: {asked}"))?;
    Ok(oldest.matches(&version))
}

/// A bpf-linker that starts, from the search path or from where `cargo install` puts it.
fn linker() -> Option<PathBuf> {
    let on_path = which::which("bpf-linker").ok();
    let installed = cargo_folders().map(|folder| folder.join("bin/bpf-linker")).filter(|path| path.exists());
    let mut candidates = on_path.into_iter().chain(installed);
    candidates.find(|linker| process::read(Command::new(linker).arg("--version")).is_ok())
}

/// The folders beneath which `cargo install` may have put programs, first the one that it uses.
fn cargo_folders() -> impl Iterator<Item = PathBuf> {
    let named = ["CARGO_INSTALL_ROOT", "CARGO_HOME"].into_iter().filter_map(env::var_os).map(PathBuf::from);
    named.chain(env::home_dir().map(|home| home.join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_is_told_from_its_relatives() {
        assert_eq!(System::from_os_release("NAME=\"Debian GNU/Linux\"\nID=debian\n"), System::Debian);
        assert_eq!(System::from_os_release("ID=ubuntu\nID_LIKE=debian\n"), System::DebianLike);
        assert_eq!(System::from_os_release("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), System::DebianLike);
    }

    #[test]
    fn families_are_known_by_name_and_by_relation() {
        assert_eq!(System::from_os_release("ID=fedora\n"), System::Fedora);
        assert_eq!(System::from_os_release("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), System::Fedora);
        assert_eq!(System::from_os_release("ID=arch\n"), System::Arch);
        assert_eq!(System::from_os_release("ID=void\n"), System::Other);
        assert_eq!(System::from_os_release(""), System::Other);
    }

    #[test]
    fn a_toolchain_line_gives_name_and_folder() {
        let line = "stable-x86_64-unknown-linux-gnu (active, default) /home/a b/.rustup/toolchains/stable";
        let (name, folder) = toolchain_of_line(line).unwrap();
        assert_eq!(name, "stable-x86_64-unknown-linux-gnu");
        assert_eq!(folder, Path::new("/home/a b/.rustup/toolchains/stable"));
        assert_eq!(toolchain_of_line("no installed toolchains"), None);
    }

    #[test]
    fn an_old_compiler_that_knows_the_target_is_not_enough() {
        assert!(!new_enough("rustc 1.63.0", "1.95").unwrap());
        assert!(new_enough("rustc 1.95.0 (59807616e 2026-04-14)", "1.95").unwrap());
        assert!(new_enough("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)", "1.95").unwrap());
        assert!(new_enough("rustc", "1.95").is_err());
    }
}
