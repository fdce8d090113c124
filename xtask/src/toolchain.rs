//! A complete eBPF toolchain, and how cargo is told to use it.

use std::path::PathBuf;
use std::process::Command;

use crate::process;

/// The target that the kernel part is compiled for.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// The distribution's compiler, by path: rustup's `rustc` comes first on the search path and stays first for
/// everything else.
pub(crate) const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// A compiler that can build for BPF, and the linker that makes the kernel's format of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    pub(crate) linker: PathBuf,
}

/// Where the compiler comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// The distribution's stable compiler, which has to be told that unstable options are meant.
    System,
    /// A nightly toolchain of rustup.
    Rustup { name: String, clippy: bool },
}

impl Toolchain {
    /// Cargo with this compiler, linker and the flags of the kernel part; the caller adds the subcommand.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = match &self.compiler {
            Compiler::System => {
                let mut cargo = process::cargo();
                cargo.env("RUSTC", SYSTEM_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Compiler::Rustup { name, .. } => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", name, "cargo"]).env_remove("RUSTC");
                cargo
            }
        };
        // A wrapper is chosen for the user's own compiler (clippy's, a cache's) and may not know this one.
        cargo.env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.flags().join("\x1f"));
        cargo
    }

    /// Whether the compiler's own clippy is there.
    pub(crate) fn has_clippy(&self) -> bool {
        matches!(self.compiler, Compiler::Rustup { clippy: true, .. })
    }

    fn flags(&self) -> Vec<String> {
        vec![
            // aya-ebpf reads registers by it; the kernel part runs where it is built.
            format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
            "-Cdebuginfo=2".to_owned(),
            format!("-Clinker={}", self.linker.display()),
            // Type information, without which the kernel refuses what the kernel part uses of it.
            "-Clink-arg=--btf".to_owned(),
            // Earlier instruction sets have no atomics that return a value.
            "-Ctarget-cpu=v3".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    /// What a variable is set to; empty when it is removed or left alone.
    fn environment(command: &Command, name: &str) -> String {
        let set = command.get_envs().find(|(key, _)| *key == OsStr::new(name)).and_then(|(_, value)| value);
        set.unwrap_or_default().to_string_lossy().into_owned()
    }

    #[test]
    fn the_distributions_compiler_is_called_by_path() {
        let toolchain = Toolchain { compiler: Compiler::System, linker: PathBuf::from("/opt/bpf-linker") };
        let cargo = toolchain.cargo();
        assert_eq!(environment(&cargo, "RUSTC"), "/usr/bin/rustc");
        assert_eq!(environment(&cargo, "RUSTC_BOOTSTRAP"), "1");
        let flags = environment(&cargo, "CARGO_ENCODED_RUSTFLAGS");
        assert!(flags.split('\x1f').any(|flag| flag == "-Clinker=/opt/bpf-linker"), "{flags}");
    }

    #[test]
    fn a_nightly_is_run_by_rustup_with_its_own_compiler() {
        let compiler = Compiler::Rustup { name: "nightly-2026-05-20".to_owned(), clippy: false };
        let cargo = Toolchain { compiler, linker: PathBuf::from("bpf-linker") }.cargo();
        assert_eq!(process::shown(&cargo), "rustup run nightly-2026-05-20 cargo");
        assert_eq!(environment(&cargo, "RUSTC"), "");
        assert_eq!(environment(&cargo, "RUSTC_BOOTSTRAP"), "");
    }
}
