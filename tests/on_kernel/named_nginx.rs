//! nginx's pools: how many there are and how large they are is decided by its configuration and by who is connected.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::pace;
use heaptide_tests::profile::Totals;
use heaptide_tests::program::Program;
use tempfile::TempDir;

const NGINX: &str = "/usr/sbin/nginx";

/// Bytes of the first block of a connection's, and of a request's pool.
const CONNECTION_POOL: u64 = 768;
const REQUEST_POOL: u64 = 5_008;

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n  access_log off;\n  keepalive_timeout 1h;\n  keepalive_requests 1000000;\n\
         client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  fastcgi_temp_path {folder}/fcgi;\n\
         uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
         connection_pool_size {CONNECTION_POOL};\n  request_pool_size {REQUEST_POOL};\n\
         server {{ listen unix:{folder}/socket; location / {{ return 200 'hello'; }} }}\n}}\n"
    )
}

/// A connection that stays.
struct Client(BufReader<UnixStream>);

impl Client {
    /// Connects as soon as there is somebody to connect to.
    fn connect(folder: &Path) -> Result<Self> {
        let (limit, begin) = (pace::deadline(), Instant::now());
        loop {
            match UnixStream::connect(folder.join("socket")) {
                Ok(stream) => return Ok(Self(BufReader::new(stream))),
                Err(_) if begin.elapsed() < limit => thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(error).context("nginx does not answer"),
            }
        }
    }

    /// Asks for the page, and reads the answer to its end.
    fn ask(&mut self) -> Result<()> {
        self.0.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                bail!("nginx has closed the connection");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = [0; 5];
        self.0.read_exact(&mut body)?;
        ensure!(&body == b"hello", "{body:?}");
        Ok(())
    }
}

/// Returns when the process is in `epoll_wait`: it has answered, and done with what it answered.
fn waits_for_events(pid: u32) -> Result<()> {
    const EPOLL_WAIT: &str = "232 ";
    let (limit, begin) = (pace::deadline(), Instant::now());
    while !fs::read_to_string(format!("/proc/{pid}/syscall"))?.starts_with(EPOLL_WAIT) {
        ensure!(begin.elapsed() < limit, "nginx does not wait for events");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[test]
fn nginx_s_pools_are_traced_by_their_preset() -> Result<()> {
    const CONNECTIONS: usize = 20;
    const CLOSED: usize = 7;
    const ROUNDS: usize = 5;
    ensure!(Path::new(NGINX).exists(), "{NGINX} is missing: `cargo xtask setup --tests` installs it");
    let folder = TempDir::new()?;
    let file = folder.path().join("nginx.conf");
    fs::write(&file, configuration(folder.path()))?;
    let nginx = Program::start(Command::new(NGINX).arg("-p").arg(folder.path()).arg("-c").arg(&file))?;
    // It answers, so it has set itself up.
    Client::connect(folder.path())?.ask()?;
    let recording = Recording::attach(&[nginx.pid()], &["--allocator", "nginx"])?;
    let mut clients = (0..CONNECTIONS).map(|_| Client::connect(folder.path())).collect::<Result<Vec<_>>>()?;
    for _ in 0..ROUNDS {
        clients.iter_mut().try_for_each(Client::ask)?;
    }
    clients.truncate(CONNECTIONS - CLOSED);
    // Whatever is ready when it waits for events is done before it waits again: two rounds, and the ends have been seen.
    for _ in 0..2 {
        clients[0].ask()?;
    }
    waits_for_events(nginx.pid())?;
    let report = recording.stop()?;
    let process = report.profile.processes.first().context("nginx is not reported")?;
    let made_by = |function: &str| {
        let mut sum = Totals::default();
        let stacks = process.stacks.iter().filter(|stack| stack.memory == "heap");
        stacks.filter(|stack| stack.functions().next() == Some(function)).for_each(|stack| sum += stack.totals);
        sum.numbers()
    };
    let pools = |made: usize, ended: usize, size: u64| {
        let (made, ended) = (made as u64, ended as u64);
        [made * size, made, ended * size, ended, (made - ended) * size, made - ended]
    };
    let connections = pools(CONNECTIONS, CLOSED, CONNECTION_POOL);
    ensure!(made_by("ngx_event_accept") == connections, "{:?} {connections:?}", made_by("ngx_event_accept"));
    let asked = CONNECTIONS * ROUNDS + 2;
    let requests = pools(asked, asked, REQUEST_POOL);
    ensure!(made_by("ngx_http_create_request") == requests, "{:?} {requests:?}", made_by("ngx_http_create_request"));
    // What the pools took for more blocks ends with them, too: of all that requests took nothing is left.
    let text = report.ended.out.join("\n");
    ensure!(text.contains("  8 functions of nginx traced in /"), "{text}");
    let unknown = &report.profile.unknown;
    ensure!(unknown["unmatched"]["replaced_blocks"] == 0 && unknown["lost"].values().sum::<u64>() == 0, "{unknown:?}");
    Ok(())
}
