//! A control group of a test's own, with a limit of memory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// A memory control group right below the highest that can be seen, of the old kind where memory is of that, otherwise of
/// the unified hierarchy. It goes with the value; declare it before the workload that it is for, which must be gone then.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    is_v2: bool,
}

impl Group {
    /// One whose processes may have so many bytes together.
    pub fn with_limit(bytes: u64) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let found = |is_right: fn(&str) -> bool| mounts.lines().find(|line| is_right(line)).map(mount_point);
        let v1 = found(|line| line.contains(" - cgroup ") && line.split([' ', ',']).any(|option| option == "memory"));
        let (top, is_v2) = match (v1, found(|line| line.contains(" - cgroup2 "))) {
            (Some(top), _) => (top, false),
            (None, Some(top)) => (top, true),
            (None, None) => anyhow::bail!("no control groups are mounted"),
        };
        if is_v2 {
            let controllers = fs::read_to_string(top.join("cgroup.controllers"))?;
            ensure!(controllers.split_whitespace().any(|name| name == "memory"), "no memory controller: {controllers}");
            fs::write(top.join("cgroup.subtree_control"), "+memory").context("cannot have memory controlled")?;
        }
        let folder = top.join(format!("heaptide-test-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let group = Self { folder, is_v2 };
        group.limit(bytes)?;
        Ok(group)
    }

    /// Another limit.
    pub fn limit(&self, bytes: u64) -> Result<()> {
        let file = if self.is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
        fs::write(self.folder.join(file), bytes.to_string()).context("cannot limit memory")
    }

    /// Takes in a process. What it has touched already stays with the group that it was in.
    pub fn take(&self, pid: u32) -> Result<()> {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string()).context("cannot move a process to a group")
    }

    /// Bytes in use, those that could be dropped among them.
    pub fn used(&self) -> Result<u64> {
        let file = if self.is_v2 { "memory.current" } else { "memory.usage_in_bytes" };
        Ok(fs::read_to_string(self.folder.join(file))?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Left behind when a process is still in it: the test has failed then.
        let _ = fs::remove_dir(&self.folder);
    }
}

fn mount_point(line: &str) -> PathBuf {
    Path::new(line.split_whitespace().nth(4).unwrap_or("/")).to_owned()
}
