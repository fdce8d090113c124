use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;

/// What v1 has in the place of no limit.
const UNLIMITED: u64 = 9_223_372_036_854_771_712;

/// A machine of files, with one process.
struct Machine(TempDir);

impl Machine {
    /// With lines of mountinfo, and of the process's groups.
    fn new(mounts: &[&str], groups: &[&str]) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("proc/self/mountinfo", &(mounts.join("\n") + "\n"));
        machine.write("proc/7/cgroup", &(groups.join("\n") + "\n"));
        machine
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.0.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// A group of the unified hierarchy, all in MiB.
    fn v2(&self, group: &str, current: u64, inactive: u64, max: Option<u64>) {
        self.write(&format!("{group}/memory.current"), &format!("{}\n", current * MIB));
        let stat = format!("anon 1\ninactive_file {}\nactive_file 99999999999\n", inactive * MIB);
        self.write(&format!("{group}/memory.stat"), &stat);
        let max = max.map_or("max\n".to_owned(), |max| format!("{}\n", max * MIB));
        self.write(&format!("{group}/memory.max"), &max);
        self.write(&format!("{group}/memory.high"), "4096\n");
    }

    /// One of the old, all in MiB; with the limit that its ancestors leave.
    fn v1(&self, group: &str, usage: u64, inactive: u64, limit: Option<u64>, hierarchical: Option<u64>) {
        let bytes = |limit: Option<u64>| limit.map_or(UNLIMITED, |limit| limit * MIB);
        self.write(&format!("{group}/memory.usage_in_bytes"), &format!("{}\n", usage * MIB));
        self.write(&format!("{group}/memory.limit_in_bytes"), &format!("{}\n", bytes(limit)));
        let (hierarchical, inactive) = (bytes(hierarchical), inactive * MIB);
        let stat = format!(
            "inactive_file 1\nhierarchical_memory_limit {hierarchical}\nhierarchical_memsw_limit 1\n\
             total_inactive_file {inactive}\n"
        );
        self.write(&format!("{group}/memory.stat"), &stat);
        self.write(&format!("{group}/memory.use_hierarchy"), "1\n");
    }

    fn read(&self) -> Option<GroupMemory> {
        Cgroup::below(self.0.path(), 7)?.read()
    }
}

/// Use and limit in MiB.
fn memory(used: u64, limit: Option<u64>) -> GroupMemory {
    GroupMemory { use_bytes: used * MIB, limit_bytes: limit.map(|limit| limit * MIB) }
}

const UNIFIED: &str = "26 23 0:24 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
const OLD: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";

#[test]
fn use_is_without_what_can_be_dropped_and_throttling_is_no_limit() {
    let machine = Machine::new(&[UNIFIED], &["0::/app.slice/web.service"]);
    machine.v2("sys/fs/cgroup/app.slice/web.service", 100, 30, Some(512));
    assert_eq!(machine.read(), Some(memory(70, Some(512))));
    machine.v2("sys/fs/cgroup/app.slice/web.service", 100, 30, None);
    assert_eq!(machine.read(), Some(memory(70, None)));
}

#[test]
fn of_nested_groups_the_one_with_the_least_room_counts() {
    let machine = Machine::new(&[UNIFIED], &["0::/a/b/c"]);
    machine.v2("sys/fs/cgroup/a/b/c", 50, 0, Some(200));
    // No limit between two.
    machine.v2("sys/fs/cgroup/a/b", 60, 0, None);
    machine.v2("sys/fs/cgroup/a", 950, 50, Some(1000));
    assert_eq!(machine.read(), Some(memory(900, Some(1000))));
    machine.v2("sys/fs/cgroup/a", 500, 50, Some(1000));
    assert_eq!(machine.read(), Some(memory(50, Some(200))));
    // Beyond its limit, as right before the kernel drops something.
    machine.v2("sys/fs/cgroup/a", 1100, 0, Some(1000));
    assert_eq!(machine.read(), Some(memory(1100, Some(1000))));
}

#[test]
fn a_group_without_the_controller_is_charged_to_the_one_above() {
    let machine = Machine::new(&[UNIFIED], &["0::/user.slice/session.scope"]);
    machine.write("sys/fs/cgroup/user.slice/session.scope/cgroup.procs", "7\n");
    machine.v2("sys/fs/cgroup/user.slice", 80, 10, Some(100));
    assert_eq!(machine.read(), Some(memory(70, Some(100))));
}

#[test]
fn old_groups_have_a_huge_number_for_no_limit() {
    let machine = Machine::new(&[OLD], &["4:memory:/a/b", "1:cpu:/", "0::/"]);
    machine.v1("sys/fs/cgroup/memory/a/b", 40, 15, None, Some(64));
    machine.v1("sys/fs/cgroup/memory/a", 50, 20, Some(64), Some(64));
    machine.v1("sys/fs/cgroup/memory", 4000, 0, None, None);
    assert_eq!(machine.read(), Some(memory(30, Some(64))));
    machine.v1("sys/fs/cgroup/memory/a", 50, 20, None, None);
    machine.v1("sys/fs/cgroup/memory/a/b", 40, 15, None, None);
    assert_eq!(machine.read(), Some(memory(25, None)));
}

