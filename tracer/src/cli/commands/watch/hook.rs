//! A hook: for which processes its verdict or condition is a reason to act.

use std::collections::BTreeSet;

use crate::{
    cli::config::{self, HookCause},
    report::watch::{Held, Row},
    watch::{Facts, Trigger},
};

/// A hook, with what it has seen.
pub(super) struct Hook {
    /// The verdict or condition, as it was typed.
    pub(super) name: String,
    /// What is run; empty when only a profile is kept.
    pub(super) command: String,
    cause: HookCause,
    trigger: Trigger,
    /// The processes of which it was told that the condition cannot be known.
    told: BTreeSet<u32>,
}

/// What came of asking.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    /// The processes for which to act now.
    pub(super) acts: Vec<&'a Held>,
    /// What cannot be known, in a line each: once of each process.
    pub(super) unknown: Vec<String>,
}

impl Hook {
    /// With a cool-down in nanoseconds, as of [`Trigger::new`].
    pub(super) fn new(hook: &config::Hook, cool_down: u64) -> Self {
        let name = match &hook.cause {
            HookCause::Verdict(word) => word.name().to_owned(),
            HookCause::Condition(condition) => condition.to_string(),
        };
        let (cause, command) = (hook.cause.clone(), hook.command.clone());
        Self { name, command, cause, trigger: Trigger::new(cool_down), told: BTreeSet::new() }
    }

    /// To be asked at each sample, at `now` nanoseconds. A verdict has to be so `sure`.
    pub(super) fn ask<'a>(&mut self, row: &'a Row, now: u64, sure: f64) -> Asked<'a> {
        let mut asked = Asked::default();
        let mut processes = Vec::with_capacity(row.processes.len());
        for held in &row.processes {
            let Some(pid) = held.pid else { continue };
            let holds = match &self.cause {
                HookCause::Verdict(word) => held.is_judged(word.name(), sure),
                HookCause::Condition(condition) => condition.holds(&facts(held)).unwrap_or_else(|unknown| {
                    if self.told.insert(pid) {
                        let name = &self.name;
                        asked.unknown.push(format!("{name}: {unknown} of process {pid}, so it does not hold"));
                    }
                    false
                }),
            };
            processes.push((pid, holds));
        }
        self.told.retain(|told| processes.iter().any(|(pid, _)| pid == told));
        let acts = self.trigger.observe(now, &processes);
        asked.acts = row.processes.iter().filter(|held| held.pid.is_some_and(|pid| acts.contains(&pid))).collect();
        asked
    }
}

/// What a command is told of a process.
pub(super) fn facts(held: &Held) -> Facts<'_> {
    Facts {
        pid: held.pid.unwrap_or(0),
        name: &held.name,
        sample: &held.sample,
        verdict: held.verdict.as_ref(),
        limit: held.limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::watch::tests::{held, row},
        timeline::{Metric, Sample},
    };

    fn hook(cause: HookCause) -> Hook {
        Hook::new(&config::Hook { cause, command: "true".to_owned() }, 10)
    }

    fn acts(asked: &Asked<'_>) -> Vec<Option<u32>> {
        asked.acts.iter().map(|held| held.pid).collect()
    }

    #[test]
    fn a_condition_is_asked_of_each_process_and_what_is_not_known_is_told_once() {
        let mut hook = hook(HookCause::Condition("rss>5".parse().unwrap()));
        let mut ask = |now, rss: [Option<u64>; 2]| {
            let of = |(pid, rss): (u32, Option<u64>)| {
                let sample = rss.map_or(Sample::default(), |rss| Sample::default().with(Metric::Rss, rss));
                Held { sample, ..held(pid) }
            };
            let row = row(None, (7..).zip(rss).map(of).collect());
            let asked = hook.ask(&row, now, 0.8);
            (acts(&asked), asked.unknown)
        };
        let unknown = || vec!["rss>5: rss is not known of process 7, so it does not hold".to_owned()];
        assert_eq!(ask(0, [None, Some(5)]), (vec![], unknown()));
        assert_eq!(ask(1, [None, Some(6)]), (vec![Some(8)], vec![]));
        assert_eq!(ask(2, [Some(6), Some(6)]), (vec![], vec![]));
        assert_eq!(ask(11, [Some(6), Some(6)]), (vec![Some(7)], vec![]));
    }
}
