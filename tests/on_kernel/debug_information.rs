//! Debug information that lies apart from its program: in a small symbol table, or on a server.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide;
use heaptide_tests::profile::{Place, Profile};
use heaptide_tests::program::{Program, Stream};
use heaptide_tests::truth::Account;
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, compare};
use nix::sys::signal::Signal;
use tempfile::TempDir;

fn run(program: &str, arguments: &[&Path]) -> Result<String> {
    let ended = Program::start(Command::new(program).args(arguments))?.end()?;
    ensure!(ended.status.success(), "{program} failed: {ended:?}");
    Ok(ended.out.join("\n"))
}

/// A workload without any symbols, and what was taken from it.
struct Stripped {
    folder: TempDir,
    build_id: String,
    debug: Vec<u8>,
}

impl Stripped {
    fn new(workload: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let (program, debug) = (folder.path().join("program"), folder.path().join("program.debug"));
        fs::copy(build::workload(workload)?, &program)?;
        run("objcopy", &[Path::new("--only-keep-debug"), &program, &debug])?;
        run("strip", &[&program])?;
        let notes = run("readelf", &[Path::new("-n"), &program])?;
        let (_, id) = notes.split_once("Build ID: ").context("the workload has no build id")?;
        let build_id = id.split_whitespace().next().unwrap_or_default().to_owned();
        Ok(Self { build_id, debug: fs::read(debug)?, folder })
    }

    /// What is reported of it by heaptide with these variables and options, and what it knows itself; and what heaptide
    /// said.
    fn record(&self, variables: &[(&str, &str)], options: &[&str]) -> Result<(Profile, Vec<Account>, Vec<String>)> {
        let json = self.folder.path().join("profile.json");
        let mut workload = Workload::run(Command::new(self.folder.path().join("program")).arg("wait"))?;
        let mut command = Command::new(heaptide::program()?);
        command.arg("record").args(options).args(["-p", &workload.pid().to_string(), "--json"]).arg(&json);
        command.env_remove("DEBUGINFOD_URLS").envs(variables.iter().copied());
        let mut recording = Program::start(&mut command)?;
        recording.hear(Stream::Err, "line that it is attached", |line| line.starts_with("attached to PID "))?;
        workload.go()?;
        let accounts = workload.done()?;
        recording.signal(Signal::SIGINT)?;
        let ended = recording.end()?;
        ensure!(ended.status.success(), "heaptide failed: {ended:?}");
        Ok((serde_json::from_slice(&fs::read(json)?)?, accounts, ended.err))
    }
}

/// Frames of the stripped program, all of which must be without a name.
fn nameless(profile: &Profile) -> usize {
    let frames = profile.processes.iter().flat_map(|process| &process.stacks).flat_map(|stack| &stack.frames);
    let own = frames.filter(|frame| frame.module.as_deref() == Some("program"));
    own.filter(|frame| matches!(&frame.place, Place::Unnamed(reason) if reason == "no_symbol")).count()
}

/// A server that has one file; others are answered with `otherwise`.
fn serve(path: String, file: Vec<u8>, otherwise: &'static str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let Ok(mut reader) = connection.try_clone().map(BufReader::new) else { continue };
            let mut asked = String::new();
            let mut line = String::new();
            let _ = reader.read_line(&mut asked);
            while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let is_it = asked.split(' ').nth(1) == Some(&path);
            let (status, body) = if is_it { ("200 OK", file.as_slice()) } else { (otherwise, &b""[..]) };
            let length = body.len();
            let _ = write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = connection.write_all(body);
        }
    });
    Ok(url)
}

#[test]
fn a_debuginfod_server_is_asked_only_when_it_is_allowed() -> Result<()> {
    let stripped = Stripped::new("functions")?;
    let path = format!("/buildid/{}/debuginfo", stripped.build_id);
    let url = serve(path, stripped.debug.clone(), "404 Not Found")?;
    let cache = TempDir::new()?;
    let cache_path = cache.path().to_str().context("a temporary path is text")?;
    let variables = [("DEBUGINFOD_URLS", url.as_str()), ("DEBUGINFOD_CACHE_PATH", cache_path)];

    let (profile, ..) = stripped.record(&variables, &[])?;
    ensure!(nameless(&profile) > 0 && fs::read_dir(cache.path())?.next().is_none(), "a server was asked");

    let (profile, accounts, _) = stripped.record(&variables, &["--debuginfod"])?;
    compare::same("functions, by debuginfod", &accounts, &profile)?;
    ensure!(cache.path().join(&stripped.build_id).join("debuginfo").exists(), "what was fetched was not kept");

    // What is kept needs no server any more.
    let gone = [("DEBUGINFOD_URLS", "http://127.0.0.1:1"), variables[1]];
    let (profile, accounts, _) = stripped.record(&gone, &["--debuginfod"])?;
    compare::same("functions, by debuginfod, from its cache", &accounts, &profile)
}

#[test]
fn a_debuginfod_server_that_fails_costs_one_line_and_the_names() -> Result<()> {
    let stripped = Stripped::new("functions")?;
    let failing = serve(String::new(), Vec::new(), "503 Service Unavailable")?;
    let lying = serve(format!("/buildid/{}/debuginfo", stripped.build_id), b"no ELF file".to_vec(), "404 Not Found")?;
    let cache = TempDir::new()?;
    let cache_path = cache.path().to_str().context("a temporary path is text")?;
    for url in [failing, lying] {
        let variables = [("DEBUGINFOD_URLS", url.as_str()), ("DEBUGINFOD_CACHE_PATH", cache_path)];
        let (profile, _, said) = stripped.record(&variables, &["--debuginfod"])?;
        ensure!(nameless(&profile) > 0, "there are names");
        let of_it = said.iter().filter(|line| line.contains(&url)).count();
        ensure!(of_it == 1, "{of_it} lines about the server: {said:?}");
    }
    let (.., said) = stripped.record(&[], &["--debuginfod"])?;
    ensure!(said.iter().any(|line| line.contains("DEBUGINFOD_URLS is not set")), "nothing is said: {said:?}");
    Ok(())
}
