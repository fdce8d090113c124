//! Verdicts on a process and its stacks, as a profile needs them.

use rustc_hash::FxHashMap;

use crate::{
    profile::{Judged, Memory, MemoryLimit, OverTime, Stack, Suppressed},
    verdict::{Kind, Verdict},
};

/// What is known of a process's growth.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Judgement {
    /// The verdict on the process; `None` before it was judged.
    pub(in crate::pipeline) verdict: Option<Verdict>,
    /// How long it was watched, in seconds.
    pub(in crate::pipeline) watched: f64,
    /// What it would reach.
    pub(in crate::pipeline) limit: Option<MemoryLimit>,
    /// What it held.
    pub(in crate::pipeline) over_time: OverTime,
    /// Stacks that may grow, of which it is too early to say.
    pub(in crate::pipeline) undecided: usize,
    /// Stacks that may grow, of which no verdict was made.
    pub(in crate::pipeline) left_out: usize,
    /// Verdicts on stacks: on those that grow, and on the largest.
    pub(in crate::pipeline) stacks: FxHashMap<(Memory, u64), Verdict>,
    /// The pattern that each stack of known growth matched.
    pub(in crate::pipeline) suppressed: FxHashMap<(Memory, u64), String>,
}

impl Judgement {
    /// Gives stacks other ids; of those that then have the same, one verdict stays.
    pub(in crate::pipeline) fn rename_stacks(&mut self, name: impl Fn(u64) -> u64) {
        let renamed = |(memory, id)| (memory, name(id));
        self.stacks = self.stacks.drain().map(|(of, verdict)| (renamed(of), verdict)).collect();
        self.suppressed = self.suppressed.drain().map(|(of, pattern)| (renamed(of), pattern)).collect();
    }

    /// Whether a stack grows.
    pub(in crate::pipeline) fn is_suspect(&self, name: (Memory, u64)) -> bool {
        self.stacks.get(&name).is_some_and(|verdict| verdict.kind == Kind::Growing)
    }

    /// The verdict on the process as a profile tells it, with these stacks.
    pub(in crate::pipeline) fn judged(&self, stacks: &[Stack]) -> Option<Judged> {
        let mut suppressed: Vec<Suppressed> = Vec::new();
        for stack in stacks {
            let Some(pattern) = &stack.suppressed else { continue };
            match suppressed.iter_mut().find(|known| known.pattern == *pattern) {
                Some(known) => {
                    known.stacks += 1;
                    known.held += stack.totals.outstanding;
                }
                None => {
                    suppressed.push(Suppressed { pattern: pattern.clone(), stacks: 1, held: stack.totals.outstanding });
                }
            }
        }
        Some(Judged {
            verdict: self.verdict.clone()?,
            watched_seconds: self.watched,
            limit: self.limit,
            undecided_stacks: self.undecided,
            unjudged_stacks: self.left_out,
            suppressed,
        })
    }
}
