//! What is done when something begins to hold for a process: a profile is kept, and a command is run.

use super::{
    hook::{self, Hook},
    keep::Keep,
    lines::Lines,
};
use crate::{
    cli::{
        commands::capture::{StatusLine, say},
        config::{Destination, Form, Watching},
        output::Output,
    },
    pipeline::Session,
    report::watch::{Held, Row, json},
    watch::{Hooks, Run, Started},
};

/// Stacks in a profile that is kept of a moment: of a process, those with the most, besides those that grow.
const STACKS: usize = 1000;

/// All hooks, with what they have seen.
pub(super) struct Triggers {
    all: Vec<Hook>,
    hooks: Hooks,
    /// How sure a verdict must be.
    sure: f64,
}

impl Triggers {
    pub(super) fn new(watching: &Watching) -> Self {
        let cool_down = u64::try_from(watching.cool_down.as_nanos()).unwrap_or(u64::MAX);
        Self {
            all: watching.hooks.iter().map(|hook| Hook::new(hook, cool_down)).collect(),
            hooks: Hooks::new(watching.hook_timeout),
            sure: watching.sure,
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
            let asked = self.all[index].ask(row, now, self.sure);
            for unknown in &asked.unknown {
                status.aside(|| say(unknown));
            }
            for held in asked.acts {
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
        let mut is_busy = false;
        if !command.is_empty() {
            let mut environment = hook::facts(held).environment(name);
            environment.extend(kept.map(|path| ("HEAPTIDE_PROFILE".to_owned(), path.to_owned())));
            let mut document = Vec::new();
            json::write_hook(&mut document, &trigger, held)?;
            let run = Run { hook: index, command: command.clone(), environment, document };
            is_busy = self.hooks.start(run) == Started::Busy;
        }
        let run = trigger.command.filter(|_| !is_busy);
        status.aside(|| announce(&json::Trigger { command: run, ..trigger }, lines.form()))?;
        if is_busy {
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
