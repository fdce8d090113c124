//! When something that holds is a reason to act.

use std::collections::BTreeMap;

/// Acts when something begins to hold for a process, and again when it still holds, or holds again, after the cool-down. So
/// there is at most one act in each cool-down, for all processes together: many workers that begin to leak at one time are
/// one reason to act. Those for which it still holds have their turn one after the other.
///
/// Times are nanoseconds of one clock that does not go backwards.
#[derive(Clone, Debug)]
pub struct Trigger {
    cool_down: u64,
    /// The last act.
    last: Option<u64>,
    processes: BTreeMap<u32, Process>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Process {
    /// Since when it holds, if it does.
    since: Option<u64>,
    /// The last act for it.
    acted: Option<u64>,
}

impl Trigger {
    /// With a cool-down in nanoseconds; with 0 it acts whenever something begins to hold, and not again while it holds.
    #[must_use]
    pub const fn new(cool_down: u64) -> Self {
        Self { cool_down, last: None, processes: BTreeMap::new() }
    }

    /// The processes for which to act now, given all there are, with whether it holds for each. To be asked at each sample.
    pub fn observe(&mut self, now: u64, processes: &[(u32, bool)]) -> Vec<u32> {
        let before = std::mem::take(&mut self.processes);
        for &(pid, holds) in processes {
            let process = before.get(&pid).copied().unwrap_or_default();
            let since = holds.then(|| process.since.unwrap_or(now));
            self.processes.insert(pid, Process { since, ..process });
        }
        let holding = self.processes.iter_mut().filter(|(_, process)| process.since.is_some());
        if self.cool_down == 0 {
            let begins = |pid: &u32| before.get(pid).is_none_or(|process| process.since.is_none());
            return holding.map(|(pid, _)| *pid).filter(begins).collect();
        }
        if self.last.is_some_and(|last| now.saturating_sub(last) < self.cool_down) {
            return Vec::new();
        }
        // The one that has waited for the longest.
        let next = holding.min_by_key(|(_, process)| (process.acted, process.since));
        next.map(|(pid, process)| {
            (process.acted, self.last) = (Some(now), Some(now));
            *pid
        })
        .into_iter()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it acts, and for which process; a line of marks for each process, with one for each moment.
    fn acts<const N: usize>(cool_down: u64, holds: [&str; N]) -> Vec<(u64, u32)> {
        let mut trigger = Trigger::new(cool_down);
        let at = |moment: usize| {
            let holds = (0..).zip(&holds).map(|(pid, marks)| (pid, marks.as_bytes()[moment] == b'#'));
            let now = u64::try_from(moment).unwrap();
            trigger.observe(now, &holds.collect::<Vec<_>>()).into_iter().map(move |pid| (now, pid))
        };
        (0..holds[0].len()).flat_map(at).collect()
    }

    /// The same of one process.
    fn moments(cool_down: u64, holds: &str) -> Vec<u64> {
        acts(cool_down, [holds]).into_iter().map(|(now, _)| now).collect()
    }

    #[test]
    fn it_acts_when_something_begins_to_hold() {
        assert_eq!(moments(100, "...####"), [3]);
        assert_eq!(moments(100, "#......"), [0]);
        assert_eq!(moments(100, "......."), [] as [u64; 0]);
    }

    #[test]
    fn it_acts_again_when_it_still_holds_after_the_cool_down() {
        assert_eq!(moments(5, "..############"), [2, 7, 12]);
    }

    #[test]
    fn what_holds_again_within_the_cool_down_waits_for_its_end() {
        assert_eq!(moments(5, "#.#.#.#.#"), [0, 6]);
        assert_eq!(moments(5, "#.########"), [0, 5]);
        assert_eq!(moments(5, "#.#..........#"), [0, 13]);
    }

    #[test]
    fn without_a_cool_down_each_beginning_counts_and_nothing_else() {
        assert_eq!(moments(0, "##..##.#"), [0, 4, 7]);
        assert_eq!(acts(0, ["##..", ".##.", ".##."]), [(0, 0), (1, 1), (1, 2)]);
    }

    #[test]
    fn many_processes_at_one_time_are_one_reason_to_act() {
        assert_eq!(acts(100, ["..####", "..####", "...###"]), [(2, 0)]);
    }

    #[test]
    fn processes_for_which_it_still_holds_take_turns() {
        assert_eq!(acts(2, ["########", "########", "..######"]), [(0, 0), (2, 1), (4, 2), (6, 0)]);
    }

    #[test]
    fn another_process_with_the_number_of_one_that_ended_is_a_new_one() {
        let mut trigger = Trigger::new(0);
        assert_eq!(trigger.observe(0, &[(7, true)]), [7]);
        assert_eq!(trigger.observe(1, &[]), [] as [u32; 0]);
        assert_eq!(trigger.observe(2, &[(7, true)]), [7]);
    }

    #[test]
    fn a_process_that_comes_and_goes_does_not_keep_others_waiting() {
        assert_eq!(acts(3, ["#.##.##.##", ".#########"]), [(0, 0), (3, 1), (6, 0), (9, 1)]);
    }
}
