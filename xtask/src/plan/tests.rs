use std::path::PathBuf;

use super::*;
use crate::findings::Nightly;

/// Debian as it comes, as root, with rustup's stable toolchain.
fn fresh_debian() -> Findings {
    Findings { system: System::Debian, root: true, nightly: None, linker: None, present: vec![Piece::Gcc] }
}

/// Debian after setup.
fn ready_debian() -> Findings {
    use Piece::{Allocators, Compiler, Gcc, Gxx, Heaptrack, Library, Llvm, Musl, Named, Services};
    Findings {
        linker: Some(PathBuf::from("/opt/bin/bpf-linker")),
        present: vec![Compiler, Library, Llvm, Gcc, Gxx, Heaptrack, Allocators, Musl, Named, Services],
        ..fresh_debian()
    }
}

/// Debian after setup, from which something was taken away.
fn debian_without(pieces: &[Piece]) -> Findings {
    let mut findings = ready_debian();
    findings.present.retain(|piece| !pieces.contains(piece));
    if pieces.contains(&Piece::Linker) {
        findings.linker = None;
    }
    findings
}

fn nightly() -> Nightly {
    Nightly { name: "nightly".to_owned(), clippy: true }
}

#[test]
fn a_fresh_debian_gets_all_that_the_build_needs_and_no_more() {
    let expected = vec![Piece::Compiler, Piece::Library, Piece::Llvm, Piece::Linker];
    assert_eq!(plan(&fresh_debian(), Needs::Build), Plan::Install(expected));
}

#[test]
fn tests_need_more_than_the_build() {
    let findings = debian_without(&[Piece::Gxx, Piece::Heaptrack]);
    assert!(matches!(plan(&findings, Needs::Build), Plan::Ready(_)));
    assert_eq!(plan(&findings, Needs::Test), Plan::Install(vec![Piece::Gxx, Piece::Heaptrack]));
}

#[test]
fn a_debian_machine_without_llvm_is_told_which_package() {
    let findings = Findings { root: false, ..debian_without(&[Piece::Llvm, Piece::Linker]) };
    assert_eq!(plan(&findings, Needs::Build), Plan::Refuse(vec![Piece::Llvm, Piece::Linker]));
    assert_eq!(
        Piece::Llvm.command(&findings),
        "sudo apt-get install --no-install-recommends llvm-22-dev libpolly-22-dev"
    );
}

#[test]
fn a_linker_that_is_there_needs_no_llvm() {
    let findings = debian_without(&[Piece::Llvm]);
    assert!(matches!(plan(&findings, Needs::Build), Plan::Ready(_)));
}

#[test]
fn a_machine_with_everything_is_ready_with_the_distributions_compiler() {
    let Plan::Ready(toolchain) = plan(&Findings { nightly: Some(nightly()), ..ready_debian() }, Needs::Test) else {
        panic!("not ready");
    };
    assert_eq!(toolchain.compiler, Compiler::System);
    assert_eq!(toolchain.linker, PathBuf::from("/opt/bin/bpf-linker"));
}

#[test]
fn a_compiler_without_library_sources_is_not_used() {
    let findings = debian_without(&[Piece::Library]);
    assert_eq!(plan(&findings, Needs::Build), Plan::Install(vec![Piece::Library]));
}

#[test]
fn a_nightly_with_a_linker_is_ready_on_any_distribution() {
    let linker = Some(PathBuf::from("/usr/bin/bpf-linker"));
    for system in [System::Debian, System::DebianLike, System::Fedora, System::Arch, System::Other] {
        let findings =
            Findings { system, nightly: Some(nightly()), linker: linker.clone(), root: false, ..fresh_debian() };
        let Plan::Ready(toolchain) = plan(&findings, Needs::Build) else { panic!("{system:?} is not ready") };
        assert_eq!(toolchain.compiler, Compiler::Rustup { name: "nightly".to_owned(), clippy: true });
        assert!(toolchain.has_clippy());
    }
}

#[test]
fn debians_linker_is_never_built_for_a_nightly_that_may_be_newer() {
    let findings = Findings { nightly: Some(nightly()), ..fresh_debian() };
    let expected = vec![Piece::Compiler, Piece::Library, Piece::Llvm, Piece::Linker];
    assert_eq!(plan(&findings, Needs::Build), Plan::Install(expected));
}

#[test]
fn nothing_is_installed_on_another_distribution_even_as_root() {
    let findings = Findings { system: System::Fedora, nightly: Some(nightly()), ..fresh_debian() };
    assert_eq!(plan(&findings, Needs::Build), Plan::Refuse(vec![Piece::Llvm, Piece::Linker]));
    assert_eq!(Piece::Llvm.command(&findings), "dnf install llvm-devel");
}

#[test]
fn another_distribution_is_told_to_take_a_nightly() {
    let findings = Findings { system: System::DebianLike, root: false, ..fresh_debian() };
    assert!(matches!(plan(&findings, Needs::Build), Plan::Refuse(_)));
    let command = "rustup toolchain install nightly --profile minimal --component rust-src";
    assert_eq!(Piece::Compiler.command(&findings), command);
    assert_eq!(Piece::Library.command(&findings), command);
}

#[test]
fn the_linker_is_built_with_the_llvm_that_debian_brings() {
    let command = Piece::Linker.command(&fresh_debian());
    assert!(
        command.starts_with("LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 "),
        "{command}"
    );
}
