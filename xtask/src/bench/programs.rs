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
use super::compiler;
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
    /// It cannot attach without stopping its target: it is preloaded, so the program was started for it.
    Heaptrack,
}

/// Each with the name that its figures have.
const TOOLS: [(&str, Tool); 4] = [
    ("heaptide", Tool::Heaptide(&[])),
    ("heaptide --sample", Tool::Heaptide(&["--sample", INTERVAL])),
    ("bpftrace", Tool::Bpftrace),
    ("heaptrack, preloaded", Tool::Heaptrack),
];

/// What heaptrack preloads, and where that is told to write.
const PRELOADED: &str = "/usr/lib/heaptrack/libheaptrack_preload.so";
const WRITES_TO: &str = "DUMP_HEAPTRACK_OUTPUT";

/// Less than this a program that was recorded by heaptrack cannot have written, in bytes.
const LEAST_WRITTEN: u64 = 10_000;

/// A tool at work.
enum Attached {
    Nothing,
    Heaptide(Recording),
    Bpftrace(Program),
}

/// Installs what is missing; fails with the reason when it cannot be had.
pub(crate) fn find() -> Result<()> {
    completeness::install(&["redis-server", "redis-tools", "python3", "sqlite3", "heaptrack"])?;
    compiler::find()?;
    bpftrace::find()
}

pub(crate) fn measure(heaptide: &Path) -> Result<Vec<Figure>> {
    let folder = TempDir::new().context("cannot create a temporary folder")?;
    let python = ["/usr/bin/python3", "-c", JSON_JOB].map(str::to_owned);
    let script = folder.path().join("script.sql");
    fs::write(&script, insert_job()).context("cannot write a script")?;
    let sqlite = ["/usr/bin/sqlite3".to_owned(), ":memory:".to_owned(), format!(".read {}", script.display())];
    let source = folder.path().join("regular.cpp");
    fs::write(&source, CLANG_JOB).context("cannot write a program")?;
    let clang = compiler::command(&source, &folder.path().join("object"))?;
    let mut figures = redis(heaptide, folder.path())?;
    let jobs = [
        ("python", "JSON", &python[..]),
        ("sqlite3", "inserts", &sqlite[..]),
        ("clang", "a small program", &clang[..]),
    ];
    for (name, what, words) in jobs {
        let untraced = job(heaptide, words, Tool::Nobody)?;
        figures.push(Figure::new(format!("{name}, {what}"), untraced, "seconds"));
        for (by, tool) in TOOLS {
            let kept = untraced * 100.0 / job(heaptide, words, tool).with_context(|| format!("{name} under {by}"))?;
            figures.push(Figure::new(format!("{name}, {by}"), kept, "% kept"));
        }
    }
    Ok(figures)
}

const JSON_JOB: &str = "
import json
for _ in range(200):
    items = [{'id': i, 'name': f'item {i}', 'tags': ['a', 'b', str(i)], 'price': i * 1.5} for i in range(4000)]
    assert json.loads(json.dumps(items)) == items
";

/// What the standard library's headers make of it takes a compiler some seconds.
const CLANG_JOB: &str = "
#include <functional>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>
int main(int, char **arguments) {
    std::map<std::string, std::vector<std::regex>> known{{\"a\", {std::regex(\"a*b(c|d)+\")}}};
    std::unordered_map<std::string, std::function<int(int)>> next{{\"x\", [](int number) { return number + 1; }}};
    std::cout << std::regex_match(arguments[0], known[\"a\"][0]) << next[\"x\"](1);
}
";

fn insert_job() -> String {
    let rows = "insert into item(name, size) with recursive n(x) as (select 1 union all select x + 1 from n where x < 20000) \
                select hex(randomblob(12)), x from n;\n";
    "create table item(id integer primary key, name, size);\ncreate index by_name on item(name);\n".to_owned()
        + &rows.repeat(20)
}

/// Seconds that a job takes while `tool` looks on.
fn job(heaptide: &Path, words: &[String], tool: Tool) -> Result<f64> {
    let folder = TempDir::new().context("cannot create a temporary folder")?;
    let written = folder.path().join("heaptrack");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "echo waiting; read go; exec \"$@\"", "sh"]);
    if tool == Tool::Heaptrack {
        // The library takes itself out of the environment, so that the program's children do not load it, too.
        shell.args(["/usr/bin/env".to_owned(), format!("LD_PRELOAD={PRELOADED}")]);
        shell.arg(format!("{WRITES_TO}={}", written.display()));
    }
    shell.args(words);
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
    if tool == Tool::Heaptrack {
        has_written(&written)?;
    }
    Ok(seconds)
}

/// Fails unless heaptrack has recorded something.
fn has_written(file: &Path) -> Result<()> {
    let length = fs::metadata(file).context("heaptrack wrote nothing")?.len();
    ensure!(length > LEAST_WRITTEN, "heaptrack wrote {length} bytes only: it did not see the program");
    Ok(())
}

/// Requests a second that redis answers, untraced, and what is left of them.
fn redis(heaptide: &Path, folder: &Path) -> Result<Vec<Figure>> {
    let untraced = requests(heaptide, Tool::Nobody, folder)?;
    let mut figures = vec![Figure::new("redis, SET and GET", untraced, "requests a second")];
    for (by, tool) in TOOLS {
        let kept = requests(heaptide, tool, folder)? * 100.0 / untraced;
        figures.push(Figure::new(format!("redis, {by}"), kept, "% kept"));
    }
    Ok(figures)
}

fn requests(heaptide: &Path, tool: Tool, folder: &Path) -> Result<f64> {
    let port = load::free_port()?.to_string();
    let mut server = Command::new("/usr/bin/redis-server");
    server.args(["--bind", "127.0.0.1", "--save", "", "--port", &port, "--dir"]).arg(folder);
    let written = folder.join("heaptrack");
    if tool == Tool::Heaptrack {
        server.env("LD_PRELOAD", PRELOADED).env(WRITES_TO, &written);
    }
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
    if tool == Tool::Heaptrack {
        has_written(&written)?;
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
        Tool::Nobody | Tool::Heaptrack => Attached::Nothing,
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
