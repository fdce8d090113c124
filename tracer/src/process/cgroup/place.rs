//! Where the files of a process's memory control group are.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use procfs::process::MountInfo;
use procfs::{FromRead, ProcessCGroups};

/// Most groups above one another: the kernel has no bound unless `cgroup.max.depth` sets one.
const MAX_DEPTH: usize = 256;

/// What `/proc/PID/cgroup` adds to the path of a group that was removed while the process was in it.
const DELETED: &str = " (deleted)";

/// The directory of a group, and the mount that it is seen through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Whether it is one of the unified hierarchy.
    pub(super) is_v2: bool,
    mount_point: PathBuf,
    group: PathBuf,
}

impl Place {
    /// The one that memory of `pid` is charged to. `root` is where all files are looked for.
    pub(super) fn find(root: &Path, pid: u32) -> Option<Self> {
        let groups = ProcessCGroups::from_file(root.join(format!("proc/{pid}/cgroup"))).ok()?.0;
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        let mounts: Vec<MountInfo> = mounts.lines().filter_map(|line| MountInfo::from_line(line).ok()).collect();
        // A controller belongs to one hierarchy: where the old one has it, the unified one does not.
        let v1 = groups.iter().find(|group| group.controllers.iter().any(|name| name == "memory"));
        let (is_v2, path) = match v1 {
            Some(group) => (false, &group.pathname),
            None => (true, &groups.iter().find(|group| group.hierarchy == 0)?.pathname),
        };
        if path.ends_with(DELETED) {
            return None;
        }
        let is_right = |mount: &&MountInfo| {
            let is_of_memory = || mount.fs_type == "cgroup" && mount.super_options.contains_key("memory");
            if is_v2 { mount.fs_type == "cgroup2" } else { is_of_memory() }
        };
        let seen_through = |mount: &MountInfo| {
            let mount_root = unescaped(mount.root.as_bytes());
            let below = below(Path::new(path), &mount_root)?;
            let mount_point = unescaped(mount.mount_point.as_os_str().as_bytes());
            let mount_point = root.join(mount_point.strip_prefix("/").unwrap_or(&mount_point));
            Some((below.components().count(), Self { is_v2, group: mount_point.join(&below), mount_point }))
        };
        let places = mounts.iter().filter(is_right).filter_map(seen_through).filter(|(_, place)| place.group.is_dir());
        // The mount that shows most of the groups above.
        places.max_by_key(|(depth, _)| *depth).map(|(_, place)| place)
    }

    /// The group, and all above it whose limits hold for it, as far as they are visible.
    pub(super) fn upwards(&self) -> impl Iterator<Item = PathBuf> {
        let next = |group: &PathBuf| if self.is_top(group) { None } else { group.parent().map(Path::to_owned) };
        std::iter::successors(Some(self.group.clone()), next).take(MAX_DEPTH)
    }

    /// Whether no group above holds for this one, or is visible.
    pub(super) fn is_top(&self, group: &Path) -> bool {
        // Old hierarchies can have groups that count only for themselves (`memory.use_hierarchy`, up to 5.10).
        let is_flat = |parent: &Path| {
            fs::read_to_string(parent.join("memory.use_hierarchy")).is_ok_and(|value| value.trim() == "0")
        };
        group == self.mount_point || !self.is_v2 && group.parent().is_some_and(is_flat)
    }
}

/// The path of a group below the root of a mount; `None` when it is not below it. In a container without a namespace of
/// its own, mounts begin at the container's group; with one, groups outside of it have paths with `..`.
fn below(path: &Path, mount_root: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(mount_root).ok()?;
    let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| below.to_owned())
}

/// A path of mountinfo: blank, tab, end of line and backslash are three octal digits (`fs/seq_file.c`).
fn unescaped(text: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = digits {
            path.push(digits.iter().fold(0_u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
            rest = &after[3..];
        } else {
            path.push(byte);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_mountinfo_are_undone() {
        for (text, expected) in [
            ("/sys/fs/cgroup", "/sys/fs/cgroup"),
            (r"/a\040b\011\134c", "/a b\t\\c"),
            (r"/a\04", r"/a\04"),
            (r"/a\", r"/a\"),
            (r"/a\999", r"/a\999"),
        ] {
            assert_eq!(unescaped(text.as_bytes()), Path::new(expected), "{text}");
        }
        assert_eq!(unescaped(br"/\303\244"), Path::new("/ä"));
    }

    #[test]
    fn a_group_outside_of_a_mount_is_not_below_it() {
        let cases = [
            ("/a/b", "/", Some("a/b")),
            ("/", "/", Some("")),
            ("/docker/x/y", "/docker/x", Some("y")),
            ("/docker/xy", "/docker/x", None),
            ("/../other", "/", None),
            ("/../other", "/..", Some("other")),
        ];
        for (path, root, expected) in cases {
            assert_eq!(below(Path::new(path), Path::new(root)), expected.map(PathBuf::from), "{path} in {root}");
        }
    }
}
