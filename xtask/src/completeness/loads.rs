//! The programs, each with a load.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use heaptide_tests::program::Program;

use super::load::{Load, Running, free_port, source, wait_for_child, wait_for_port};
use crate::process;

/// In the order of the table.
pub(crate) const LOADS: [Load; 8] = [
    Load {
        name: "redis",
        what: "redis-benchmark, its eighteen kinds of requests over and over, 20 clients",
        packages: &["redis-server", "redis-tools"],
        program: "/usr/bin/redis-server",
        start: redis,
    },
    Load {
        name: "python",
        what: "JSON there and back; a SQLite table made, filled, grouped",
        packages: &["python3"],
        program: "/usr/bin/python3",
        start: python,
    },
    Load {
        name: "ruby",
        what: "puma with four threads under wrk: JSON, a template, a packed answer",
        packages: &["ruby3.1", "puma", "wrk"],
        program: "/usr/bin/ruby3.1",
        start: ruby,
    },
    Load {
        name: "node",
        what: "a web server that asks itself: JSON, SHA-256, gzip, buffers",
        packages: &["nodejs"],
        program: "/usr/bin/node",
        start: node,
    },
    Load {
        name: "nginx",
        what: "a worker under wrk: a packed page, a folder's list",
        packages: &["nginx-light", "wrk"],
        program: "/usr/sbin/nginx",
        start: nginx,
    },
    Load {
        name: "sqlite",
        what: "rows inserted, grouped, deleted, with an index, in a file",
        packages: &["sqlite3"],
        program: "/usr/bin/sqlite3",
        start: sqlite,
    },
    Load {
        name: "git",
        what: "git gc --aggressive and its children, from start to end, of a made-up history",
        packages: &["git", "python3"],
        program: "/usr/bin/git",
        start: git,
    },
    Load {
        name: "clang",
        what: "a C++ file full of the standard library's templates",
        packages: &["clang-14", "clang"],
        program: "/usr/bin/clang-14",
        start: clang,
    },
];

/// Longer than a recording and all that comes before it: programs are ended, rather than end.
const LONG: &str = "600";

/// Commits of the history that git packs: about as long as other programs are recorded.
const COMMITS: &str = "250";

fn redis(folder: &Path) -> Result<Running> {
    let port = free_port()?.to_string();
    let mut server = Command::new("/usr/bin/redis-server");
    server.args(["--bind", "127.0.0.1", "--save", "", "--port", &port, "--dir"]).arg(folder);
    let server = Program::start(&mut server)?;
    wait_for_port(port.parse()?)?;
    let clients = ["-l", "-q", "-c", "20", "-n", "20000", "-r", "10000", "-p", &port];
    let clients = Program::start(Command::new("/usr/bin/redis-benchmark").args(clients))?;
    Running::programs(vec![server, clients])
}

fn python(_: &Path) -> Result<Running> {
    Running::programs(vec![Program::start(Command::new("/usr/bin/python3").arg(source("job.py")).arg(LONG))?])
}

fn ruby(folder: &Path) -> Result<Running> {
    let port = free_port()?;
    let address = format!("tcp://127.0.0.1:{port}");
    let mut server = Command::new("/usr/bin/ruby3.1");
    server.args(["/usr/bin/puma", "--quiet", "--environment", "production", "--threads", "4:4", "--bind", &address]);
    let server = Program::start(server.arg(source("config.ru")).current_dir(folder))?;
    wait_for_port(port)?;
    let clients = wrk(&[format!("http://127.0.0.1:{port}/")])?;
    Running::programs([vec![server], clients].into_iter().flatten().collect())
}

fn node(_: &Path) -> Result<Running> {
    Running::programs(vec![Program::start(Command::new("/usr/bin/node").arg(source("job.js")).arg(LONG))?])
}

fn nginx(folder: &Path) -> Result<Running> {
    let port = free_port()?;
    let place = folder.display();
    let configuration = format!(
        "daemon off; worker_processes 1; user root; pid {place}/pid; error_log {place}/errors; events {{ }}\n\
         http {{ access_log off; gzip on; server {{ listen 127.0.0.1:{port}; root {place}; autoindex on; }} }}\n"
    );
    let (path, page) = (folder.join("configuration"), folder.join("page.html"));
    fs::write(&path, configuration).context("cannot write nginx's configuration")?;
    fs::write(page, "<p>One of many lines.</p>\n".repeat(2000)).context("cannot write a page")?;
    let mut server = Command::new("/usr/sbin/nginx");
    let server = Program::start(server.arg("-c").arg(path).arg("-e").arg(folder.join("errors")))?;
    wait_for_port(port)?;
    let worker = wait_for_child(server.pid())?;
    let clients = wrk(&["page.html", ""].map(|page| format!("http://127.0.0.1:{port}/{page}")))?;
    Ok(Running::child(worker, [vec![server], clients].into_iter().flatten().collect()))
}

/// Asks for each of the pages.
fn wrk(pages: &[String]) -> Result<Vec<Program>> {
    let options = ["--threads", "1", "--connections", "4", "--duration", LONG, "--header", "Accept-Encoding: gzip"];
    pages.iter().map(|page| Program::start(Command::new("/usr/bin/wrk").args(options).arg(page))).collect()
}

fn sqlite(folder: &Path) -> Result<Running> {
    let round = "begin;\n\
         with recursive n(x) as (select 1 union all select x + 1 from n where x < 20000)\n\
         insert into item(name, size) select hex(randomblob(12)), x from n;\n\
         commit;\n\
         select name, count(*) from item group by substr(name, 1, 2) order by 2 limit 3;\n\
         delete from item where id % 3 = 0;\n";
    let table = "create table item(id integer primary key, name, size);\ncreate index by_name on item(name);\n";
    let script = folder.join("script.sql");
    fs::write(&script, table.to_owned() + &round.repeat(1000)).context("cannot write a script")?;
    let read = format!(".read {}", script.display());
    Running::programs(vec![Program::start(Command::new("/usr/bin/sqlite3").arg(folder.join("base")).arg(read))?])
}

fn git(folder: &Path) -> Result<Running> {
    let repository = folder.join("repository");
    let git = || {
        let mut git = Command::new("/usr/bin/git");
        git.arg("-C").arg(folder);
        git
    };
    process::run(git().args(["init", "--quiet"]).arg(&repository))?;
    let history = folder.join("history");
    let output = File::create(&history).context("cannot write a history")?;
    process::run(Command::new("/usr/bin/python3").arg(source("history.py")).arg(COMMITS).stdout(output))?;
    let input = File::open(&history).context("cannot read the history")?;
    process::run(git().arg("-C").arg(&repository).args(["fast-import", "--quiet"]).stdin(Stdio::from(input)))?;
    let mut gc = git();
    gc.arg("-C").arg(&repository).args(["gc", "--aggressive", "--prune=now", "--quiet"]);
    Ok(Running::Command(gc))
}

fn clang(folder: &Path) -> Result<Running> {
    let mut compiler = Command::new("/usr/bin/clang++");
    compiler.args(["-std=c++17", "-O2", "-c", "-o"]).arg(folder.join("object")).arg(source("templates.cpp"));
    Running::programs(vec![Program::start(&mut compiler)?])
}
