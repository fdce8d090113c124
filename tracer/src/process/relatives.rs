//! Processes found by whom they descend from, and by their name.
//!
//! Parents are read from `/proc/*/stat`. The shorter way, `/proc/PID/task/TID/children`, is not there on every kernel, and
//! may leave out children while others end (Documentation/filesystems/proc.rst, 3.7).

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use procfs::process::{Process, Stat, all_processes};

/// `PF_KTHREAD` of the kernel's `linux/sched.h`: a thread of the kernel's own.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// The kernel keeps so many bytes of a command's name (`TASK_COMM_LEN`, less its end).
const COMM_BYTES: usize = 15;

/// What the link to an executable ends in when its file is no longer there.
const DELETED: &[u8] = b" (deleted)";

/// All are read at most so often until nobody new is found: a process may fork while they are read.
const PASSES: usize = 8;

/// The living processes that descend from `pid`, without itself, in no order. Whose parent has ended belongs to somebody
/// else by then, and is found only by the process that took it over. It reads a file of each process of the machine.
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = HashSet::new();
    for _ in 0..PASSES {
        let before = found.len();
        let living: Vec<Stat> = living().map(|(_, stat)| stat).collect();
        let now = below(pid.cast_signed(), &living);
        // Who was found once stays while it lives, also when its parent ended since.
        found.retain(|child| living.iter().any(|stat| stat.pid == *child));
        let kept = found.len();
        found.extend(now);
        if before != 0 && found.len() == kept || found.is_empty() {
            break;
        }
    }
    found.into_iter().map(i32::cast_unsigned).collect()
}

/// The living processes whose command's name, or whose executable's file name, is `name`; the oldest first, without this
/// process and without the kernel's threads.
#[must_use]
pub fn named(name: &str) -> Vec<u32> {
    let mut found: Vec<(u64, i32)> = living()
        .filter(|(process, stat)| stat.flags & KERNEL_THREAD == 0 && is_called(process, stat, name))
        .map(|(_, stat)| (stat.starttime, stat.pid))
        .filter(|&(_, pid)| pid.cast_unsigned() != std::process::id())
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, pid)| pid.cast_unsigned()).collect()
}

/// All processes that have not ended; those that end while they are read are left out.
fn living() -> impl Iterator<Item = (Process, Stat)> {
    let processes = all_processes().into_iter().flatten().filter_map(Result::ok);
    processes.filter_map(|process| process.stat().ok().filter(is_alive).map(|stat| (process, stat)))
}

/// A process lives on when only its first thread has ended.
fn is_alive(stat: &Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X' | 'x') || stat.num_threads > 1
}

/// Who descends from `pid`, of those given.
fn below(pid: i32, living: &[Stat]) -> HashSet<i32> {
    let mut children: HashMap<i32, Vec<&Stat>> = HashMap::new();
    for stat in living {
        children.entry(stat.ppid).or_default().push(stat);
    }
    let mut found = HashSet::new();
    let mut parents: Vec<(i32, u64)> = living.iter().filter(|s| s.pid == pid).map(|s| (s.pid, s.starttime)).collect();
    while let Some((parent, born)) = parents.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            // Nobody is older than its parent: that would be another process, which got the parent's number meanwhile.
            if child.starttime >= born && child.pid != pid && found.insert(child.pid) {
                parents.push((child.pid, child.starttime));
            }
        }
    }
    found
}

fn is_called(process: &Process, stat: &Stat, name: &str) -> bool {
    if stat.comm == name {
        return true;
    }
    match process.exe() {
        Ok(file) => file_name(&file) == Some(OsStr::new(name)),
        // Another user's process shows what the kernel has kept of its name.
        Err(_) => name.len() > COMM_BYTES && name.as_bytes().get(..COMM_BYTES) == Some(stat.comm.as_bytes()),
    }
}

fn file_name(file: &Path) -> Option<&OsStr> {
    let name = file.file_name()?.as_bytes();
    Some(OsStr::from_bytes(name.strip_suffix(DELETED).unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Runs a script that writes lines, and gives as many of them as asked for. It lives until its input is closed.
    fn shell(script: &str, lines: usize) -> (Child, Vec<u32>) {
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let pids = output.lines().take(lines).map(|line| line.unwrap().parse().unwrap()).collect();
        (child, pids)
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn children_and_their_children_are_found() {
        // The one in the middle tells its own id and that of its child; the two wait for the same input.
        let middle = "echo $$; sh -c \"echo \\$\\$; read line\" <&3 & wait";
        let (child, mut expected) = shell(&format!("exec 3<&0; sh -c '{middle}' & wait"), 2);
        let mut found = descendants(child.id());
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert!(descendants(std::process::id()).contains(&child.id()));
        end(child);
    }

    #[test]
    fn who_has_no_children_or_has_ended_has_none() {
        let (child, _) = shell("echo 1; read line", 1);
        let pid = child.id();
        assert!(descendants(pid).is_empty());
        end(child);
        assert!(descendants(pid).is_empty());
        assert!(!descendants(std::process::id()).contains(&pid));
    }

    #[test]
    fn a_number_that_was_used_again_makes_no_relatives() {
        let own = Process::myself().unwrap().stat().unwrap();
        let stat = |pid, ppid, starttime| {
            let mut stat = own.clone();
            (stat.pid, stat.ppid, stat.starttime) = (pid, ppid, starttime);
            stat
        };
        let living = [stat(10, 1, 50), stat(11, 10, 60), stat(12, 10, 40), stat(13, 12, 70), stat(14, 11, 60)];
        assert_eq!(below(10, &living), HashSet::from([11, 14]));
        // No circle is followed for ever.
        assert_eq!(below(1, &[stat(1, 2, 0), stat(2, 1, 0)]), HashSet::from([2]));
    }

    #[test]
    fn processes_are_found_by_the_name_of_their_file_the_oldest_first() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("heaptide-named-test");
        fs::copy("/bin/cat", &long).unwrap();
        let start = || Command::new(&long).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (first, second) = (start(), start());
        let expected = vec![first.id(), second.id()];
        assert_eq!(named("heaptide-named-test"), expected);
        // What the kernel keeps of it is a name, too.
        assert_eq!(named("heaptide-named-"), expected);
        fs::remove_file(&long).unwrap();
        assert_eq!(named("heaptide-named-test"), expected);
        end(first);
        end(second);
        assert_eq!(named("heaptide-named-test"), Vec::<u32>::new());
    }

    #[test]
    fn this_process_is_never_found() {
        let comm = Process::myself().unwrap().stat().unwrap().comm;
        assert!(!named(&comm).contains(&std::process::id()));
        let file = std::env::current_exe().unwrap();
        assert!(!named(file.file_name().unwrap().to_str().unwrap()).contains(&std::process::id()));
        // A thread of the kernel, where they are shown.
        assert_eq!(named("kthreadd"), Vec::<u32>::new());
    }
}
