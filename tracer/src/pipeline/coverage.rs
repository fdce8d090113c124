//! Which allocators of a process are traced, and how often each is called.

use rustc_hash::FxHashMap;

use crate::{
    kernel::{Tallied, Tally},
    profile::{Allocator, Calls},
};

/// A traced allocator of a process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Traced {
    /// As a report shows it, without its calls.
    pub(super) allocator: Allocator,
    /// What counts its calls.
    pub(super) tally: Option<Tally>,
}

impl Traced {
    /// Puts an allocator among others, or tells how the calls of one of them are counted.
    pub(super) fn put(self, among: &mut Vec<Self>) {
        match among.iter_mut().find(|other| other.allocator == self.allocator) {
            Some(other) => other.tally = self.tally.or(other.tally),
            None => among.push(self),
        }
    }
}

/// The allocators of each process of a report, with their calls.
pub(super) fn with_calls(processes: Vec<Vec<Traced>>, tallied: &Tallied) -> Vec<Vec<Allocator>> {
    let mut users: FxHashMap<Tally, usize> = FxHashMap::default();
    for tally in processes.iter().flatten().filter_map(|traced| traced.tally) {
        *users.entry(tally).or_default() += 1;
    }
    let calls = |tally: Tally| {
        let calls = tallied.calls.get(tally.index())?;
        let shared = users.get(&tally).is_some_and(|&users| users > 1);
        Some(Calls { count: calls.count, seconds: calls.time.as_secs_f64(), shared })
    };
    let counted = |Traced { allocator, tally }| Allocator { calls: tally.and_then(calls), ..allocator };
    processes.into_iter().map(|traced| traced.into_iter().map(counted).collect()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kernel::Calls as Counted;

    fn traced(family: &str, tally: Option<usize>) -> Traced {
        let allocator =
            Allocator { file: "/lib".to_owned(), family: family.to_owned(), functions: Vec::new(), calls: None };
        Traced { allocator, tally: tally.map(Tally::of) }
    }

    #[test]
    fn calls_are_a_process_s_own_unless_another_one_has_the_same_tally() {
        let calls = [5, 7, 0].map(|count| Counted { count, time: Duration::from_secs(2) }).to_vec();
        let processes = vec![
            vec![traced("glibc", Some(0)), traced("jemalloc", Some(1))],
            vec![traced("glibc", Some(2)), traced("jemalloc", Some(1)), traced("musl", None)],
        ];
        let allocators = with_calls(processes, &Tallied { calls, hits: 12 });
        let calls = |count, shared| Some(Calls { count, seconds: 2.0, shared });
        let told: Vec<_> = allocators.iter().flatten().map(|allocator| allocator.calls).collect();
        assert_eq!(told, [calls(5, false), calls(7, true), calls(0, false), calls(7, true), None]);
    }

    #[test]
    fn an_allocator_that_is_known_is_put_there_once() {
        let mut among = vec![traced("glibc", None)];
        traced("glibc", Some(3)).put(&mut among);
        traced("musl", None).put(&mut among);
        traced("glibc", None).put(&mut among);
        assert_eq!(among, [traced("glibc", Some(3)), traced("musl", None)]);
    }
}
