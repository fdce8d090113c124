//! One file from a web server, by curl: it knows the system's certificates and proxies, and heaptide, which runs as root,
//! need not bring along an encryption of its own.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Slower than this many bytes a second is as good as silent.
const SLOWEST: &str = "1000";

/// Most redirections that are followed.
const MOST_HOPS: &str = "5";

/// How often the patience with a silent server all of a file may take.
const WHOLE: u32 = 10;

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Download {
    /// The file is there.
    Done,
    /// The server has none.
    Missing,
}

/// Fetches `url` into `to`, at most `most` bytes. Errors: a text that says what is wrong with the server.
pub(super) fn download(url: &str, to: &mut File, patience: Duration, most: u64) -> Result<Download, String> {
    let seconds = |time: Duration| time.as_secs().max(1).to_string();
    let mut command = Command::new("curl");
    // Not by what root's own configuration file says.
    command.args(["--disable", "--silent", "--show-error", "--fail", "--globoff", "--compressed"]);
    command.args(["--location", "--max-redirs", MOST_HOPS, "--proto", "=http,https", "--proto-redir", "=http,https"]);
    command.args(["--connect-timeout", &seconds(patience), "--max-time", &seconds(patience * WHOLE)]);
    command.args(["--speed-limit", SLOWEST, "--speed-time", &seconds(patience)]);
    command.args(["--user-agent", concat!("heaptide/", env!("CARGO_PKG_VERSION"))]);
    command.args(["--write-out", "%{stderr}\n%{http_code}", "--url", url]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut curl = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "the program curl is needed for that, and is not installed".to_owned(),
        _ => format!("curl cannot be started: {error}"),
    })?;
    let copied = match &mut curl.stdout {
        Some(body) => io::copy(&mut body.take(most + 1), to),
        None => Ok(0),
    };
    if !matches!(copied, Ok(length) if length <= most) {
        // It may be gone already; either way it has to be waited for.
        let _ = curl.kill();
    }
    let ended = curl.wait_with_output().map_err(|error| format!("curl cannot be waited for: {error}"))?;
    let length = copied.map_err(|error| format!("what it gives cannot be kept: {error}"))?;
    if length > most {
        return Err(format!("it gave more than {most} bytes"));
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let (message, code) = said.trim_end().rsplit_once('\n').unwrap_or((&said, ""));
    if ended.status.success() {
        to.rewind().map_err(|error| format!("what it gives cannot be kept: {error}"))?;
        return Ok(Download::Done);
    }
    if code == "404" {
        return Ok(Download::Missing);
    }
    Err(reason(message))
}

/// `curl: (28) Operation too slow. ...`: what is behind the number, in one line.
fn reason(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("curl was ended");
    line.split_once(") ").map_or(line, |(_, reason)| reason).trim().to_owned()
}
