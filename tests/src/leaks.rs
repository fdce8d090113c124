//! Real programs with a leak: their sources are in `tests/leaks`, one folder a service.
//!
//! Each is code of the kind and size that is found in services, with one honest mistake on an error path ([`build`]). It is
//! asked what its users ask ([`requests`]), right and wrong things, at a steady pace ([`load`]).

pub mod build;
pub mod conclusion;
pub mod load;
pub mod requests;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::pace::deadline;
use crate::program::{Program, Stream};

/// A service with a leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `lexis`, an extension of Ruby in C, under puma: an exception passes a buffer that nobody else knows.
    Ruby,
    /// `mailparts`, an extension of Python in C, under its own HTTP server: a reference is not given back.
    Python,
    /// `docs`, a module of Redis: the uses of names in a patch that is refused are never taken back.
    Redis,
    /// `orders`, a service in C with libxml2: a text is not freed where an order is refused.
    Xml,
}

/// The line of a leak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The function that it is in.
    pub function: &'static str,
    /// The file's name without its folder.
    pub file: String,
    /// The line's number, from 1.
    pub number: u64,
}

/// What stands beside the allocation that is never released.
const MARK: &str = "/* the leak */";

impl Service {
    /// Where the memory that leaks is allocated. The function is told here, the line by a mark in the source.
    pub fn leak(self) -> Result<Line> {
        let (path, function) = match self {
            Self::Ruby => ("ruby/lexis.c", "read_phrase"),
            Self::Python => ("python/mailparts.c", "decode_base64"),
            Self::Redis => ("redis/docs.c", "name_take"),
            Self::Xml => ("xml/orders.c", "note_of"),
        };
        let source = build::source(path);
        let text = fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let marked: Vec<u64> =
            (1..).zip(text.lines()).filter(|(_, line)| line.contains(MARK)).map(|(n, _)| n).collect();
        ensure!(marked.len() == 1, "{path} has {} lines with {MARK}", marked.len());
        let file = source.file_name().context("a source has a name")?.to_string_lossy().into_owned();
        Ok(Line { function, file, number: marked[0] })
    }

    /// Builds it, starts it, and returns when it can be asked.
    pub fn start(self) -> Result<Running> {
        let folder = TempDir::with_prefix("heaptide-").context("cannot create a temporary folder")?;
        let mut command = self.command(folder.path())?;
        let mut program = Program::start(command.current_dir(folder.path()))?;
        let address = match self {
            Self::Redis => {
                program.hear(Stream::Out, "line that it is ready", |line| line.contains("ready to accept"))?;
                Address::Unix(folder.path().join(SOCKET))
            }
            Self::Ruby | Self::Python | Self::Xml => {
                let is_listening = |line: &str| line.to_lowercase().contains("listening on ");
                let line = program.hear(Stream::Out, "line that it is listening", is_listening)?;
                let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
                Address::Port(port.with_context(|| format!("no port in {line:?}"))?)
            }
        };
        Ok(Running { service: self, program, address, folder })
    }

    fn command(self, folder: &Path) -> Result<Command> {
        let built = build::service(self)?;
        let mut command = match self {
            Self::Ruby => {
                let mut ruby = Command::new(build::RUBY);
                ruby.args([build::PUMA, "--environment", "production", "--threads", "2:2"]);
                ruby.args(["--bind", "tcp://127.0.0.1:0"]).arg(build::source("ruby/config.ru")).env("LEXIS", &built);
                ruby
            }
            Self::Python => {
                let mut python = Command::new(build::PYTHON);
                python.arg(build::source("python/service.py")).env("MAILPARTS", &built);
                python
            }
            Self::Redis => {
                let mut redis = Command::new(build::REDIS);
                redis.args(["--port", "0", "--save", "", "--unixsocket"]).arg(folder.join(SOCKET));
                redis.arg("--loadmodule").arg(&built);
                redis
            }
            Self::Xml => Command::new(&built),
        };
        // What a user's own environment says of interpreters and allocators is no part of the test.
        for name in ["RUBYOPT", "RUBYLIB", "GEM_HOME", "GEM_PATH", "BUNDLE_GEMFILE", "PYTHONPATH", "PYTHONMALLOC"] {
            command.env_remove(name);
        }
        Ok(command)
    }
}

const SOCKET: &str = "socket";

#[derive(Clone, Debug)]
enum Address {
    /// Of the loopback interface.
    Port(u16),
    Unix(PathBuf),
}

/// A service that can be asked. It ends with this value.
#[derive(Debug)]
pub struct Running {
    service: Service,
    program: Program,
    address: Address,
    /// Its folder, which goes with it.
    #[expect(dead_code, reason = "it is there to be dropped, which removes the folder")]
    folder: TempDir,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    fn connect(&self) -> Result<Connection> {
        let refused = || format!("{:?} does not answer at {:?}", self.service, self.address);
        Ok(match &self.address {
            Address::Port(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).with_context(refused)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(deadline()))?;
                Connection::new(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).with_context(refused)?;
                stream.set_read_timeout(Some(deadline()))?;
                Connection::new(stream)
            }
        })
    }
}

/// What a service and a client talk by.
trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A connection that stays, for one question after the other.
struct Connection(BufReader<Box<dyn Wire>>);

impl Connection {
    fn new(wire: impl Wire + 'static) -> Self {
        Self(BufReader::new(Box::new(wire)))
    }

    fn ask(&mut self, question: &[u8], answer: fn(&mut dyn BufRead) -> Result<bool>) -> Result<bool> {
        self.0.get_mut().write_all(question).context("cannot ask")?;
        answer(&mut self.0)
    }
}

/// How long between two questions of a pace of so many a second.
fn period(a_second: u32) -> Duration {
    Duration::from_secs(1) / a_second.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_one_line_that_leaks() {
        for service in [Service::Ruby, Service::Python, Service::Redis, Service::Xml] {
            let line = service.leak().unwrap();
            assert!(line.number > 40, "{service:?}: {line:?}");
        }
    }
}
