//! `heaptide watch` while it runs, and the JSON objects that it writes.

use std::ffi::OsString;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::heaptide;
use crate::program::{Ended, Program, Stream};

/// A watch that writes JSON, an interval every 100 ms.
#[derive(Debug)]
pub struct Watch {
    program: Program,
}

/// What a watch left.
#[derive(Debug)]
pub struct Watched {
    /// How heaptide ended, and its own words.
    pub ended: Ended,
    /// All objects, as they came.
    pub objects: Vec<Value>,
}

/// Options of every watch here: the most lines that heaptide would write in a second, or nearly so.
const OPTIONS: [&str; 4] = ["watch", "--json", "-i", "100ms"];

impl Watch {
    /// Watches the processes `pids`; returns when all probes are in.
    pub fn attach(pids: &[u32], options: &[&str]) -> Result<Self> {
        let pids = pids.iter().flat_map(|pid| ["-p".to_owned(), pid.to_string()]);
        let arguments = options.iter().map(|&option| option.to_owned()).chain(pids);
        Self::start(arguments)
    }

    /// Watches what these arguments name; returns when the first process is attached to.
    pub fn start<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Result<Self> {
        let arguments = arguments.into_iter().map(Into::into);
        let all = OPTIONS.iter().map(OsString::from).chain(arguments);
        Ok(Self { program: heaptide::attached(all)? })
    }

    /// heaptide while it watches.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// The next interval that `wanted` is true for. Those that were heard before do not count.
    pub fn interval(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.object("interval", what, wanted)
    }

    /// The next object of a type that `wanted` is true for.
    pub fn object(&mut self, of: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let line = self.program.hear(Stream::Out, what, |line| {
            serde_json::from_str::<Value>(line).is_ok_and(|object| object["type"] == of && wanted(&object))
        })?;
        serde_json::from_str(&line).context("heard as JSON before")
    }

    /// An interval of which all was sampled after this call.
    pub fn fresh_interval(&mut self) -> Result<Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("it is past 1970")?.as_secs_f64();
        // The first one that is written from now on may have been sampled right before.
        self.interval("interval of now", |interval| interval["unix_seconds"].as_f64() > Some(now))?;
        self.interval("next interval", |_| true)
    }

    /// Stops it as a user does with Ctrl-C.
    pub fn stop(self) -> Result<Watched> {
        self.program.signal(Signal::SIGINT)?;
        self.end()
    }

    /// Waits until it ends by itself.
    pub fn end(self) -> Result<Watched> {
        Watched::of(self.program.end()?)
    }
}

impl Watched {
    /// Of a watch whose whole output is JSON.
    pub fn of(ended: Ended) -> Result<Self> {
        let object = |line: &String| serde_json::from_str(line).with_context(|| format!("not JSON: {line:?}"));
        let objects = ended.out.iter().map(object).collect::<Result<Vec<Value>>>()?;
        Ok(Self { ended, objects })
    }

    /// The objects of a type.
    pub fn of_type(&self, of: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["type"] == of)
    }

    /// The last object.
    pub fn conclusion(&self) -> Result<&Value> {
        match self.objects.last() {
            Some(last) if last["type"] == "conclusion" => Ok(last),
            last => bail!("the last line is no conclusion: {last:?}; it said:\n{}", self.ended.err.join("\n")),
        }
    }
}

/// The process `pid` in an interval or a conclusion.
pub fn process(object: &Value, pid: u32) -> Result<&Value> {
    let all = object["processes"].as_array().with_context(|| format!("no processes in {object}"))?;
    all.iter().find(|process| process["pid"] == pid).with_context(|| format!("no process {pid} in {object}"))
}

/// A whole number of an object.
pub fn number(object: &Value, name: &str) -> Result<u64> {
    object[name].as_u64().with_context(|| format!("no number {name} in {object}"))
}
