//! What the kernel part's programs cost.
//!
//! The kernel measures a program's time only while somebody asks it to, and asking makes every program of the host a
//! little slower. So it is asked for a short window each second, and the sum is scaled up by the hits outside of it.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use aya::sys::{Stats, enable_stats};

use super::Kernel;
use crate::numbers::float;

/// How long the kernel measures at a time.
const WINDOW: Duration = Duration::from_millis(50);

/// Fewer runs say little of the next ones: the first ones take long, since nothing is in the caches.
const FEWEST_RUNS: u64 = 200;

/// Time and runs of all programs of the kernel part.
#[derive(Clone, Copy, Debug, Default)]
struct Runs {
    time: Duration,
    count: u64,
}

/// The running bill.
#[derive(Default)]
pub struct Bill {
    window: Option<(OwnedFd, Instant)>,
    measured: Duration,
    last: Runs,
    /// Of the newest windows alone, until it is told.
    newest: Runs,
}

impl Bill {
    /// Begins a window, when the kernel allows it.
    pub fn open_window(&mut self) {
        if self.window.is_none() {
            self.window = enable_stats(Stats::RunTime).ok().map(|file| (file, Instant::now()));
        }
    }

    /// When the window that is open ends.
    #[must_use]
    pub fn window_end(&self) -> Option<Instant> {
        self.window.as_ref().map(|(_, begin)| *begin + WINDOW)
    }

    /// Ends the window.
    pub fn close_window(&mut self, kernel: &Kernel) {
        if let Some((_, begin)) = self.window.take() {
            self.measured += begin.elapsed();
            let runs = kernel.runs();
            let time = runs.time.saturating_sub(self.last.time);
            self.newest.time += time;
            self.newest.count += runs.count.saturating_sub(self.last.count);
            self.last = runs;
        }
    }

    /// Begins a window anew: what was measured in one that is open belongs to what was before.
    pub fn reopen_window(&mut self, kernel: &Kernel) {
        self.close_window(kernel);
        self.newest = Runs::default();
        self.open_window();
    }

    /// Nanoseconds of a run in the newest windows; told once. `None` while there are too few runs to tell.
    pub fn newest_run(&mut self) -> Option<f64> {
        let runs = self.newest;
        if runs.count < FEWEST_RUNS {
            return None;
        }
        self.newest = Runs::default();
        Some(mean_seconds(runs) * 1e9)
    }

    /// Seconds that the programs ran, given how often they ran in all, and the share of `elapsed` that was measured;
    /// `None` when nothing was.
    #[must_use]
    pub fn seconds(&self, hits: u64, elapsed: Duration) -> Option<(f64, f64)> {
        if self.measured.is_zero() || elapsed.is_zero() {
            return None;
        }
        let share = (self.measured.as_secs_f64() / elapsed.as_secs_f64()).min(1.0);
        if self.last.count == 0 {
            // Not one hit in any window: too few to matter, if any.
            return (hits == 0).then_some((0.0, share));
        }
        Some((mean_seconds(self.last) * float(hits), share))
    }
}

fn mean_seconds(runs: Runs) -> f64 {
    runs.time.as_secs_f64() / float(runs.count)
}

impl Kernel {
    fn runs(&self) -> Runs {
        let mut runs = Runs::default();
        for program in self.probe_programs() {
            // The one call that tells of a program by its descriptor is not public in aya; the kernel tells the same here.
            let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).unwrap_or_default();
            runs.time += Duration::from_nanos(field(&text, "run_time_ns:"));
            runs.count += field(&text, "run_cnt:");
        }
        runs
    }
}

/// A number in the lines of an `fdinfo`; 0 where it is not told.
fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_its_whole_name() {
        let text = "pos:\t0\nprog_id:\t17\nrun_time_ns:\t1234\nrun_cnt:\t5\n";
        assert_eq!((field(text, "run_time_ns:"), field(text, "run_cnt:")), (1234, 5));
        assert_eq!(field(text, "recursion_misses:"), 0);
    }
}
