//! What is done when something begins to hold for a process: a profile is kept, and a command is run.

use std::collections::BTreeMap;

use super::{keep::Keep, lines::Lines};
use crate::{
    cli::{
        commands::capture::{StatusLine, say},
        config::{Destination, Form, HookCause, Watching},
        output::Output,
    },
    pipeline::Session,
    report::watch::{Held, Row, json},
    watch::{Facts, Hooks, Run, Started, Trigger, When},
};

/// Stacks in a profile that is kept of a moment: of a process, those with the most, besides those that grow.
const STACKS: usize = 1000;

/// All hooks, with what they have seen of each process.
pub(super) struct Triggers {
    all: Vec<Hook>,
    hooks: Hooks,
    act_by: ActBy,
}

/// What has to be so before anything is done.
#[derive(Clone, Copy)]
struct ActBy {
    /// Nanoseconds between two acts of a hook.
    cool_down: u64,
    /// How sure a verdict must be.
    sure: f64,
}

struct Hook {
    cause: HookCause,
    /// As it was typed.
    name: String,
    command: String,
    /// By process: when it is asked whether to act.
    seen: BTreeMap<u32, Seen>,
    /// Over all processes: at most one act in each cool-down.
    last: Option<u64>,
}

enum Seen {
    Verdict(Trigger),
    Condition(Box<When>),
}

impl Triggers {
    pub(super) fn new(watching: &Watching) -> Self {
        let hook = |hook: &crate::cli::config::Hook| Hook {
            name: match &hook.cause {
                HookCause::Verdict(word) => word.name().to_owned(),
                HookCause::Condition(condition) => condition.to_string(),
            },
            cause: hook.cause.clone(),
            command: hook.command.clone(),
            seen: BTreeMap::new(),
            last: None,
        };
        Self {
            all: watching.hooks.iter().map(hook).collect(),
            hooks: Hooks::new(watching.hook_timeout),
            act_by: ActBy {
                cool_down: u64::try_from(watching.cool_down.as_nanos()).unwrap_or(u64::MAX),
                sure: watching.sure,
            },
        }
    }

    /// Looks at what is held now, and acts.
    pub(super) async fn look(
        &mut self,
        row: &Row,
        session: &mut Session,
        mut keep: Option<&mut Keep>,
        lines: &Lines,
        status: &StatusLine,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                finished = self.hooks.finished() => status.aside(|| say(&finished.to_string())),
                () = std::future::ready(()) => break,
            }
        }
        let now = session.sampled_at().at;
        for index in 0..self.all.len() {
            self.all[index].seen.retain(|pid, _| row.processes.iter().any(|held| held.pid == Some(*pid)));
            for held in &row.processes {
                if self.all[index].acts(held, now, self.act_by, status) {
                    let kept = match &mut keep {
                        Some(keep) => keep.trigger(&session.interim(STACKS, true).await?).map(Some),
                        None => Ok(None),
                    };
                    // A disk that is full is no reason to end a watch, or to page nobody.
                    let kept = kept.unwrap_or_else(|error| {
                        status.aside(|| say(&format!("no profile is kept of this moment: {error:#}")));
                        None
                    });
                    self.act(index, row, held, kept.as_deref(), lines, status)?;
                }
            }
        }
        Ok(())
    }

    fn act(
        &mut self,
        index: usize,
        row: &Row,
        held: &Held,
        kept: Option<&str>,
        lines: &Lines,
        status: &StatusLine,
    ) -> anyhow::Result<()> {
        let Hook { name, command, .. } = &self.all[index];
        let pid = held.pid.unwrap_or(0);
        let trigger = json::Trigger {
            seconds: row.seconds,
            cause: name,
            pid,
            name: &held.name,
            command: (!command.is_empty()).then_some(command),
            profile: kept,
        };
        status.aside(|| announce(&trigger, lines.form()))?;
        if command.is_empty() {
            return Ok(());
        }
        let mut environment = facts(held).environment(name);
        environment.extend(kept.map(|path| ("HEAPTIDE_PROFILE".to_owned(), path.to_owned())));
        let mut document = Vec::new();
        json::write_hook(&mut document, &trigger, held)?;
        let run = Run { hook: index, command: command.clone(), environment, document };
        if self.hooks.start(run) == Started::Busy {
            status.aside(|| say(&format!("{name}: its command still runs, and is not run again")));
        }
        Ok(())
    }

    /// Waits for the commands that run, for a while.
    pub(super) async fn end(&mut self) {
        let hooks = std::mem::replace(&mut self.hooks, Hooks::new(std::time::Duration::ZERO));
        let running: Vec<String> = hooks.running().map(str::to_owned).collect();
        for command in running {
            say(&format!("waiting for the command that was run: {command}"));
        }
        for finished in hooks.end().await {
            say(&finished.to_string());
        }
    }
}

impl Hook {
    /// Whether to act now, since it has begun to hold for a process.
    fn acts(&mut self, held: &Held, now: u64, act_by: ActBy, status: &StatusLine) -> bool {
        let ActBy { cool_down, sure } = act_by;
        let Some(pid) = held.pid else { return false };
        let seen = self.seen.entry(pid).or_insert_with(|| match &self.cause {
            HookCause::Verdict(_) => Seen::Verdict(Trigger::new(cool_down)),
            HookCause::Condition(condition) => Seen::Condition(Box::new(When::new(condition.clone(), cool_down))),
        });
        let acts = match (seen, &self.cause) {
            (Seen::Condition(when), _) => {
                let observed = when.observe(now, &facts(held));
                if let Some(unknown) = observed.unknown {
                    status.aside(|| say(&format!("{}: {unknown} of process {pid}, so it does not hold", self.name)));
                }
                observed.acts
            }
            (Seen::Verdict(trigger), HookCause::Verdict(word)) => {
                trigger.observe(now, held.is_judged(word.name(), sure))
            }
            (Seen::Verdict(_), HookCause::Condition(_)) => false,
        };
        // Many workers that begin to leak at one time are one reason to act.
        let is_cool = self.last.is_none_or(|last| now.saturating_sub(last) >= cool_down);
        if acts && is_cool {
            self.last = Some(now);
        }
        acts && is_cool
    }
}

fn facts(held: &Held) -> Facts<'_> {
    Facts {
        pid: held.pid.unwrap_or(0),
        name: &held.name,
        sample: &held.sample,
        verdict: held.verdict.as_ref(),
        limit: held.limit,
    }
}

fn announce(trigger: &json::Trigger<'_>, form: Form) -> anyhow::Result<()> {
    if form == Form::Json {
        Output::open(&Destination::Stdout)?.write(|out| json::write_trigger(out, trigger))?;
        return Ok(());
    }
    let kept = trigger.profile.map(|path| format!(", profile kept in {path}")).unwrap_or_default();
    let run = trigger.command.map(|command| format!(", running: {command}")).unwrap_or_default();
    say(&format!("{} holds for {} (pid {}){kept}{run}", trigger.cause, trigger.name, trigger.pid));
    Ok(())
}
