//! CPU time that the traced processes have used, against which the tracer's own cost is held.

use std::time::Duration;

use nix::{
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use rustc_hash::FxHashMap;

/// CPU time of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    /// What it had used before.
    before: Duration,
    /// What it had used when it was last looked at.
    last: Duration,
}

/// CPU time of all processes since they were traced.
#[derive(Debug, Default)]
pub(super) struct CpuTimes {
    of: FxHashMap<u32, Used>,
    /// Of processes that have ended, as far as was seen.
    ended: Duration,
}

impl CpuTimes {
    /// A process counts from now on.
    pub(super) fn begin(&mut self, pid: u32) {
        let before = time_of(pid).unwrap_or_default();
        self.add(pid, before);
    }

    /// A process counts from its own begin on.
    pub(super) fn forked(&mut self, pid: u32) {
        self.add(pid, Duration::ZERO);
        self.look(pid);
    }

    /// What was used so far does not count.
    pub(super) fn restart(&mut self) {
        self.ended = Duration::ZERO;
        for (&pid, used) in &mut self.of {
            used.last = time_of(pid).unwrap_or(used.last);
            used.before = used.last;
        }
    }

    /// Looks at a process.
    pub(super) fn look(&mut self, pid: u32) {
        if let Some(used) = self.of.get_mut(&pid) {
            // A number that another process has by now would have used less.
            used.last = time_of(pid).unwrap_or(used.last).max(used.last);
        }
    }

    /// A process has ended. Until its parent has asked for its end, it can still be looked at.
    pub(super) fn end(&mut self, pid: u32) {
        self.look(pid);
        if let Some(used) = self.of.remove(&pid) {
            self.ended += used.last.saturating_sub(used.before);
        }
    }

    /// What all have used, as they were last looked at.
    pub(super) fn total(&self) -> Duration {
        self.ended + self.of.values().map(|used| used.last.saturating_sub(used.before)).sum::<Duration>()
    }

    /// What all have used by now.
    pub(super) fn now(&mut self) -> Duration {
        for (&pid, used) in &mut self.of {
            used.last = time_of(pid).unwrap_or(used.last).max(used.last);
        }
        self.total()
    }

    fn add(&mut self, pid: u32, before: Duration) {
        // Whose end was not told has ended all the same.
        if let Some(forgotten) = self.of.insert(pid, Used { before, last: before }) {
            self.ended += forgotten.last.saturating_sub(forgotten.before);
        }
    }
}

/// CPU time that the calling thread uses from now on: what it waits for others does not count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Duration);

impl Stopwatch {
    /// From now on.
    pub(super) fn start() -> Self {
        Self(Self::read())
    }

    /// What was used since.
    pub(super) fn elapsed(self) -> Duration {
        Self::read().saturating_sub(self.0)
    }

    fn read() -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
    }
}

/// CPU time of a process, all threads, those included that have ended. Its clock is finer than what `/proc` tells.
fn time_of(pid: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).ok()?;
    clock_gettime(clock).ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Instant};

    use procfs::process::Process as ProcProcess;

    use super::*;

    fn burn(time: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn only_what_is_used_after_the_begin_counts() {
        let pid = std::process::id();
        burn(Duration::from_millis(60));
        let mut times = CpuTimes::default();
        times.begin(pid);
        assert_eq!(times.total(), Duration::ZERO);
        burn(Duration::from_millis(300));
        times.look(pid);
        // The machine may be busy with others; other tests run in the same process.
        let used = times.total();
        assert!(used >= Duration::from_millis(50), "{used:?}");
        times.restart();
        assert_eq!(times.total(), Duration::ZERO);
    }

    #[test]
    fn what_an_ended_process_has_used_stays() {
        let burn = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done";
        let mut child = Command::new("sh").args(["-c", burn]).spawn().unwrap();
        let mut times = CpuTimes::default();
        times.forked(child.id());
        // Ended, and not yet asked for: as a process is when the kernel part tells of its exit.
        let stat = || ProcProcess::new(child.id().cast_signed()).unwrap().stat().unwrap();
        while stat().state != 'Z' {
            std::thread::sleep(Duration::from_millis(5));
        }
        times.end(child.id());
        child.wait().unwrap();
        let used = times.total();
        assert!(used >= Duration::from_millis(10), "{used:?}");
        times.look(child.id());
        assert_eq!(times.total(), used);
    }
}
