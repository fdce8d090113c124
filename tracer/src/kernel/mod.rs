//! The kernel: what it offers, the probes, and its counters. The only place that imports aya.

mod attach;
mod bill;
mod counters;
mod error;
pub mod features;
mod launched;
mod object;
mod offsets;
mod ring;

use std::collections::HashMap;

use aya::{
    Btf, Ebpf,
    maps::{Array, HashMap as BpfHashMap, MapData, PerCpuArray},
    programs::{BtfTracePoint, UProbe},
};
use heaptide_common::Settings;

pub use attach::{Detaching, Probes, Scope};
pub use bill::{Bill, WINDOW as BILL_WINDOW};
pub use counters::Counters;
pub use error::{AttachError, LoadError};
pub use features::Features;
pub use launched::{Launched, Mapped};
pub use object::is_built_in;
pub use offsets::{OffsetError, Offsets};
pub use ring::Ring;

/// What the kernel part is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of all rings together; each gets its share, rounded up to a power of two.
    pub ring_bytes: u64,
    /// Rings, a power of two up to 8.
    pub shards: u32,
    /// Whether the children of traced processes are traced.
    pub follow: bool,
    /// Smallest allocation that is recorded, in bytes.
    pub min_size: u64,
    /// Largest allocation that is recorded, in bytes.
    pub max_size: u64,
    /// Kernel-side diagnostics: 0 none, 1 errors … 5 everything.
    pub log_level: u8,
}

/// The reader of kernel-side diagnostics: readable when there is something to flush into the program's log.
pub type Diagnostics = aya_log::EbpfLogger<&'static dyn log::Log>;

/// The loaded kernel part. Dropping it takes every probe and program out of the kernel.
pub struct Kernel {
    bpf: Ebpf,
    settings: Settings,
    settings_map: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, u64>,
    traced: BpfHashMap<MapData, u32, u32>,
    attached: HashMap<u32, Vec<attach::Link>>,
}

impl Kernel {
    /// Loads the programs, and makes the rings that their events will come through.
    pub fn load(options: &Options) -> Result<(Self, Vec<Ring>), LoadError> {
        if !is_built_in() {
            return Err(LoadError::NotBuiltIn);
        }
        let offsets = Offsets::of_running_kernel()?;
        let mut bpf = object::load(options.log_level).map_err(|source| LoadError::Maps(Box::new(source)))?;
        let rings = ring::make(&mut bpf, options)?;
        let settings_map = Array::try_from(take(&mut bpf, "SETTINGS")?)?;
        let counters = PerCpuArray::try_from(take(&mut bpf, "COUNTERS")?)?;
        let traced = BpfHashMap::try_from(take(&mut bpf, "TRACED")?)?;
        load_programs(&mut bpf)?;
        let settings = Settings {
            running: 0,
            shards: options.shards,
            min_size: options.min_size,
            max_size: options.max_size,
            follow: u32::from(options.follow),
            task_tgid: offsets.task_tgid,
            task_mm: offsets.task_mm,
            task_signal: offsets.task_signal,
            signal_live: offsets.signal_live,
            unused: 0,
        };
        let mut kernel = Self { bpf, settings, settings_map, counters, traced, attached: HashMap::new() };
        kernel.set_running(false)?;
        Ok((kernel, rings))
    }

    /// From now on events are recorded.
    pub fn start(&mut self) -> Result<(), LoadError> {
        self.set_running(true)
    }

    /// From now on nothing is recorded; the probes stay until the end of the value.
    pub fn stop(&mut self) -> Result<(), LoadError> {
        self.set_running(false)
    }

    /// Watches the life of process `pid`: its forks, execs and its exit are recorded.
    pub fn trace(&mut self, pid: u32) -> Result<(), LoadError> {
        Ok(self.traced.insert(pid, 1, 0)?)
    }

    /// The counters as they stand.
    pub fn counters(&self) -> Result<Counters, LoadError> {
        counters::read(&self.counters)
    }

    /// The reader of kernel-side diagnostics, which hands them to the program's log.
    pub fn diagnostics(&mut self) -> Option<Diagnostics> {
        aya_log::EbpfLogger::init(&mut self.bpf).ok()
    }

    fn set_running(&mut self, running: bool) -> Result<(), LoadError> {
        self.settings.running = u32::from(running);
        Ok(self.settings_map.set(0, self.settings, 0)?)
    }
}

fn take(bpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, LoadError> {
    bpf.take_map(name).ok_or(LoadError::Incomplete { part: name })
}

fn load_programs(bpf: &mut Ebpf) -> Result<(), LoadError> {
    for (name, program) in bpf.programs_mut() {
        if let Ok(probe) = <&mut UProbe>::try_from(program) {
            probe.load().map_err(|source| LoadError::program(name, source))?;
        }
    }
    let btf = Btf::from_sys_fs().map_err(LoadError::Btf)?;
    for (name, tracepoint) in [
        ("process_fork", "sched_process_fork"),
        ("process_exec", "sched_process_exec"),
        ("process_exit", "sched_process_exit"),
    ] {
        let program = bpf.program_mut(name).ok_or(LoadError::Incomplete { part: name })?;
        let program: &mut BtfTracePoint = program.try_into().map_err(|source| LoadError::program(name, source))?;
        program.load(tracepoint, &btf).map_err(|source| LoadError::program(name, source))?;
        program.attach().map_err(|source| LoadError::program(name, source))?;
    }
    Ok(())
}
