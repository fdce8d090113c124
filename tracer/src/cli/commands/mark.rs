//! `heaptide mark`: asks the recordings that run to set a mark.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::linux::net::SocketAddrExt,
    os::unix::net::{SocketAddr, UnixStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};

use super::capture::marks::PREFIX;
use crate::cli::output;

/// A recording that does not answer within this time is busy, or stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks all recordings, or that of process `pid` alone.
pub(super) fn run(pid: Option<u32>) -> anyhow::Result<ExitCode> {
    let recordings = recordings().context("cannot look for recordings")?;
    let mut told = String::new();
    let mut failed = None;
    for heaptide in recordings {
        match ask(heaptide, pid.unwrap_or(0)) {
            Ok(Some((number, seconds))) => {
                let line = format!("mark {number} set at {seconds} s in the recording of heaptide {heaptide}\n");
                told += &line;
            }
            Ok(None) => {}
            Err(error) => failed = Some((heaptide, error)),
        }
    }
    match (told.is_empty(), failed, pid) {
        (false, ..) => output::show(&told)?,
        (true, Some((heaptide, error)), _) => bail!("the recording of heaptide {heaptide} did not answer: {error}"),
        (true, None, Some(pid)) => bail!("process {pid} is not being recorded (start: heaptide watch -p {pid})"),
        (true, None, None) => bail!("nothing is being recorded (start: heaptide watch -p PID)"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The processes that listen, by the kernel's list of sockets: an abstract name is shown with `@` before it.
fn recordings() -> std::io::Result<Vec<u32>> {
    let list = fs::read_to_string("/proc/net/unix")?;
    let pid = |line: &str| line.rsplit_once('@')?.1.strip_prefix(PREFIX)?.parse().ok();
    let mut pids: Vec<u32> = list.lines().filter_map(pid).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// The number and time of the mark that was set; `None` when another process is recorded there.
fn ask(heaptide: u32, pid: u32) -> std::io::Result<Option<(u32, String)>> {
    let mut stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(format!("{PREFIX}{heaptide}"))?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{pid}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    let parsed =
        answer.trim().split_once(' ').and_then(|(number, seconds)| Some((number.parse().ok()?, seconds.to_owned())));
    Ok(parsed)
}
