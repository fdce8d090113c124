//! What is asked for, what it is needed for, and what to do when it is not there.

use caps::Capability;

/// Something that the machine, or this process's rights, may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ability {
    /// A kernel of a known release.
    KernelRelease,
    /// A processor whose calling convention the kernel part knows.
    Architecture,
    /// The kernel's types.
    Btf,
    /// Tracepoints for fork, exec and exit that need no tracefs.
    BtfTracepoints,
    /// Probes in programs.
    Uprobes,
    /// Probes attached and taken out many at once.
    ProbeGroups,
    /// Loading BPF programs for probes.
    Programs,
    /// Ring buffer maps.
    RingBuffer,
    /// Maps of maps.
    MapInMap,
    /// The helper `bpf_get_attach_cookie`.
    AttachCookie,
    /// The helper `bpf_ktime_get_ns`. Its cheaper sibling, `bpf_ktime_get_coarse_ns`, is forbidden in probes since 5.16.
    Time,
    /// The helper `bpf_get_stack`.
    GetStack,
    /// The helper `bpf_loop`.
    Loop,
    /// The helper `bpf_find_vma`.
    FindMapping,
    /// The kernel's measurement of the time spent in BPF programs.
    RunTimeStatistics,
    /// `CAP_BPF`.
    CapBpf,
    /// `CAP_PERFMON`.
    CapPerfmon,
    /// `CAP_SYS_PTRACE`.
    CapSysPtrace,
    /// `CAP_SYS_ADMIN`.
    CapSysAdmin,
    /// `CAP_SYS_RESOURCE`.
    CapSysResource,
    /// A limit of locked memory that lets maps be created on old kernels.
    MemlockLimit,
    /// Perf events without `CAP_PERFMON`.
    PerfEventParanoid,
    /// Process ids that mean the same to heaptide and to the kernel.
    InitialPidNamespace,
    /// tracefs.
    Tracefs,
}

/// How much an ability is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing can be recorded without it.
    Recording,
    /// Something is missing from the report, or some processes cannot be traced, without it.
    Helpful,
    /// It is not needed; shown because other tools need it, and to complete the picture.
    None,
}

/// What gives a process its capabilities.
const SUDO: &str = "run heaptide with sudo";

