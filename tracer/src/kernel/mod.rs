//! The kernel: what it offers, the probes, and its counters. The only place that imports aya.

mod attach;
mod bill;
mod counters;
mod error;
pub mod features;
mod growth;
mod launched;
mod layout;
mod multi;
mod object;
mod prices;
mod ring;
mod sampling;
mod single;
mod sys;
mod tables;
mod tallies;
mod types;

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHashMap, Map, MapData, PerCpuArray},
    programs::{Program, ProgramError},
    sys::SyscallError,
};
pub use heaptide_common::StackMethod;
use heaptide_common::{Settings, settings::running};

pub use attach::{Detaching, Probes, Scope};
pub use bill::Bill;
pub use counters::{Counters, Outcomes};
pub use error::{AttachError, LoadError};
pub use features::Features;
pub use launched::{Launched, Mapped};
pub use layout::{Layout, LayoutError};
pub use object::is_built_in;
pub use prices::prices;
pub use ring::Ring;
pub use tables::{FileRows, Tables};
pub use tallies::{Calls, Tallied, Tally};

use growth::Growth;
use multi::Multi;
use object::{Code, Purpose};
use sampling::{Sampling, Sizes};
use tallies::Tallies;

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
    /// Rows that all tables for unwinding together can have, 8 bytes each.
    pub rows: u32,
    /// How stacks are taken.
    pub stacks: StackMethod,
    /// Bytes for which one block is recorded, on average; `None` records every block.
    pub sample: Option<u32>,
    /// Whether only the growth of memory is recorded: mappings and page faults, and no blocks.
    pub growth: bool,
    /// Whether the probes' programs do nothing, where the kernel takes them in groups: to measure what the probes alone cost.
    pub empty: bool,
    /// Kernel-side diagnostics: 0 none, 1 errors … 5 everything.
    pub log_level: u8,
}

/// The reader of kernel-side diagnostics: readable when there is something to flush into the program's log.
pub type Diagnostics = aya_log::EbpfLogger<&'static dyn log::Log>;

/// The loaded kernel part. Dropping it takes every probe and program out of the kernel.
pub struct Kernel {
    /// Probes of functions that hand out or take back blocks, by process.
    attached_blocks: HashMap<u32, Vec<attach::Link>>,
    /// Those as they were asked for, when they may be put in again after a pause.
    asked_blocks: Option<HashMap<u32, Vec<attach::Asked>>>,
    /// All others.
    attached: HashMap<u32, Vec<attach::Link>>,
    means: Means,
    _tracepoints: Vec<OwnedFd>,
    bpf: Ebpf,
    settings: Settings,
    settings_map: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, u64>,
    tallies: Tallies,
    /// When events began to be recorded.
    started: Option<Instant>,
    traced: BpfHashMap<MapData, u32, u32>,
    outcomes: PerCpuArray<MapData, u64>,
    sampling: Sampling,
    growth: Option<Growth>,
}

/// How probes are attached.
enum Means {
    /// All of a program in a file at once.
    Multi(Multi),
    /// One by one, with the programs in [`Kernel::bpf`].
    Single,
}

impl Kernel {
    /// Loads the programs, and makes the rings that their events will come through.
    pub fn load(options: &Options) -> Result<(Self, Vec<Ring>, Tables), LoadError> {
        if !is_built_in() {
            return Err(LoadError::NotBuiltIn);
        }
        let layout = Layout::of_running_kernel()?;
        let sizes = Sizes::of(options.sample);
        let mut bpf = object::load(options, sizes).map_err(|source| LoadError::Maps(Box::new(source)))?;
        let code = Code::of(&bpf).map_err(|source| LoadError::Code(Box::new(source)))?;
        let rings = ring::make(&mut bpf, options)?;
        let settings_map = Array::try_from(take(&mut bpf, "SETTINGS")?)?;
        let counters = PerCpuArray::try_from(take(&mut bpf, "COUNTERS")?)?;
        let tallies = Tallies::new(PerCpuArray::try_from(take(&mut bpf, "CALLS")?)?);
        let traced = BpfHashMap::try_from(take(&mut bpf, "TRACED")?)?;
        let Map::Array(rows) = take(&mut bpf, "ROWS")? else {
            return Err(LoadError::Incomplete { part: "ROWS".to_owned() });
        };
        let files = BpfHashMap::try_from(take(&mut bpf, "FILES")?)?;
        let wanted = BpfHashMap::try_from(take(&mut bpf, "WANTED")?)?;
        let tables = Tables::new(&rows, options.rows, files, wanted)?;
        let outcomes = PerCpuArray::try_from(take(&mut bpf, "OUTCOMES")?)?;
        let sampling = Sampling::new(&mut bpf)?;
        let means = load_probes(&code, &mut bpf, options.empty)?;
        let tracepoints = load_tracepoints(&code, &layout)?;
        let growth = if options.growth { Some(Growth::load(&code, &mut bpf, options.follow)?) } else { None };
        let growth_offsets = growth::offsets(&layout, options.growth)?;
        let settings = Settings {
            running: running::NOTHING,
            shards: options.shards,
            min_size: options.min_size,
            max_size: options.max_size,
            follow: u32::from(options.follow),
            offsets: layout.offsets,
            epoch: 0,
            stacks: options.stacks as u32,
            samples: u32::from(options.sample.is_some()),
            interval: sampling::whole(options.sample.unwrap_or(0)),
            tag_mask: sizes.buckets - 1,
            tag_shift: sizes.shift,
            wakeup_mask: ring::wakeup_mask(options),
            pulse: 0,
            generation: 0,
            growth: u32::from(options.growth),
            growth_offsets,
            direct_map: 0,
        };
        let mut kernel = Self {
            attached_blocks: HashMap::new(),
            asked_blocks: None,
            attached: HashMap::new(),
            means,
            _tracepoints: tracepoints,
            bpf,
            settings,
            settings_map,
            counters,
            tallies,
            started: None,
            traced,
            outcomes,
            sampling,
            growth,
        };
        kernel.set_running(false)?;
        Ok((kernel, rings, tables))
    }

