//! Probes in groups: one link takes a program to all its places in a file, and one call takes it out again.
//!
//! A probe of its own perf event (`single`) is taken out in some 100 ms, and the next one waits for it. The kernel knows
//! groups since 6.6; only later does it take the process that a group is for as a whole, instead of its first thread.
//! [`ask`] tells the two apart.

use std::{
    collections::HashMap,
    ffi::CString,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use aya::{programs::ProgramError, sys::SyscallError};
use aya_obj::{
    copy_instructions,
    generated::{bpf_attach_type::BPF_TRACE_UPROBE_MULTI, bpf_prog_type::BPF_PROG_TYPE_KPROBE},
};
use nix::errno::Errno;

use super::{
    AttachError, LoadError,
    attach::{Probe, Scope},
    object::{Code, Purpose},
    sys::{self, Load, MultiProbe},
};
use crate::allocator::Found;

/// The programs, loaded to be attached in groups.
pub(super) struct Multi {
    programs: HashMap<String, Program>,
}

struct Program {
    descriptor: OwnedFd,
    is_return: bool,
}

impl Multi {
    /// Loads the programs; or in the place of each one that does nothing.
    pub(super) fn load(code: &Code, empty: bool) -> Result<Self, LoadError> {
        let load = |(name, is_return): (&str, bool)| {
            let descriptor = if empty { load_empty(name)? } else { code.load(name, Purpose::Multi)? };
            Ok((name.to_owned(), Program { descriptor, is_return }))
        };
        Ok(Self { programs: code.probes().map(load).collect::<Result<_, LoadError>>()? })
    }

    /// Attaches a program to all its places in a file.
    pub(super) fn attach(
        &self,
        found: &Found,
        name: &'static str,
        probes: &[Probe<'_>],
        scope: Scope,
    ) -> Result<OwnedFd, AttachError> {
        let program = self.programs.get(name).ok_or(AttachError::NoProgram(name))?;
        let offsets: Vec<u64> = probes.iter().map(|probe| probe.file_offset()).collect();
        let cookies: Vec<u64> = probes.iter().map(|probe| probe.cookie()).collect();
        let pid = match scope {
            // 0 would be everyone.
            Scope::Process(0) => std::process::id(),
            Scope::Process(pid) => pid,
            Scope::Everyone => 0,
        };
        let link =
            CString::new(found.path_to_attach.as_os_str().as_bytes()).map_err(io::Error::from).and_then(|path| {
                let probe =
                    MultiProbe { path: &path, offsets: &offsets, cookies: &cookies, returns: program.is_return, pid };
                sys::attach_multi(program.descriptor.as_fd(), &probe)
            });
        link.map_err(|io_error| {
            let error = SyscallError { call: "bpf_link_create", io_error };
            AttachError::refused(found, probes, ProgramError::SyscallError(error))
        })
    }

    /// The descriptors of the programs.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.programs.values().map(|program| program.descriptor.as_fd())
    }
}

/// `r0 = 0; exit`
const NOTHING: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

fn load_empty(name: &str) -> Result<OwnedFd, LoadError> {
    load_nothing().map_err(|io_error| {
        let error = SyscallError { call: "bpf_prog_load", io_error };
        LoadError::program(name, ProgramError::SyscallError(error))
    })
}

/// Loads a program that does nothing, to be attached in groups.
pub(super) fn load_nothing() -> io::Result<OwnedFd> {
    let instructions = copy_instructions(&NOTHING).map_err(io::Error::other)?;
    let load = Load {
        name: "heaptide_ask",
        kind: BPF_PROG_TYPE_KPROBE,
        attach_type: BPF_TRACE_UPROBE_MULTI,
        attach_id: 0,
        instructions: &instructions,
        license: c"GPL",
        debug: None,
    };
    sys::load_program(&load, &mut [])
}

/// Whether the kernel attaches probes in groups, each for one whole process.
///
/// Nothing is attached: the file is the root directory, which the kernel refuses. A kernel that knows groups says that
/// it is no file; one that takes a whole process refuses an impossible process before it looks at the file.
pub(super) fn ask() -> io::Result<bool> {
    let program = match load_nothing() {
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => return Ok(false),
        loaded => loaded?,
    };
    let refusal = |pid| {
        let probe = MultiProbe { path: c"/", offsets: &[0], cookies: &[0], returns: false, pid };
        sys::attach_multi(program.as_fd(), &probe).err().and_then(|error| error.raw_os_error())
    };
    Ok(refusal(0) == Some(Errno::EBADF as i32) && refusal(u32::MAX) == Some(Errno::EINVAL as i32))
}