impl Ability {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 24] = [
        Self::KernelRelease,
        Self::Architecture,
        Self::Btf,
        Self::BtfTracepoints,
        Self::Uprobes,
        Self::ProbeGroups,
        Self::Programs,
        Self::RingBuffer,
        Self::MapInMap,
        Self::AttachCookie,
        Self::Time,
        Self::GetStack,
        Self::Loop,
        Self::FindMapping,
        Self::RunTimeStatistics,
        Self::CapBpf,
        Self::CapPerfmon,
        Self::CapSysPtrace,
        Self::CapSysAdmin,
        Self::CapSysResource,
        Self::MemlockLimit,
        Self::PerfEventParanoid,
        Self::InitialPidNamespace,
        Self::Tracefs,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.texts().0
    }

    /// What heaptide does with it.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        self.texts().1
    }

    /// What to do when it is not there.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        self.texts().2
    }

    /// How much it is needed.
    #[must_use]
    pub const fn need(self) -> Need {
        match self {
            Self::Architecture
            | Self::Btf
            | Self::BtfTracepoints
            | Self::Uprobes
            | Self::Programs
            | Self::RingBuffer
            | Self::MapInMap
            | Self::AttachCookie
            | Self::Time
            | Self::GetStack
            | Self::Loop
            | Self::FindMapping
            | Self::CapBpf
            | Self::CapPerfmon => Need::Recording,
            Self::RunTimeStatistics | Self::CapSysPtrace | Self::CapSysAdmin | Self::InitialPidNamespace => {
                Need::Helpful
            }
            Self::KernelRelease
            | Self::ProbeGroups
            | Self::CapSysResource
            | Self::MemlockLimit
            | Self::PerfEventParanoid
            | Self::Tracefs => Need::None,
        }
    }

    /// The capability that is asked for, if it is one.
    #[must_use]
    pub(super) const fn capability(self) -> Option<Capability> {
        match self {
            Self::CapBpf => Some(Capability::CAP_BPF),
            Self::CapPerfmon => Some(Capability::CAP_PERFMON),
            Self::CapSysPtrace => Some(Capability::CAP_SYS_PTRACE),
            Self::CapSysAdmin => Some(Capability::CAP_SYS_ADMIN),
            Self::CapSysResource => Some(Capability::CAP_SYS_RESOURCE),
            _ => None,
        }
    }

    /// Whether it is a capability of this process.
    #[must_use]
    pub const fn is_capability(self) -> bool {
        self.capability().is_some()
    }

    /// Name, purpose, remedy.
    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::KernelRelease => ("kernel release", "tested with 6.1, 6.12 and 6.18", ""),
            Self::Architecture => ("architecture", "arguments of calls", "use a 64-bit x86 machine"),
            Self::Btf => ("BTF", "the kernel's types", "use a kernel built with CONFIG_DEBUG_INFO_BTF"),
            Self::BtfTracepoints => (
                "BTF tracepoints",
                "fork, exec and exit of processes",
                "use a kernel built with CONFIG_DEBUG_INFO_BTF and CONFIG_TRACEPOINTS",
            ),
            Self::Uprobes => ("uprobes", "probes in the target", "use a kernel built with CONFIG_UPROBE_EVENTS"),
            Self::ProbeGroups => ("uprobe multi links", "probes that go in and out at once", ""),
            Self::Programs => (
                "BPF programs",
                "what runs at a probe",
                "run heaptide with sudo, outside of containers that forbid bpf, on a kernel with CONFIG_BPF_EVENTS",
            ),
            Self::RingBuffer => ("BPF ring buffers", "events", "use Linux 5.8 or later"),
            Self::MapInMap => ("BPF maps of maps", "several rings", "use Linux 4.12 or later"),
            Self::AttachCookie => {
                ("BPF helper bpf_get_attach_cookie", "arguments of each function", "use Linux 5.15 or later")
            }
            Self::Time => ("BPF helper bpf_ktime_get_ns", "ages of blocks", "use Linux 4.1 or later"),
            Self::GetStack => ("BPF helper bpf_get_stack", "stacks", "use Linux 4.18 or later"),
            Self::Loop => ("BPF helper bpf_loop", "walking stacks without frame pointers", "use Linux 5.17 or later"),
            Self::FindMapping => ("BPF helper bpf_find_vma", "the file of each frame", "use Linux 5.17 or later"),
            Self::RunTimeStatistics => {
                ("BPF run-time statistics", "heaptide's own cost in the report", "run heaptide with sudo")
            }
            Self::CapBpf => ("CAP_BPF", "loading BPF programs", SUDO),
            Self::CapPerfmon => ("CAP_PERFMON", "attaching probes", SUDO),
            Self::CapSysPtrace => ("CAP_SYS_PTRACE", "other users' processes", SUDO),
            Self::CapSysAdmin => ("CAP_SYS_ADMIN", "replaced files, run-time statistics", SUDO),
            Self::CapSysResource => ("CAP_SYS_RESOURCE", "kernels before 5.11 only", ""),
            Self::MemlockLimit => ("memlock limit", "kernels before 5.11 only", ""),
            Self::PerfEventParanoid => ("perf_event_paranoid", "users without CAP_PERFMON only", ""),
            Self::InitialPidNamespace => (
                "initial PID namespace",
                "process ids that the kernel uses too",
                "run heaptide on the host, or in a container with the host's process ids",
            ),
            Self::Tracefs => ("tracefs", "other tools only", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_needed_comes_with_what_to_do() {
        for ability in Ability::ALL {
            assert!(!ability.purpose().is_empty(), "{ability:?}");
            assert_eq!(ability.remedy().is_empty(), ability.need() == Need::None, "{ability:?}");
        }
    }
}