    /// From now on events are recorded.
    pub fn start(&mut self) -> Result<(), LoadError> {
        self.started = Some(Instant::now());
        self.set_running(true)
    }

    /// From now on nothing is recorded; the probes stay until the end of the value.
    pub fn stop(&mut self) -> Result<(), LoadError> {
        self.set_running(false)
    }

    /// Watches the life of process `pid`: its forks, execs and its exit are recorded.
    pub fn trace(&mut self, pid: u32) -> Result<(), LoadError> {
        // Without sampling it does not matter which.
        let family = if self.settings.samples == 0 { 1 } else { self.sampling.family()? };
        Ok(self.traced.insert(pid, family, 0)?)
    }

    /// Process `pid` has ended before its life was watched: another one that gets its number is not meant.
    pub fn forget(&mut self, pid: u32) {
        // Its end was seen after all if it is not there.
        let _ = self.traced.remove(&pid);
    }

    /// Whether probes of one process see another one that runs in its memory (`vfork`) as well: those that the kernel
    /// filters by memory do, those that it filters by threads do not.
    #[must_use]
    pub const fn sees_guests(&self) -> bool {
        matches!(self.means, Means::Single)
    }

    /// The counters as they stand.
    pub fn counters(&self) -> Result<Counters, LoadError> {
        counters::read(&self.counters)
    }

    /// How many walks of a stack ended in each way.
    pub fn outcomes(&self) -> Result<Outcomes, LoadError> {
        counters::read_outcomes(&self.outcomes)
    }

    /// The reader of kernel-side diagnostics, which hands them to the program's log.
    pub fn diagnostics(&mut self) -> Option<Diagnostics> {
        aya_log::EbpfLogger::init(&mut self.bpf).ok()
    }

    /// The descriptors of the programs at functions.
    fn probe_programs(&self) -> Vec<BorrowedFd<'_>> {
        let faults = self.growth.iter().map(Growth::descriptor);
        match &self.means {
            Means::Multi(multi) => multi.descriptors().chain(faults).collect(),
            Means::Single => {
                let probes = self.bpf.programs().filter(|(_, program)| matches!(program, Program::UProbe(_)));
                probes.filter_map(|(_, program)| Some(program.fd().ok()?.as_fd())).chain(faults).collect()
            }
        }
    }

    fn set_running(&mut self, is_running: bool) -> Result<(), LoadError> {
        self.settings.running = match is_running {
            false => running::NOTHING,
            true if self.settings.growth != 0 => running::WITHOUT_BLOCKS,
            true => running::EVERYTHING,
        };
        Ok(self.settings_map.set(0, self.settings, 0)?)
    }
}

fn take(bpf: &mut Ebpf, name: &'static str) -> Result<Map, LoadError> {
    bpf.take_map(name).ok_or_else(|| LoadError::Incomplete { part: name.to_owned() })
}

fn load_probes(code: &Code, bpf: &mut Ebpf, empty: bool) -> Result<Means, LoadError> {
    // What stands in the way of asking will be told when the programs are loaded one by one.
    if multi::ask().unwrap_or(false) {
        return Ok(Means::Multi(Multi::load(code, empty)?));
    }
    log::info!("this kernel attaches probes only one by one: the end will take some 100 ms a probe");
    single::load(bpf)?;
    Ok(Means::Single)
}

/// Loads and attaches what watches processes.
fn load_tracepoints(code: &Code, layout: &Layout) -> Result<Vec<OwnedFd>, LoadError> {
    let load = |((name, _), id)| {
        let program = code.load(name, Purpose::Tracepoint(id))?;
        sys::attach_tracepoint(program.as_fd()).map_err(|io_error| {
            let error = SyscallError { call: "bpf_raw_tracepoint_open", io_error };
            LoadError::program(name, ProgramError::SyscallError(error))
        })
    };
    layout::TRACEPOINTS.into_iter().zip(layout.tracepoints).map(load).collect()
}
