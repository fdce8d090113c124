//! Decides from what was found on the machine which eBPF toolchain to use, what is missing, and how it is installed.

use crate::findings::{Findings, System};
use crate::piece::Piece;
use crate::toolchain::{Compiler, Toolchain};

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Build,
    /// Building and testing.
    Test,
}

/// What setup does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Everything is there.
    Ready(Toolchain),
    /// These pieces are missing and can be installed.
    Install(Vec<Piece>),
    /// These pieces are missing, and the user has to install them.
    Refuse(Vec<Piece>),
}

/// Decides what setup does on a machine where `findings` were made.
pub(crate) fn plan(findings: &Findings, needs: Needs) -> Plan {
    let missing = missing(findings, needs);
    match (compiler(findings), &findings.linker) {
        (Some(compiler), Some(linker)) if missing.is_empty() => {
            Plan::Ready(Toolchain { compiler, linker: linker.clone() })
        }
        _ if findings.system == System::Debian && findings.root => Plan::Install(missing),
        _ => Plan::Refuse(missing),
    }
}

/// The compiler to use, if one is complete.
///
/// The distribution's comes first: a linker reads what its own LLVM or an older one wrote, and of the two compilers the
/// nightly's is the newer. On Debian a nightly counts only with a linker that is there already, since the linker that
/// setup would build there has Debian's LLVM.
fn compiler(findings: &Findings) -> Option<Compiler> {
    if findings.has(Piece::Compiler) && findings.has(Piece::Library) {
        return Some(Compiler::System);
    }
    let nightly = findings.nightly.as_ref()?;
    let fits = findings.linker.is_some() || findings.system != System::Debian;
    fits.then(|| Compiler::Rustup { name: nightly.name.clone(), clippy: nightly.clippy })
}

/// The pieces that are needed and not there, in the order in which they are installed.
fn missing(findings: &Findings, needs: Needs) -> Vec<Piece> {
    let mut needed = Vec::new();
    if compiler(findings).is_none() {
        needed.extend([Piece::Compiler, Piece::Library]);
    }
    if findings.linker.is_none() {
        // LLVM only to build the linker with.
        needed.extend([Piece::Llvm, Piece::Linker]);
    }
    if needs == Needs::Test {
        needed.extend([Piece::Gcc, Piece::Gxx, Piece::Heaptrack, Piece::Allocators, Piece::Musl, Piece::Named]);
        needed.push(Piece::Services);
    }
    needed.retain(|piece| !findings.has(*piece));
    needed
}

#[cfg(test)]
mod tests;