#[test]
fn a_limit_above_the_container_is_known_to_old_groups() {
    // The mount begins at the container's group; its path is as the machine sees it.
    let mount = r"735 733 0:32 /docker/4f\0402 /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory";
    let machine = Machine::new(&[mount], &["9:memory,hugetlb:/docker/4f 2/worker"]);
    machine.v1("sys/fs/cgroup/memory/worker", 10, 0, None, Some(128));
    machine.v1("sys/fs/cgroup/memory", 20, 5, None, Some(128));
    assert_eq!(machine.read(), Some(memory(15, Some(128))));
    // Not of this container.
    machine.write("proc/7/cgroup", "9:memory:/docker/other\n");
    assert_eq!(machine.read(), None);
}

#[test]
fn old_groups_may_count_only_for_themselves() {
    let machine = Machine::new(&[OLD], &["4:memory:/a/b"]);
    machine.v1("sys/fs/cgroup/memory/a/b", 40, 0, None, None);
    machine.v1("sys/fs/cgroup/memory/a", 1, 0, Some(2), Some(2));
    assert_eq!(machine.read(), Some(memory(1, Some(2))));
    machine.write("sys/fs/cgroup/memory/a/memory.use_hierarchy", "0\n");
    assert_eq!(machine.read(), Some(memory(40, None)));
}

#[test]
fn where_both_stand_side_by_side_memory_belongs_to_the_one_that_has_the_controller() {
    let tmpfs = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755";
    let cpu = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
    let unified = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    let mounts = [tmpfs, cpu, unified, OLD];
    let machine = Machine::new(&mounts, &["4:memory:/old", "2:cpu:/", "0::/new"]);
    machine.v1("sys/fs/cgroup/memory/old", 10, 1, Some(20), Some(20));
    machine.v2("sys/fs/cgroup/unified/new", 30, 0, Some(40));
    assert_eq!(machine.read(), Some(memory(9, Some(20))));
    // Only the unified one has it.
    machine.write("proc/7/cgroup", "2:cpu:/\n1:name=systemd:/new\n0::/new\n");
    assert_eq!(machine.read(), Some(memory(30, Some(40))));
}

#[test]
fn a_container_with_a_namespace_of_its_own_sees_its_group_as_the_root() {
    let machine = Machine::new(&[UNIFIED], &["0::/"]);
    machine.v2("sys/fs/cgroup", 100, 0, Some(256));
    assert_eq!(machine.read(), Some(memory(100, Some(256))));
    // Of another container, seen from here.
    machine.write("proc/7/cgroup", "0::/../other\n");
    assert_eq!(machine.read(), None);
}

#[test]
fn of_two_mounts_the_one_that_shows_more_groups_counts() {
    let part = "99 23 0:24 /a /mnt/a\\040part rw - cgroup2 cgroup2 rw";
    let machine = Machine::new(&[part, UNIFIED, part], &["0::/a/b:with:colons"]);
    machine.v2("mnt/a part/b:with:colons", 10, 0, Some(100));
    assert_eq!(machine.read(), Some(memory(10, Some(100))));
    machine.v2("sys/fs/cgroup/a/b:with:colons", 10, 0, Some(100));
    machine.v2("sys/fs/cgroup/a", 10, 0, Some(50));
    assert_eq!(machine.read(), Some(memory(10, Some(50))));
}

#[test]
fn what_is_not_there_is_not_known() {
    // A root group of the machine has no numbers.
    let machine = Machine::new(&[UNIFIED], &["0::/"]);
    machine.write("sys/fs/cgroup/cgroup.procs", "7\n");
    assert_eq!(machine.read(), None);
    machine.write("proc/7/cgroup", "0::/gone (deleted)\n");
    assert_eq!(machine.read(), None);
    machine.write("proc/7/cgroup", "nonsense\n");
    assert_eq!(machine.read(), None);
    assert!(Cgroup::below(machine.0.path(), 8).is_none());
    let machine = Machine::new(&["nonsense", ""], &["0::/a"]);
    machine.v2("sys/fs/cgroup/a", 1, 0, None);
    assert_eq!(machine.read(), None);
}

#[test]
fn the_limit_reached_first_is_the_groups_or_the_machines() {
    let machine = MemoryLimit { used: 700, bytes: 1000, whose: Whose::Machine };
    let group = |use_bytes, limit_bytes| Some(GroupMemory { use_bytes, limit_bytes });
    let mine = MemoryLimit { used: 100, bytes: 200, whose: Whose::ControlGroup };
    assert_eq!(first(group(100, Some(200)), Some(machine)), Some(mine));
    assert_eq!(first(group(100, Some(200)), None), Some(mine));
    // A group may be allowed more than there is.
    assert_eq!(first(group(100, Some(5000)), Some(machine)), Some(machine));
    assert_eq!(first(group(100, None), Some(machine)), Some(machine));
    assert_eq!(first(None, None), None);
}

#[test]
fn this_machine_has_memory_and_this_process_a_limit() {
    let machine = machine_memory().unwrap();
    assert!(0 < machine.used && machine.used < machine.bytes, "{machine:?}");
    let limit = memory_limit(std::process::id()).unwrap();
    let group = Cgroup::of(std::process::id()).and_then(|group| group.read());
    match limit.whose {
        Whose::Machine => assert_eq!(limit.bytes, machine.bytes),
        Whose::ControlGroup => assert_eq!(group.unwrap().limit_bytes, Some(limit.bytes)),
    }
}
