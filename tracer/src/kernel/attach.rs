//! Probes on the functions that discovery found.

use std::num::NonZeroU32;

use aya::programs::{
    UProbe,
    uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope},
};

use super::{AttachError, Kernel};
use crate::allocator::{Found, FoundFunction, Role};

/// Whose calls the probes see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of all threads of one process.
    Process(u32),
    /// Those of every process that maps the file: for a copy of a library that only the traced processes map.
    Everyone,
}

/// What was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Functions with a probe.
    pub functions: usize,
    /// Probes, at entries and returns.
    pub probes: usize,
}

/// A probe that can be taken out again.
pub(super) struct Link {
    program: &'static str,
    id: UProbeLinkId,
}

/// The owner of probes of [`Scope::Everyone`] in [`Kernel::attached`]: no process has this id.
const EVERYONE: u32 = 0;

impl Kernel {
    /// Attaches a probe to each function of `found`.
    pub fn attach(&mut self, found: &Found, scope: Scope) -> Result<Probes, AttachError> {
        let mut probes = Probes::default();
        for function in &found.functions {
            for &program in programs_of(function.role) {
                let link = self.attach_one(found, function, program, scope)?;
                self.attached.entry(owner(scope)).or_default().push(link);
                probes.probes += 1;
            }
            probes.functions += 1;
        }
        Ok(probes)
    }

    /// Takes out the probes of a process that has ended.
    pub fn detach(&mut self, pid: u32) {
        for Link { program, id } in self.attached.remove(&pid).unwrap_or_default() {
            let detached = self.bpf.program_mut(program).and_then(|program| <&mut UProbe>::try_from(program).ok());
            if let Some(Err(error)) = detached.map(|program| program.detach(id)) {
                log::info!("a probe of process {pid} was gone already: {error}");
            }
        }
    }

    fn attach_one(
        &mut self,
        found: &Found,
        function: &FoundFunction,
        program: &'static str,
        scope: Scope,
    ) -> Result<Link, AttachError> {
        let probe: &mut UProbe = self
            .bpf
            .program_mut(program)
            .and_then(|program| program.try_into().ok())
            .ok_or(AttachError::NoProgram(program))?;
        let cookie = match function.role {
            Role::Allocate(signature) => Some(signature.cookie()),
            _ => None,
        };
        let point = UProbeAttachPoint { location: UProbeAttachLocation::AbsoluteOffset(function.file_offset), cookie };
        let scope = match scope {
            Scope::Process(pid) => NonZeroU32::new(pid).map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess),
            Scope::Everyone => UProbeScope::AllProcesses,
        };
        let id = probe.attach(point, &found.path_to_attach, scope).map_err(|source| AttachError::Refused {
            function: function.name,
            file: found.display.clone(),
            source: Box::new(source),
        })?;
        Ok(Link { program, id })
    }
}

const fn owner(scope: Scope) -> u32 {
    match scope {
        Scope::Process(pid) => pid,
        Scope::Everyone => EVERYONE,
    }
}

/// The return's program comes first: a call whose return will not be seen must not be followed.
const fn programs_of(role: Role) -> &'static [&'static str] {
    match role {
        Role::Allocate(_) => &["heap_return", "heap_call"],
        Role::Release => &["heap_free"],
        Role::Map => &["mmap_return", "mmap_call"],
        Role::Unmap => &["munmap_return", "munmap_call"],
        Role::Remap => &["mremap_return", "mremap_call"],
        Role::Break => &["brk_return", "break_call"],
        Role::BreakBy => &["sbrk_return", "break_call"],
    }
}
