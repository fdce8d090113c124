//! On what machine, and when.

use std::fs;

use anyhow::{Context as _, Result};
use procfs::{Current as _, LoadAverage};
use serde::Serialize;

/// What figures depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Date and time of day, UTC.
    pub(crate) date: String,
    pub(crate) architecture: &'static str,
    /// Processors that this program may use.
    pub(crate) cpus: usize,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Whether it is a virtual machine; `None` where the processor does not tell.
    pub(crate) is_virtual: Option<bool>,
    /// Tasks that wanted to run, on the average of the minute before: above 0, others were measured too.
    pub(crate) load: f32,
}

impl Machine {
    pub(crate) fn look() -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot ask for the kernel's release")?;
        let processors = fs::read_to_string("/proc/cpuinfo").context("cannot ask for the processors")?;
        Ok(Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            architecture: std::env::consts::ARCH,
            cpus: std::thread::available_parallelism().context("cannot count the processors")?.get(),
            kernel: kernel.trim_end().to_owned(),
            is_virtual: is_virtual(&processors),
            load: LoadAverage::current().context("cannot ask for the load")?.one,
        })
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let Self { date, architecture, cpus, kernel, load, .. } = self;
        let kind = match self.is_virtual {
            Some(true) => ", virtual machine",
            Some(false) => ", bare metal",
            None => "",
        };
        format!("{date}: {cpus} CPUs, {architecture}{kind}, kernel {kernel}, load before {load:.1}")
    }
}

/// x86 has a processor flag that every hypervisor sets for its guests.
fn is_virtual(processors: &str) -> Option<bool> {
    let flags = processors.lines().find_map(|line| line.strip_prefix("flags"))?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_told_by_its_processors_flags() {
        assert_eq!(is_virtual("processor\t: 0\nflags\t\t: fpu hypervisor sse\n"), Some(true));
        assert_eq!(is_virtual("processor\t: 0\nflags\t\t: fpu sse\n"), Some(false));
        assert_eq!(is_virtual("processor\t: 0\nFeatures\t: fp asimd\n"), None);
    }
}
