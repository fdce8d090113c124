//! What is left of the speed of real programs at full load, under heaptide and under the tools that its users know.
//!
//! A job is started by a shell that waits for a line, becomes the program, and so keeps its process id: tools that attach do
//! so before the program begins, and what is timed is the program, from the line to its end. heaptrack cannot attach: it is
//! preloaded.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::program::{Program, Stream};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::figure::Figure;
use super::recording::Recording;
use super::sampled::INTERVAL;
use super::{bpftrace, compiler};
use crate::completeness::{self, load};

/// heaptrack's library, where Debian has it.
const HEAPTRACK: &str = "/usr/lib/heaptrack/libheaptrack_preload.so";

/// Requests to redis of each kind, and the clients that make them.
const REQUESTS: &str = "60000";
const CLIENTS: &str = "20";

/// Who looks on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Nobody,
    Heaptide(&'static [&'static str]),
    Bpftrace,
    Heaptrack,
}

/// In the order of a program's figures.
const TOOLS: [Tool; 4] =
    [Tool::Heaptide(&[]), Tool::Heaptide(&["--sample", INTERVAL]), Tool::Bpftrace, Tool::Heaptrack];

/// A tool at work.
enum Attached {
    Nothing,
    Heaptide(Recording),
    Bpftrace(Program),
}

/// Installs what is missing; fails with the reason when it cannot be had.
pub(crate) fn find() -> Result<()> {
    completeness::install(&["redis-server", "redis-tools", "python3", "sqlite3", "clang-14", "clang", "libheaptrack"])?;
    bpftrace::find()
}

pub(crate) fn measure(heaptide: &Path) -> Result<Vec<Figure>> {
    let folder = TempDir::new().context("cannot create a temporary folder")?;
    let python = ["/usr/bin/python3", "-c", JSON_JOB].map(str::to_owned);
    let script = folder.path().join("script.sql");
    fs::write(&script, insert_job()).context("cannot write a script")?;
    let sqlite = ["/usr/bin/sqlite3".to_owned(), ":memory:".to_owned(), format!(".read {}", script.display())];
    let clang = compiler::compiler(&folder.path().join("object"))?;
    let mut figures = redis(heaptide, folder.path())?;
    for (names, words) in [(PYTHON, &python[..]), (SQLITE, &sqlite[..]), (CLANG, &clang[..])] {
        let untraced = job(heaptide, words, Tool::Nobody, folder.path())?;
        figures.push(Figure::new(names[0], untraced, "seconds"));
        for (name, tool) in names[1..].iter().zip(TOOLS) {
            figures.push(Figure::new(name, untraced * 100.0 / job(heaptide, words, tool, folder.path())?, "% kept"));
        }
    }
    Ok(figures)
}

const REDIS: [&str; 5] =
    ["redis SET and GET", "redis, heaptide", "redis, heaptide --sample", "redis, bpftrace", "redis, heaptrack"];
const PYTHON: [&str; 5] =
    ["python, JSON", "python, heaptide", "python, heaptide --sample", "python, bpftrace", "python, heaptrack"];
const SQLITE: [&str; 5] =
    ["sqlite3, inserts", "sqlite3, heaptide", "sqlite3, heaptide --sample", "sqlite3, bpftrace", "sqlite3, heaptrack"];
const CLANG: [&str; 5] =
    ["clang, a large file", "clang, heaptide", "clang, heaptide --sample", "clang, bpftrace", "clang, heaptrack"];

const JSON_JOB: &str = "
import json
for _ in range(60):
    items = [{'id': i, 'name': f'item {i}', 'tags': ['a', 'b', str(i)], 'price': i * 1.5} for i in range(4000)]
    assert json.loads(json.dumps(items)) == items
";

fn insert_job() -> String {
    let rows = "insert into item(name, size) with recursive n(x) as (select 1 union all select x + 1 from n where x < 20000) \
                select hex(randomblob(12)), x from n;\n";
    "create table item(id integer primary key, name, size);\ncreate index by_name on item(name);\n".to_owned()
        + &rows.repeat(15)
}

/// Seconds that a job takes while `tool` looks on.
fn job(heaptide: &Path, words: &[String], tool: Tool, folder: &Path) -> Result<f64> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "echo waiting; read go; exec \"$@\"", "sh"]).args(words);
    preload(&mut shell, tool, folder);
    let mut program = Program::start(&mut shell)?;
    program.hear(Stream::Out, "line that it waits", |line| line == "waiting")?;
    let attached = attach(heaptide, program.pid(), tool)?;
    let begin = Instant::now();
    program.tell("go")?;
    let ended = program.end()?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(ended.status.success(), "{words:?} failed: {ended:?}");
    detach(attached)?;
    Ok(seconds)
}

/// Requests a second that redis answers, untraced, and what is left of them.
fn redis(heaptide: &Path, folder: &Path) -> Result<Vec<Figure>> {
    let untraced = requests(heaptide, Tool::Nobody, folder)?;
    let mut figures = vec![Figure::new(REDIS[0], untraced, "requests a second")];
    for (name, tool) in REDIS[1..].iter().zip(TOOLS) {
        figures.push(Figure::new(name, requests(heaptide, tool, folder)? * 100.0 / untraced, "% kept"));
    }
    Ok(figures)
}

fn requests(heaptide: &Path, tool: Tool, folder: &Path) -> Result<f64> {
    let port = load::free_port()?.to_string();
    let mut server = Command::new("/usr/bin/redis-server");
    server.args(["--bind", "127.0.0.1", "--save", "", "--port", &port, "--dir"]).arg(folder);
    preload(&mut server, tool, folder);
    let server = Program::start(&mut server)?;
    load::wait_for_port(port.parse()?)?;
    let attached = attach(heaptide, server.pid(), tool)?;
    let options = ["-t", "set,get", "-r", "100000", "-n", REQUESTS, "-c", CLIENTS, "--csv", "-p", &port];
    let clients = Program::start(Command::new("/usr/bin/redis-benchmark").args(options))?.end()?;
    ensure!(clients.status.success(), "redis-benchmark failed: {clients:?}");
    detach(attached)?;
    // "SET","30000.00",…: the second is requests a second.
    let rates = clients.out.iter().filter_map(|line| line.split('"').nth(3)?.parse::<f64>().ok());
    let rates: Vec<f64> = rates.collect();
    ensure!(rates.len() == 2, "redis-benchmark did not tell two rates: {:?}", clients.out);
    // As many of each: the mean of the times.
    Ok(2.0 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>())
}

fn preload(command: &mut Command, tool: Tool, folder: &Path) {
    if tool == Tool::Heaptrack {
        command.env("LD_PRELOAD", HEAPTRACK).env("DUMP_HEAPTRACK_OUTPUT", folder.join("heaptrack"));
    }
}

fn attach(heaptide: &Path, pid: u32, tool: Tool) -> Result<Attached> {
    Ok(match tool {
        Tool::Nobody | Tool::Heaptrack => Attached::Nothing,
        Tool::Heaptide(options) => Attached::Heaptide(Recording::attach_with(heaptide, pid, options)?),
        Tool::Bpftrace => Attached::Bpftrace(bpftrace::attach(pid)?),
    })
}

fn detach(attached: Attached) -> Result<()> {
    match attached {
        Attached::Nothing => {}
        Attached::Heaptide(recording) => drop(recording.stop()?),
        Attached::Bpftrace(tool) => {
            // It ends with its process, too.
            let _ = tool.signal(Signal::SIGINT);
            tool.end()?;
        }
    }
    Ok(())
}
