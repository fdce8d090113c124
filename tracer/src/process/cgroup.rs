//! How much memory a process may take: the limit of its control group, or what the machine has.
//!
//! Both kinds of control groups are read (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst), also where they
//! stand side by side, and from within a container, which sees a part of the tree only. A group's limit holds for all
//! groups below it together, so that each group on the way up has its own use and its own limit, and the one with the
//! least room left counts.
//!
//! *Use* is what the kernel cannot simply drop: pages charged to the group without those of files that were not used
//! lately (`inactive_file`). It is the working set of Kubernetes (kubelet's `container_memory_working_set_bytes`): near the
//! limit the kernel drops these pages before it ends anybody.
//!
//! `memory.high` is no limit here: beyond it a group is slowed down, but nobody is ended.

mod place;

use std::fs;
use std::path::{Path, PathBuf};

use procfs::{Current, Meminfo};

use self::place::Place;
use crate::profile::{MemoryLimit, Whose};

/// A v1 group without a limit has the largest number of whole pages instead: nothing near it is a limit.
const NO_LIMIT: u64 = 1 << 62;

/// The memory control group that a process was in when it was asked.
#[derive(Clone, Debug)]
pub struct Cgroup {
    place: Place,
}

/// What a control group uses and may use, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMemory {
    /// In use, without what can be dropped: of the group whose limit is given, otherwise of the process's own.
    pub use_bytes: u64,
    /// The limit that is reached first, of the group and all above it; `None` when there is none.
    pub limit_bytes: Option<u64>,
}

impl Cgroup {
    /// The memory control group of `pid`; `None` when it has none that is visible here (the process has ended, there is no
    /// memory controller, or the group lies outside of the container that heaptide runs in).
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Self::below(Path::new("/"), pid)
    }

    /// The same, with another root of all files.
    fn below(root: &Path, pid: u32) -> Option<Self> {
        Place::find(root, pid).map(|place| Self { place })
    }

    /// What it uses and may use now; `None` when that cannot be read, as of a group that is gone.
    #[must_use]
    pub fn read(&self) -> Option<GroupMemory> {
        let mut own = None;
        let mut tightest: Option<GroupMemory> = None;
        for group in self.place.upwards() {
            // A group without the controller is charged to the one above it.
            let Some((used, limit)) = self.read_group(&group) else { continue };
            own.get_or_insert(used);
            let Some(limit) = limit else { continue };
            if tightest.is_none_or(|tightest| limit.saturating_sub(used) < room(&tightest)) {
                tightest = Some(GroupMemory { use_bytes: used, limit_bytes: Some(limit) });
            }
        }
        tightest.or_else(|| own.map(|use_bytes| GroupMemory { use_bytes, limit_bytes: None }))
    }

    /// Use and limit of one group alone.
    fn read_group(&self, group: &Path) -> Option<(u64, Option<u64>)> {
        if self.place.is_v2 {
            let used = number(&group.join("memory.current"))?;
            let droppable = from_stat(group, "inactive_file").unwrap_or(0);
            // `max` is no number.
            return Some((used.saturating_sub(droppable), number(&group.join("memory.max"))));
        }
        let used = number(&group.join("memory.usage_in_bytes"))?;
        let droppable = from_stat(group, "total_inactive_file").unwrap_or(0);
        // The second holds for groups above, too, among them those that a container does not see.
        let limits = [number(&group.join("memory.limit_in_bytes")), from_stat(group, "hierarchical_memory_limit")];
        let limits = if self.place.is_top(group) { limits } else { [limits[0], None] };
        let limit = limits.into_iter().flatten().filter(|limit| *limit < NO_LIMIT).min();
        Some((used.saturating_sub(droppable), limit))
    }
}

/// Bytes left until the limit.
fn room(memory: &GroupMemory) -> u64 {
    memory.limit_bytes.map_or(u64::MAX, |limit| limit.saturating_sub(memory.use_bytes))
}

/// The limit that `pid` reaches first: its control group's, or the machine's. `None` when neither can be read.
#[must_use]
pub fn memory_limit(pid: u32) -> Option<MemoryLimit> {
    first(Cgroup::of(pid).and_then(|group| group.read()), machine_memory())
}

/// The machine's memory: in use (all that is not `MemAvailable`, what the kernel thinks can be had without swapping), and
/// in all.
#[must_use]
pub fn machine_memory() -> Option<MemoryLimit> {
    let memory = Meminfo::current().ok()?;
    let used = memory.mem_total.saturating_sub(memory.mem_available?);
    Some(MemoryLimit { used, bytes: memory.mem_total, whose: Whose::Machine })
}

/// Which of two limits is reached first.
fn first(group: Option<GroupMemory>, machine: Option<MemoryLimit>) -> Option<MemoryLimit> {
    let group = group.and_then(|group| {
        let limit = group.limit_bytes?;
        Some(MemoryLimit { used: group.use_bytes, bytes: limit, whose: Whose::ControlGroup })
    });
    group.into_iter().chain(machine).min_by_key(|limit| limit.bytes.saturating_sub(limit.used))
}

fn number(file: &PathBuf) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn from_stat(group: &Path, name: &str) -> Option<u64> {
    let stat = fs::read_to_string(group.join("memory.stat")).ok()?;
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    stat.lines().find_map(value)
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
