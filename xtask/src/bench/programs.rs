//! What is left of the speed of real programs at full load, under heaptide and under the tools that its users know.
//!
//! A job is started by a shell that waits for a line, becomes the program, and so keeps its process id: tools that attach do
//! so before the program begins, and what is timed is the program, from the line to its end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::program::{Program, Stream};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::bpftrace;
use super::figure::Figure;
use super::recording::Recording;
use super::sampled::INTERVAL;
use crate::completeness::{self, load};

/// Requests to redis of each kind, and the clients that make them.
const REQUESTS: &str = "60000";
const CLIENTS: &str = "20";

/// How long a job may take under the slowest tool.
const LONGEST: Duration = Duration::from_mins(5);

/// Who looks on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Nobody,
    Heaptide(&'static [&'static str]),
    Bpftrace,
}

/// In the order of a program's figures.
const TOOLS: [Tool; 3] = [Tool::Heaptide(&[]), Tool::Heaptide(&["--sample", INTERVAL]), Tool::Bpftrace];

/// A tool at work.
enum Attached {
    Nothing,
    Heaptide(Recording),
    Bpftrace(Program),
}

/// Installs what is missing; fails with the reason when it cannot be had.
pub(crate) fn find() -> Result<()> {
    completeness::install(&["redis-server", "redis-tools", "python3", "sqlite3"])?;
    bpftrace::find()
}

pub(crate) fn measure(heaptide: &Path) -> Result<Vec<Figure>> {
    let folder = TempDir::new().context("cannot create a temporary folder")?;
    let python = ["/usr/bin/python3", "-c", JSON_JOB].map(str::to_owned);
    let script = folder.path().join("script.sql");
    fs::write(&script, insert_job()).context("cannot write a script")?;
    let sqlite = ["/usr/bin/sqlite3".to_owned(), ":memory:".to_owned(), format!(".read {}", script.display())];
    let mut figures = redis(heaptide, folder.path())?;
    for (names, words) in [(PYTHON, &python[..]), (SQLITE, &sqlite[..])] {
        let untraced = job(heaptide, words, Tool::Nobody)?;
        figures.push(Figure::new(names[0], untraced, "seconds"));
        for (name, tool) in names[1..].iter().zip(TOOLS) {
            figures.push(Figure::new(*name, untraced * 100.0 / job(heaptide, words, tool)?, "% kept"));
        }
    }
    Ok(figures)
}

const REDIS: [&str; 4] = ["redis SET and GET", "redis, heaptide", "redis, heaptide --sample", "redis, bpftrace"];
const PYTHON: [&str; 4] = ["python, JSON", "python, heaptide", "python, heaptide --sample", "python, bpftrace"];
const SQLITE: [&str; 4] = ["sqlite3, inserts", "sqlite3, heaptide", "sqlite3, heaptide --sample", "sqlite3, bpftrace"];
const JSON_JOB: &str = "
import json
for _ in range(200):
    items = [{'id': i, 'name': f'item {i}', 'tags': ['a', 'b', str(i)], 'price': i * 1.5} for i in range(4000)]
    assert json.loads(json.dumps(items)) == items
";

fn insert_job() -> String {
    let rows = "insert into item(name, size) with recursive n(x) as (select 1 union all select x + 1 from n where x < 20000) \
                select hex(randomblob(12)), x from n;\n";
    "create table item(id integer primary key, name, size);\ncreate index by_name on item(name);\n".to_owned()
        + &rows.repeat(20)
}

/// Seconds that a job takes while `tool` looks on.
fn job(heaptide: &Path, words: &[String], tool: Tool) -> Result<f64> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "echo waiting; read go; exec \"$@\"", "sh"]).args(words);
    let mut program = Program::start(&mut shell)?;
    program.hear(Stream::Out, "line that it waits", |line| line == "waiting")?;
    let attached = attach(heaptide, program.pid(), tool)?;
    let begin = Instant::now();
    program.tell("go")?;
    let ended = program.end_within(LONGEST)?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(ended.status.success(), "{words:?} failed: {ended:?}");
    match attached {
        Attached::Nothing => {}
        // It ends with its target, and a signal would cut its report short.
        Attached::Heaptide(recording) => recording.ended()?,
        Attached::Bpftrace(tool) => end(tool)?,
    }
    Ok(seconds)
}

/// Requests a second that redis answers, untraced, and what is left of them.
fn redis(heaptide: &Path, folder: &Path) -> Result<Vec<Figure>> {
    let untraced = requests(heaptide, Tool::Nobody, folder)?;
    let mut figures = vec![Figure::new(REDIS[0], untraced, "requests a second")];
    for (name, tool) in REDIS[1..].iter().zip(TOOLS) {
        figures.push(Figure::new(*name, requests(heaptide, tool, folder)? * 100.0 / untraced, "% kept"));
    }
    Ok(figures)
}

fn requests(heaptide: &Path, tool: Tool, folder: &Path) -> Result<f64> {
    let port = load::free_port()?.to_string();
    let mut server = Command::new("/usr/bin/redis-server");
    server.args(["--bind", "127.0.0.1", "--save", "", "--port", &port, "--dir"]).arg(folder);
    let server = Program::start(&mut server)?;
    load::wait_for_port(port.parse()?)?;
    let attached = attach(heaptide, server.pid(), tool)?;
    let options = ["-t", "set,get", "-r", "100000", "-n", REQUESTS, "-c", CLIENTS, "--csv", "-p", &port];
    let clients = Program::start(Command::new("/usr/bin/redis-benchmark").args(options))?.end()?;
    ensure!(clients.status.success(), "redis-benchmark failed: {clients:?}");
    match attached {
        Attached::Nothing => {}
        Attached::Heaptide(recording) => drop(recording.stop()?),
        Attached::Bpftrace(tool) => end(tool)?,
    }
    // "SET","30000.00",…: the second is requests a second.
    let rates = clients.out.iter().filter_map(|line| line.split('"').nth(3)?.parse::<f64>().ok());
    let rates: Vec<f64> = rates.collect();
    ensure!(rates.len() == 2, "redis-benchmark did not tell two rates: {:?}", clients.out);
    // As many of each: the mean of the times.
    Ok(2.0 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>())
}

fn attach(heaptide: &Path, pid: u32, tool: Tool) -> Result<Attached> {
    Ok(match tool {
        Tool::Nobody => Attached::Nothing,
        Tool::Heaptide(options) => Attached::Heaptide(Recording::attach_with(heaptide, pid, options)?),
        Tool::Bpftrace => Attached::Bpftrace(bpftrace::attach(pid)?),
    })
}

fn end(bpftrace: Program) -> Result<()> {
    // It may have ended with its target.
    let _ = bpftrace.signal(Signal::SIGINT);
    bpftrace.end()?;
    Ok(())
}
