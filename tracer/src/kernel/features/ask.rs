//! Asks for each ability. Nothing is attached, and what is loaded to ask is unloaded at once.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aya::maps::MapType;
use aya::programs::{ProgramError, ProgramType};
use aya::sys::{
    BpfHelper, Stats, SyscallError, enable_stats, is_helper_supported, is_map_supported, is_program_supported,
};
use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::utsname::uname;

use super::{Ability, Answer, Feature};
use crate::kernel::layout::{BTF_PATH, Layout, LayoutError};
use crate::kernel::multi;

const UPROBE: &str = "/sys/bus/event_source/devices/uprobe/type";
/// The inode of the initial PID namespace: `PROC_PID_INIT_INO` of the kernel.
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// Asks for one ability.
pub(super) fn ask(ability: Ability) -> Feature {
    let (answer, found) = match ability {
        Ability::KernelRelease => kernel_release(),
        Ability::Architecture => architecture(),
        Ability::Btf => btf(),
        Ability::BtfTracepoints => btf_tracepoints(),
        Ability::Uprobes => uprobes(),
        Ability::ProbeGroups => probe_groups(),
        Ability::Programs => programs(),
        Ability::RingBuffer => map(MapType::RingBuf),
        Ability::MapInMap => map(MapType::ArrayOfMaps),
        Ability::AttachCookie => helper(BpfHelper::BPF_FUNC_get_attach_cookie),
        Ability::Time => helper(BpfHelper::BPF_FUNC_ktime_get_ns),
        Ability::GetStack => helper(BpfHelper::BPF_FUNC_get_stack),
        Ability::Loop => helper(BpfHelper::BPF_FUNC_loop),
        Ability::FindMapping => helper(BpfHelper::BPF_FUNC_find_vma),
        Ability::RunTimeStatistics => run_time_statistics(),
        Ability::CapBpf
        | Ability::CapPerfmon
        | Ability::CapSysPtrace
        | Ability::CapSysAdmin
        | Ability::CapSysResource => capability(ability),
        Ability::MemlockLimit => memlock_limit(),
        Ability::PerfEventParanoid => perf_event_paranoid(),
        Ability::InitialPidNamespace => initial_pid_namespace(),
        Ability::Tracefs => tracefs(),
    };
    Feature { ability, answer, found }
}

type Asked = (Answer, String);

fn yes(found: impl Into<String>) -> Asked {
    (Answer::Yes, found.into())
}

fn no(found: impl Into<String>) -> Asked {
    (Answer::No, found.into())
}

fn unknown(reason: impl Into<String>) -> Asked {
    (Answer::Unknown, reason.into())
}

/// An error's last cause, which is what the kernel said.
fn cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |&error| error.source()).last().map_or_else(String::new, ToString::to_string)
}

fn kernel_release() -> Asked {
    uname().map_or_else(|error| unknown(error.to_string()), |name| yes(name.release().to_string_lossy()))
}

fn architecture() -> Asked {
    // What heaptide was built for is what the machine runs.
    let name = std::env::consts::ARCH;
    if cfg!(target_arch = "x86_64") { yes(name) } else { no(format!("{name} is not supported")) }
}

fn btf() -> Asked {
    match fs::metadata(BTF_PATH) {
        Ok(metadata) => yes(format!("{} KiB", metadata.len() / 1024)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => no(format!("no {BTF_PATH}")),
        Err(error) => unknown(error.to_string()),
    }
}

fn btf_tracepoints() -> Asked {
    match Layout::of_running_kernel() {
        Ok(_) => yes(""),
        Err(LayoutError::NoTracepoint(name)) => no(format!("no {name}")),
        Err(error) => unknown(error.to_string()),
    }
}

fn uprobes() -> Asked {
    match fs::read_to_string(UPROBE) {
        Ok(text) if text.trim().parse::<u32>().is_ok() => yes(format!("perf event type {}", text.trim())),
        Ok(_) => unknown("the kernel gives no number for them"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => no(format!("no {UPROBE}")),
        Err(error) => unknown(error.to_string()),
    }
}

fn probe_groups() -> Asked {
    match multi::ask() {
        Ok(true) => yes(""),
        Ok(false) => no("the kernel does not know them"),
        Err(error) if is_refusal(&error) => unknown("the bpf call is not permitted"),
        Err(error) => unknown(error.to_string()),
    }
}

fn programs() -> Asked {
    match is_program_supported(ProgramType::KProbe) {
        Ok(true) => yes(""),
        Ok(false) => no("the kernel knows no programs for probes"),
        Err(ProgramError::SyscallError(error)) if is_refusal(&error.io_error) => no("the bpf call is not permitted"),
        Err(error) => unknown(cause(&error)),
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || error.raw_os_error() == Some(Errno::ENOSYS as i32)
}

fn map(kind: MapType) -> Asked {
    match is_map_supported(kind) {
        Ok(true) => yes(""),
        Ok(false) => no("the kernel does not know them"),
        Err(SyscallError { io_error, .. }) => unknown(io_error.to_string()),
    }
}

fn helper(helper: BpfHelper) -> Asked {
    // A uprobe's program is of the kind that the kernel calls kprobe.
    match is_helper_supported(ProgramType::KProbe, helper) {
        Ok(true) => yes(""),
        Ok(false) => no("the kernel does not know it"),
        Err(error) => unknown(cause(&error)),
    }
}

fn run_time_statistics() -> Asked {
    match enable_stats(Stats::RunTime) {
        Ok(_) => yes(""),
        Err(error) if is_refusal(&error.io_error) => no("not permitted"),
        Err(error) => unknown(cause(&error)),
    }
}

fn capability(ability: Ability) -> Asked {
    let Some(capability) = ability.capability() else { return unknown("not a capability") };
    let holds = |capability| caps::has_cap(None, CapSet::Effective, capability);
    match holds(capability) {
        Ok(true) => yes(""),
        // The kernel takes CAP_SYS_ADMIN for the two that were once part of it.
        Ok(false) if matches!(ability, Ability::CapBpf | Ability::CapPerfmon) => match holds(Capability::CAP_SYS_ADMIN)
        {
            Ok(true) => yes("by CAP_SYS_ADMIN"),
            _ => no("not held"),
        },
        Ok(false) => no("not held"),
        Err(error) => unknown(error.to_string()),
    }
}

fn memlock_limit() -> Asked {
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((RLIM_INFINITY, _)) => yes("unlimited"),
        Ok((limit, _)) => no(format!("{} KiB", limit / 1024)),
        Err(error) => unknown(error.to_string()),
    }
}

fn perf_event_paranoid() -> Asked {
    match fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").map(|text| text.trim().parse::<i32>()) {
        Ok(Ok(level)) if level < 0 => yes(level.to_string()),
        Ok(Ok(level)) => no(level.to_string()),
        Ok(Err(error)) => unknown(error.to_string()),
        Err(error) => unknown(error.to_string()),
    }
}

fn initial_pid_namespace() -> Asked {
    match fs::metadata("/proc/self/ns/pid").map(|metadata| metadata.ino()) {
        Ok(INITIAL_PID_NAMESPACE) => yes(""),
        Ok(_) => no("heaptide runs in a container's"),
        Err(error) => unknown(error.to_string()),
    }
}

fn tracefs() -> Asked {
    let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let mounted = places.into_iter().find(|place| Path::new(place).join("events").exists());
    mounted.map_or_else(|| no("not mounted"), yes)
}
