//! Probes one by one, each a perf event: for kernels that do not know groups (`multi`).

use std::num::NonZeroU32;

use aya::{
    Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope},
    },
};

use super::{
    AttachError, LoadError,
    attach::{Probe, Scope},
};
use crate::allocator::Found;

/// Loads the programs.
pub(super) fn load(bpf: &mut Ebpf) -> Result<(), LoadError> {
    for (name, program) in bpf.programs_mut() {
        if let Ok(probe) = <&mut UProbe>::try_from(program) {
            probe.load().map_err(|source| LoadError::program(name, source))?;
        }
    }
    Ok(())
}

/// Attaches a program to one place in a file.
pub(super) fn attach(
    bpf: &mut Ebpf,
    found: &Found,
    name: &'static str,
    wanted: Probe<'_>,
    scope: Scope,
) -> Result<UProbeLink, AttachError> {
    let program = bpf.program_mut(name).and_then(|program| program.try_into().ok());
    let probe: &mut UProbe = program.ok_or(AttachError::NoProgram(name))?;
    let location = UProbeAttachLocation::AbsoluteOffset(wanted.file_offset());
    let point = UProbeAttachPoint { location, cookie: Some(wanted.cookie()) };
    let scope = match scope {
        Scope::Process(pid) => NonZeroU32::new(pid).map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess),
        Scope::Everyone => UProbeScope::AllProcesses,
    };
    probe
        .attach(point, &found.path_to_attach, scope)
        .and_then(|id| probe.take_link(id))
        .map_err(|source| AttachError::refused(found, &[wanted], source))
}
