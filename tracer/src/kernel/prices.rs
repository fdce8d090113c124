//! What traps cost here, measured: a probe on each kind of instruction, in code of our own that only this thread calls.
//!
//! Which instructions the kernel emulates grows with its versions, and what a trap costs is the machine's: both are asked
//! for, not known. It takes some 20 ms, so the answer is kept until the machine starts again.

use std::{
    ffi::CString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    num::NonZeroUsize,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
    ptr::NonNull,
    time::Instant,
};

use nix::{
    libc,
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags, mmap, munmap},
        utsname::uname,
    },
    unistd::geteuid,
};
use serde::{Deserialize, Serialize};

use super::{
    attach::drop_elsewhere,
    multi,
    sys::{self, MultiProbe},
};
use crate::sites::{Class, Prices};

/// Where the prices are kept. It is empty again when the machine starts.
const KEPT: &str = "/run/heaptide/prices.json";

/// Largest file that is read.
const LARGEST: u64 = 1 << 16;

/// Calls that are timed together, and how often.
const CALLS: u32 = 8;
const ROUNDS: usize = 24;

/// Bytes between the samples: each in a cache line of its own.
const SPACING: usize = 64;

/// Prices, and the kernel that they are of.
#[derive(Serialize, Deserialize)]
struct Kept {
    kernel: String,
    prices: Prices,
}

/// What traps cost on this kernel: as kept, else measured, else as kernels up to 6.12 are known.
#[must_use]
pub fn prices() -> Prices {
    let kernel = kernel();
    if let Some(prices) = read_kept(&kernel) {
        return prices;
    }
    match measure() {
        Ok(prices) if prices.are_plausible() => {
            if let Err(error) = keep(&Kept { kernel, prices: prices.clone() }) {
                log::info!("what traps cost here is not kept: {error}");
            }
            prices
        }
        Ok(prices) => {
            log::info!("what was measured of traps cannot be true: {prices:?}");
            Prices::of_old()
        }
        Err(error) => {
            log::info!("what traps cost here could not be measured: {error}");
            Prices::of_old()
        }
    }
}

fn kernel() -> String {
    uname().map_or_else(
        |_| String::new(),
        |name| format!("{} {}", name.release().to_string_lossy(), name.version().to_string_lossy()),
    )
}

fn read_kept(kernel: &str) -> Option<Prices> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(KEPT).ok()?;
    let metadata = file.metadata().ok()?;
    // Only what this user has written, and nobody else can.
    if !metadata.is_file() || metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return None;
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    let kept: Kept = serde_json::from_str(&text).ok()?;
    (kept.kernel == kernel && kept.prices.is_measured && kept.prices.are_plausible()).then_some(kept.prices)
}

fn keep(kept: &Kept) -> io::Result<()> {
    let path = Path::new(KEPT);
    let Some(folder) = path.parent() else { return Ok(()) };
    match DirBuilder::new().mode(0o755).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!("{} is not this user's folder alone", folder.display())));
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(serde_json::to_string(kept)?.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

/// Puts a probe on a sample of each kind, calls it and takes the time.
fn measure() -> io::Result<Prices> {
    if !multi::ask()? {
        return Err(io::Error::other("this kernel attaches probes only one by one"));
    }
    let code = SampleCode::map()?;
    let program = multi::load_nothing()?;
    let offsets: Vec<u64> = Class::ALL.into_iter().map(|class| (place(class) + class.sample().1) as u64).collect();
    let entries = code.probe(&program, &offsets, false)?;
    let instructions = Class::ALL.map(|class| code.time(place(class)));
    let push = instructions[Class::Push.index()];
    // After each other: a call must not pass both.
    let returns = code.probe(&program, &[RETURNING as u64], true)?;
    let with_return = code.time(RETURNING);
    // The kernel waits for all CPUs before a probe is out; nobody needs to wait for that here.
    let _ = drop_elsewhere((entries, returns, program));
    Ok(Prices::measured(instructions, (with_return - push).max(1.0)))
}

/// Where the sample of a kind is.
const fn place(class: Class) -> usize {
    class.index() * SPACING
}

/// Where the sample of a return is.
const RETURNING: usize = Class::COUNT * SPACING;

/// The samples, in a file of this process alone, mapped as code.
struct SampleCode {
    file: OwnedFd,
    memory: NonNull<libc::c_void>,
}

const LENGTH: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

const _: () = assert!(RETURNING + SPACING <= LENGTH.get());

impl SampleCode {
    fn map() -> io::Result<Self> {
        let file = memfd_create(c"heaptide-samples", MFdFlags::MFD_CLOEXEC)?;
        let mut bytes = vec![0_u8; LENGTH.get()];
        let samples = Class::ALL.into_iter().map(|class| (place(class), class.sample().0));
        for (at, sample) in samples.chain([(RETURNING, Class::Push.sample().0)]) {
            bytes[at..at + sample.len()].copy_from_slice(sample);
        }
        let mut file = File::from(file);
        file.write_all(&bytes)?;
        let file = OwnedFd::from(file);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let memory = unsafe { mmap(None, LENGTH, protection, MapFlags::MAP_PRIVATE, &file, 0) }?;
        Ok(Self { file, memory })
    }

    fn probe(&self, program: &OwnedFd, offsets: &[u64], returns: bool) -> io::Result<OwnedFd> {
        let path = CString::new(format!("/proc/self/fd/{}", self.file.as_raw_fd()))?;
        let cookies = vec![0; offsets.len()];
        let probe = MultiProbe { path: &path, offsets, cookies: &cookies, returns, pid: std::process::id() };
        sys::attach_multi(program.as_fd(), &probe)
    }

    /// Nanoseconds that a call of the sample at `at` takes. Of several rounds the first quarter is left out, and all that
    /// something else has made longer.
    fn time(&self, at: usize) -> f64 {
        // SAFETY: every sample is a function without arguments that keeps to the calling convention ([`Class::sample`]),
        // and the mapping lives as long as `self`.
        let sample: extern "C" fn() = unsafe { std::mem::transmute(self.memory.as_ptr().cast::<u8>().add(at)) };
        let mut rounds = [0.0; ROUNDS];
        for round in &mut rounds {
            let begin = Instant::now();
            for _ in 0..CALLS {
                sample();
            }
            *round = begin.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS);
        }
        rounds.sort_by(f64::total_cmp);
        rounds[ROUNDS / 4]
    }
}

impl Drop for SampleCode {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing runs in it any more.
        if let Err(error) = unsafe { munmap(self.memory, LENGTH.get()) } {
            log::debug!("the samples stay mapped: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_run_and_come_back() {
        let code = SampleCode::map().unwrap();
        for class in Class::ALL {
            assert!(code.time(place(class)) < 1e6, "{class:?}");
        }
        assert!(code.time(RETURNING) < 1e6);
    }
}
