//! The compiled kernel part, as `cargo xtask build` left it in the program.

use std::{
    collections::HashSet,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
};

use aya::{Ebpf, EbpfError, EbpfLoader, maps::Map, programs::ProgramError};
use aya_obj::{
    Object, ProgramSection, VerifierLog,
    generated::{
        bpf_attach_type::{BPF_CGROUP_INET_INGRESS, BPF_TRACE_RAW_TP, BPF_TRACE_UPROBE_MULTI},
        bpf_prog_type::{BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_TRACING},
    },
};

use super::{
    LoadError, Options,
    sampling::Sizes,
    sys::{self, Load},
};

/// Empty when the program was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HEAPTIDE_BPF_OBJECT"));

/// Bytes of the verifier's words that are kept: the last ones, where the kernel lets one choose.
const LOG: usize = 1 << 20;

/// Whether the program was built with its kernel part.
#[must_use]
pub const fn is_built_in() -> bool {
    !OBJECT.is_empty()
}

/// Makes the maps, with kernel-side diagnostics compiled in as asked for. The programs wait to be loaded.
pub(super) fn load(options: &Options, sizes: Sizes) -> Result<Ebpf, EbpfError> {
    // The kernel's types are of no use: the kernel part has no relocation by them, as `Code::of` checks.
    EbpfLoader::new()
        .btf(None)
        .override_global(aya_log::LEVEL, &options.log_level, false)
        .map_max_entries("ROWS", options.rows)
        .map_max_entries("TAGS", sizes.buckets)
        .map_max_entries("MEMBERS", sizes.families)
        .load(OBJECT)
}

/// The programs' instructions, for the kinds of programs that aya cannot load.
pub(super) struct Code {
    object: Object,
    types: Option<OwnedFd>,
}

/// What a program is to be attached to.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Functions, many at once.
    Multi,
    /// Perf events.
    PerfEvent,
    /// The tracepoint whose type in the kernel's BTF has this id.
    Tracepoint(u32),
}

impl Code {
    /// The instructions, with the maps of `bpf` in their places.
    pub(super) fn of(bpf: &Ebpf) -> Result<Self, EbpfError> {
        let mut object = Object::parse(OBJECT)?;
        if object.has_btf_relocations() {
            return Err(EbpfError::NoBTF);
        }
        let types = types(&mut object)?;
        let maps = std::mem::take(&mut object.maps);
        let placed = maps.iter().filter_map(|(name, map)| Some((name.as_str(), descriptor(bpf.map(name)?)?, map)));
        let sections: HashSet<usize> = object.functions.keys().map(|&(section, _)| section).collect();
        object.relocate_maps(placed, &sections)?;
        object.relocate_calls(&sections)?;
        object.sanitize_functions(aya::features());
        Ok(Self { object, types })
    }

    /// The programs for functions: each one's name, and whether it is for returns.
    pub(super) fn probes(&self) -> impl Iterator<Item = (&str, bool)> {
        self.object.programs.iter().filter_map(|(name, program)| match program.section {
            ProgramSection::UProbe { .. } => Some((name.as_str(), false)),
            ProgramSection::URetProbe { .. } => Some((name.as_str(), true)),
            _ => None,
        })
    }

    /// Loads the program `name`.
    pub(super) fn load(&self, name: &str, purpose: Purpose) -> Result<OwnedFd, LoadError> {
        let incomplete = || LoadError::Incomplete { part: name.to_owned() };
        let program = self.object.programs.get(name).ok_or_else(incomplete)?;
        let function = self.object.functions.get(&program.function_key()).ok_or_else(incomplete)?;
        let (kind, attach_type, attach_id) = match purpose {
            Purpose::Multi => (BPF_PROG_TYPE_KPROBE, BPF_TRACE_UPROBE_MULTI, 0),
            // Perf events have no type of attachment: 0, whatever else has that number.
            Purpose::PerfEvent => (BPF_PROG_TYPE_PERF_EVENT, BPF_CGROUP_INET_INGRESS, 0),
            Purpose::Tracepoint(id) => (BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, id),
        };
        verify(&Load {
            name,
            kind,
            attach_type,
            attach_id,
            instructions: &function.instructions,
            license: &program.license,
            debug: self.types.as_ref().map(|types| (types.as_fd(), function)),
        })
        .map_err(|source| LoadError::program(name, source))
    }
}

/// Loads a program; when it is refused, asks once more, for the verifier's words.
fn verify(load: &Load<'_>) -> Result<OwnedFd, ProgramError> {
    sys::load_program(load, &mut []).or_else(|io_error| {
        let mut log = vec![0; LOG];
        sys::load_program(load, &mut log).map_err(|_| {
            let length = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
            let verifier_log = VerifierLog::new(String::from_utf8_lossy(&log[..length]).into_owned());
            ProgramError::LoadError { io_error, verifier_log }
        })
    })
}

/// Gives the kernel the types of the object. Without them the programs run too, as long as no helper of theirs calls
/// back; then the verifier says so.
fn types(object: &mut Object) -> Result<Option<OwnedFd>, EbpfError> {
    let Some(features) = aya::features().btf() else { return Ok(None) };
    let Some(types) = object.fixup_and_sanitize_btf(features)? else { return Ok(None) };
    let loaded: io::Result<OwnedFd> = sys::load_types(&types.to_bytes());
    Ok(loaded.inspect_err(|error| log::info!("the kernel refused the types of the kernel part: {error}")).ok())
}

/// The descriptor of a map, of one of the kinds that the kernel part has.
fn descriptor(map: &Map) -> Option<RawFd> {
    let (Map::Array(data)
    | Map::PerCpuArray(data)
    | Map::HashMap(data)
    | Map::LruHashMap(data)
    | Map::PerCpuHashMap(data)
    | Map::ArrayOfMaps(data)
    | Map::HashOfMaps(data)
    | Map::RingBuf(data)) = map
    else {
        return None;
    };
    Some(data.fd().as_fd().as_raw_fd())
}
