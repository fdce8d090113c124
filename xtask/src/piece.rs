//! The pieces that building and testing take, and how each is installed.

use crate::findings::{Findings, System};

/// The bpf-linker that is installed where there is none.
pub(crate) const LINKER_VERSION: &str = "0.13.0";

/// The LLVM that setup builds bpf-linker with: Debian's rustc writes what this version reads.
pub(crate) const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// A piece that may be missing, in the order in which pieces are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A distribution's compiler that knows the BPF target and is as new as this workspace asks for.
    Compiler,
    /// The library sources of that compiler.
    Library,
    /// LLVM's development files, of the version in [`LLVM_PREFIX`].
    Llvm,
    /// A bpf-linker that starts: one whose shared LLVM was removed does not count.
    Linker,
    Gcc,
    Gxx,
    Heaptrack,
    /// Allocators that programs have instead of the C library's.
    Allocators,
    /// Another C library, with a compiler that links it in.
    Musl,
    /// Programs and libraries with an allocator on top of the C library's.
    Named,
    /// Interpreters, servers and libraries that services with a leak are made for.
    Services,
}

impl Piece {
    /// What it is and what it is for.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Compiler => "a Rust compiler that knows the BPF target, for the kernel part",
            Self::Library => "the sources of Rust's core library, which is compiled for the BPF target",
            Self::Llvm => "LLVM's development files, to build bpf-linker with",
            Self::Linker => "bpf-linker, which makes the kernel's format of what the compiler gives",
            Self::Gcc => "gcc and the C library's headers, for the programs that tests trace",
            Self::Gxx => "g++, for the programs that tests trace",
            Self::Heaptrack => "heaptrack, whose totals a test compares with heaptide's",
            Self::Allocators => "jemalloc, tcmalloc and mimalloc, for the programs that tests trace",
            Self::Named => "Python, Ruby, nginx, GLib, SQLite and OpenSSL, whose own allocators tests trace",
            Self::Services => "Ruby with puma, Python, Redis and libxml2, for services with a leak that tests find",
            Self::Musl => "musl and its compiler, for the programs that tests trace",
        }
    }

    /// Its packages on a system; none where it does not come as a package.
    pub(crate) fn packages(self, system: System) -> &'static [&'static str] {
        use System::{Arch, Debian, DebianLike, Fedora, Other};
        match (self, system) {
            (Self::Compiler, Debian) => &["rustc-web"],
            (Self::Library, Debian) => &["rust-web-src"],
            (Self::Llvm, Debian | DebianLike) => &["llvm-22-dev", "libpolly-22-dev"],
            (Self::Llvm, Fedora) => &["llvm-devel"],
            (Self::Llvm, Arch) => &["llvm"],
            (Self::Gcc, Debian | DebianLike) => &["gcc", "libc6-dev"],
            (Self::Gcc, Fedora | Arch) | (Self::Gxx, Arch) => &["gcc"],
            (Self::Gxx, Debian | DebianLike) => &["g++"],
            (Self::Gxx, Fedora) => &["gcc-c++"],
            (Self::Heaptrack, Debian | DebianLike | Fedora | Arch) => &["heaptrack"],
            (Self::Allocators, Debian | DebianLike) => &["libjemalloc2", "libtcmalloc-minimal4", "libmimalloc2.0"],
            (Self::Allocators, Fedora) => &["jemalloc", "gperftools-libs", "mimalloc"],
            (Self::Allocators, Arch) => &["jemalloc", "gperftools", "mimalloc"],
            (Self::Musl, Debian | DebianLike) => &["musl-tools"],
            (Self::Musl, Fedora) => &["musl-gcc"],
            (Self::Musl, Arch) => &["musl"],
            (Self::Named, Debian | DebianLike) => {
                &["python3", "ruby", "nginx", "libglib2.0-0", "libsqlite3-0", "libssl3"]
            }
            (Self::Named, Fedora) => &["python3", "ruby", "nginx", "glib2", "sqlite-libs", "openssl-libs"],
            (Self::Named, Arch) => &["python", "ruby", "nginx", "glib2", "sqlite", "openssl"],
            (Self::Services, Debian | DebianLike) => {
                &["ruby", "ruby-dev", "puma", "python3", "python3-dev", "redis-server", "libxml2-dev"]
            }
            (Self::Services, Fedora) => {
                &["ruby", "ruby-devel", "rubygem-puma", "python3", "python3-devel", "redis", "libxml2-devel"]
            }
            (Self::Services, Arch) => &["ruby", "python", "redis", "libxml2"],
            (Self::Compiler | Self::Library, DebianLike | Fedora | Arch) | (Self::Linker, _) | (_, Other) => &[],
        }
    }

    /// The command that installs it on the machine where `findings` were made, or what to look for.
    pub(crate) fn command(self, findings: &Findings) -> String {
        let packages = self.packages(findings.system).join(" ");
        if !packages.is_empty() {
            let sudo = if findings.root { "" } else { "sudo " };
            let install = match findings.system {
                System::Fedora => "dnf install",
                System::Arch => "pacman -S",
                _ => "apt-get install --no-install-recommends",
            };
            return format!("{sudo}{install} {packages}");
        }
        match self {
            Self::Compiler | Self::Library => {
                "rustup toolchain install nightly --profile minimal --component rust-src".to_owned()
            }
            Self::Linker if findings.system == System::Debian => {
                format!("LLVM_PREFIX={} cargo {}", LLVM_PREFIX, linker_install().join(" "))
            }
            Self::Linker => format!("cargo install bpf-linker --version {LINKER_VERSION}"),
            Self::Llvm => "see your distribution's packages for LLVM's development files".to_owned(),
            Self::Gcc | Self::Gxx | Self::Heaptrack | Self::Allocators | Self::Musl | Self::Named | Self::Services => {
                "see your distribution's packages".to_owned()
            }
        }
    }
}

/// What cargo is told to install bpf-linker for Debian's LLVM, with the dependencies that it was released with.
pub(crate) fn linker_install() -> [&'static str; 8] {
    ["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--no-default-features", "--features", "llvm-22"]
}
