//! What a launched program and its children map, told by the kernel while it happens.
//!
//! A program can be over before anybody reads its `/proc/PID/maps`; the kernel's own log of mappings (`PERF_RECORD_MMAP2`,
//! `perf_event_open(2)`) survives it. It is asked for before the program starts, and children inherit it.

use std::io;

use perf_event::{Builder, SampleFlag, Sampler, data::Record, events::Software};

/// Bytes of each CPU's buffer: some 1,500 mappings.
const BUFFER: usize = 256 << 10;

/// Set in a COMM record's `misc` when an exec, and not the program itself, gave the name.
const COMM_EXEC: u16 = 1 << 13;

/// What has happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// It runs another program, of this name; its mappings begin anew.
    Program {
        /// The process.
        pid: u32,
        /// The kernel's name for it, as bytes of the target.
        name: Vec<u8>,
    },
    /// It has mapped a file with the right to execute.
    File {
        /// The process.
        pid: u32,
        /// First address.
        start: u64,
        /// First address past it.
        end: u64,
        /// Bytes from the begin of the file.
        offset: u64,
        /// Major and minor number of the file's device.
        device: (u32, u32),
        /// The file's inode.
        inode: u64,
        /// Path as the process sees it, as bytes of the target.
        path: Vec<u8>,
    },
    /// So many records were lost because a buffer was full.
    Lost(u64),
}

/// The kernel's logs, one a CPU.
pub struct Launched {
    samplers: Vec<Sampler>,
}

impl Launched {
    /// Watches process `pid`, which has one thread, and all that it will start.
    pub fn watch(pid: u32) -> io::Result<Self> {
        let cpus = aya::util::online_cpus().map_err(|(_, error)| error)?;
        let samplers = cpus.into_iter().map(|cpu| sampler(pid, cpu)).collect::<io::Result<_>>()?;
        Ok(Self { samplers })
    }

    /// What has happened since the last call, in order of time.
    pub fn drain(&mut self) -> Vec<Mapped> {
        let mut records = Vec::new();
        for sampler in &mut self.samplers {
            while let Some(record) = sampler.next_record() {
                records.extend(read(&record));
            }
        }
        records.sort_by_key(|&(time, _)| time);
        records.into_iter().map(|(_, mapped)| mapped).collect()
    }
}

fn sampler(pid: u32, cpu: u32) -> io::Result<Sampler> {
    Builder::new(Software::DUMMY)
        .observe_pid(pid.cast_signed())
        .one_cpu(cpu as usize)
        .inherit(true)
        .mmap(true)
        .mmap2(true)
        .comm(true)
        .comm_exec(true)
        .sample_id_all(true)
        .sample(SampleFlag::TIME)
        .enabled(true)
        .build()?
        .sampled(BUFFER)
}

/// The record's time in nanoseconds, and what it says; `None` for records of no interest.
fn read(record: &perf_event::Record<'_>) -> Option<(u64, Mapped)> {
    // With `sample_id_all` and only the time asked for, a record ends with it.
    let time = u64::from_ne_bytes(*record.to_contiguous().last_chunk()?);
    let mapped = match record.parse_record().ok()? {
        Record::Comm(comm) if record.misc() & COMM_EXEC != 0 => {
            Mapped::Program { pid: comm.pid, name: comm.comm.into_owned() }
        }
        Record::Mmap2(map) => Mapped::File {
            pid: map.pid,
            start: map.addr,
            end: map.addr.checked_add(map.len)?,
            offset: map.pgoff,
            device: (map.maj().unwrap_or(0), map.min().unwrap_or(0)),
            inode: map.ino().unwrap_or(0),
            path: map.filename.into_owned(),
        },
        Record::Lost(lost) => Mapped::Lost(lost.lost),
        _ => return None,
    };
    Some((time, mapped))
}
