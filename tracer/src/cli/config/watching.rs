//! What `heaptide watch` is to do.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::{Capture, UsageError};
use crate::cli::args::{WatchArgs, Word};
use crate::watch::Condition;

/// What to watch, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Watching {
    /// What is recorded.
    pub capture: Capture,
    /// How often it is looked at what is held, and a line is written. Never 0.
    pub interval: Duration,
    /// The verdict on a process that ends it.
    pub until: Option<Word>,
    /// How sure a verdict must be before anything is done about it: a share of 1.
    pub sure: f64,
    /// Whether the exit code tells the verdict.
    pub exit_code: bool,
    /// The form of standard output.
    pub form: Form,
    /// Commands to run.
    pub hooks: Vec<Hook>,
    /// Each is run at most once in this time.
    pub cool_down: Duration,
    /// Each has so much time. Never 0.
    pub hook_timeout: Duration,
    /// Where profiles are kept.
    pub keep: Option<PathBuf>,
    /// Most suspects of each process; at least 1.
    pub top: usize,
}

/// The form of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for people.
    Text,
    /// Lines for spreadsheets.
    Csv,
    /// A JSON object a line.
    Json,
}

/// A command, and when it is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// When.
    pub cause: HookCause,
    /// The command, for `sh`; empty: a profile is kept and that is all.
    pub command: String,
}

/// When a command is run.
#[derive(Clone, Debug, PartialEq)]
pub enum HookCause {
    /// When this becomes the verdict on a process, and sure.
    Verdict(Word),
    /// When this begins to hold for a process.
    Condition(Condition),
}

impl TryFrom<WatchArgs> for Watching {
    type Error = UsageError;

    fn try_from(args: WatchArgs) -> Result<Self, UsageError> {
        let on =
            pairs(args.on).map(|(verdict, command)| Ok(Hook { cause: HookCause::Verdict(word(&verdict)?), command }));
        let when = pairs(args.when)
            .map(|(condition, command)| Ok(Hook { cause: HookCause::Condition(parse(&condition)?), command }));
        Ok(Self {
            hooks: on.chain(when).collect::<Result<_, UsageError>>()?,
            capture: Capture::try_from(args.capture)?,
            interval: args.interval,
            until: args.until,
            sure: args.sure,
            exit_code: args.exit_code,
            form: match (args.csv, args.json) {
                (true, _) => Form::Csv,
                (_, true) => Form::Json,
                _ => Form::Text,
            },
            cool_down: args.cool_down,
            hook_timeout: args.hook_timeout,
            keep: args.keep,
            top: args.top,
        })
    }
}

/// The parser lets pairs alone through.
fn pairs(values: Vec<String>) -> impl Iterator<Item = (String, String)> {
    let mut values = values.into_iter();
    std::iter::from_fn(move || values.next().zip(values.next()))
}

fn word(text: &str) -> Result<Word, UsageError> {
    let accepted = || {
        let words = Word::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        words.map(|word| word.get_name().to_owned()).collect::<Vec<_>>().join(", ")
    };
    Word::from_str(&text.replace('_', "-"), false).map_err(|_| UsageError::Cause {
        option: "--on",
        typed: text.to_owned(),
        reason: format!("expected one of {}", accepted()),
    })
}

fn parse(text: &str) -> Result<Condition, UsageError> {
    text.parse().map_err(|error: crate::watch::ConditionError| UsageError::Cause {
        option: "--when",
        typed: text.to_owned(),
        reason: error.to_string(),
    })
}
