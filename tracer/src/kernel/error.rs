//! What the kernel may refuse.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use thiserror::Error;

use super::{LayoutError, attach::Probe};
use crate::allocator::Found;

/// Why the kernel part could not be loaded or spoken to.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The program was built by plain cargo.
    #[error("this heaptide was built without its kernel part; build it with `cargo xtask build`")]
    NotBuiltIn,
    /// The kernel part lacks a piece that this version needs.
    #[error("the kernel part has no `{part}`: it is of another version; build both with `cargo xtask build`")]
    Incomplete {
        /// The map or program.
        part: String,
    },
    /// Fields of the kernel are not where they can be found.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The maps could not be made.
    #[error("the kernel refused heaptide's maps: {}", innermost(.0))]
    Maps(Box<EbpfError>),
    /// The object file of the kernel part cannot be used.
    #[error("heaptide's kernel part cannot be used: {}", innermost(.0))]
    Code(Box<EbpfError>),
    /// A map could not be used.
    #[error("a map of the kernel part cannot be used: {}", innermost(.0))]
    Map(#[from] MapError),
    /// The tables for unwinding could not be mapped.
    #[error("the tables for unwinding cannot be mapped into memory: {0}")]
    Rows(#[source] io::Error),
    /// The kernel did not take a program.
    #[error("the kernel refused the program `{name}`: {}", reason(.why))]
    Program {
        /// The program.
        name: String,
        /// What the kernel said. Not a source of the error: its own text repeats all of the verifier's words, and what
        /// is shown is one line.
        why: Box<ProgramError>,
    },
}

impl LoadError {
    pub(super) fn program(name: &str, source: ProgramError) -> Self {
        Self::Program { name: name.to_owned(), why: Box::new(source) }
    }
}

/// Why a probe could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The kernel part lacks a program.
    #[error("the kernel part has no program `{0}`; build it with `cargo xtask build`")]
    NoProgram(&'static str),
    /// The kernel refused a probe.
    #[error("the kernel refused a probe on {functions} in {file}: {}", reason(.why))]
    Refused {
        /// The function, or those of which it is one.
        functions: String,
        /// The file.
        file: String,
        /// What the kernel said.
        why: Box<ProgramError>,
    },
    /// Page faults cannot be watched.
    #[error("the kernel does not let page faults of process {pid} be watched: {source} (needs CAP_PERFMON)")]
    Faults {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// What is to be told to the kernel part is not taken.
    #[error(transparent)]
    Map(#[from] MapError),
}

impl AttachError {
    pub(super) fn refused(found: &Found, probes: &[Probe<'_>], source: ProgramError) -> Self {
        let names: Vec<_> = probes.iter().map(|probe| &*probe.function.name).collect();
        Self::Refused { functions: names.join(" or "), file: found.display.clone(), why: Box::new(source) }
    }

    /// Whether the process has ended meanwhile.
    #[must_use]
    pub fn is_process_gone(&self) -> bool {
        let error = match self {
            Self::Refused { why, .. } => io_error(why.as_ref()),
            Self::Faults { source, .. } => Some(source),
            Self::NoProgram(_) | Self::Map(_) => None,
        };
        error.is_some_and(|error| error.raw_os_error() == Some(nix::libc::ESRCH))
    }
}

/// One line: what lies at the bottom of an error, without the verifier's log (shown with -v).
fn reason(error: &ProgramError) -> String {
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        log::info!("the verifier's words: {verifier_log}");
        return format!("{io_error} (see -v for the verifier's words)");
    }
    innermost(error)
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn io_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(found) = current.downcast_ref() {
            return Some(found);
        }
        error = current.source();
    }
    None
}
