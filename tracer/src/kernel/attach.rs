//! Probes on the functions that discovery found.

use std::{num::NonZeroU32, thread::JoinHandle};

use aya::programs::{
    UProbe,
    uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeLinkId, UProbeScope},
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

/// The probes that are being taken out; dropping the value waits until the last one is.
#[must_use]
pub struct Detaching(Option<JoinHandle<()>>);

impl Drop for Detaching {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic there has been reported by the thread itself.
            let _ = thread.join();
        }
    }
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
        for function in in_order(found) {
            for &program in programs_of(function.role) {
                let link = self.attach_one(found, function, program, scope)?;
                self.attached.entry(owner(scope)).or_default().push(link);
                probes.probes += 1;
            }
            probes.functions += 1;
        }
        Ok(probes)
    }

    /// Takes out the probes of a process that has ended, without waiting for it: see [`Detaching`].
    pub fn detach(&mut self, pid: u32) {
        let links = self.attached.remove(&pid).unwrap_or_default();
        let links: Vec<UProbeLink> = links
            .into_iter()
            .filter_map(|Link { program, id }| {
                let program: &mut UProbe = self.bpf.program_mut(program)?.try_into().ok()?;
                program.take_link(id).ok()
            })
            .collect();
        // Where no thread can be started, the closure and with it the probes are dropped here.
        if let Err(error) = std::thread::Builder::new().name("detach".to_owned()).spawn(move || drop(links)) {
            log::info!("no thread could be started to take out probes: {error}");
        }
    }

    /// Takes out everything on a thread of its own. The kernel is sure that no CPU is in a probe only after some 100 ms a
    /// probe, one after the other; a report need not wait for that.
    pub fn detach_all(self) -> Detaching {
        // Where no thread can be started, the closure and with it the kernel part is dropped here.
        Detaching(std::thread::Builder::new().name("detach".to_owned()).spawn(move || drop(self)).ok())
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

/// Releases first, then as they are listed, `malloc` first. Probes go out in the order in which they came in, so those
/// that the target hits most often are gone soonest.
fn in_order(found: &Found) -> impl Iterator<Item = &FoundFunction> {
    let (releases, others): (Vec<_>, Vec<_>) =
        found.functions.iter().partition(|function| function.role == Role::Release);
    releases.into_iter().chain(others)
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
