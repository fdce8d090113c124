//! Programs as Debian built them, without frame pointers: nearly all of their stacks are whole.
//!
//! Those with a load over the network are measured by `cargo xtask completeness`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use heaptide_tests::completeness::Completeness;
use heaptide_tests::heaptide;
use heaptide_tests::program::{Program, Stream};
use tempfile::TempDir;

/// Fewer walks than this say nothing of one in a thousand.
const LEAST: u64 = 10_000;

const REPORT: &str = "report.json";

/// Records the command from its first instruction to its end.
fn recorded(program: &Path, arguments: &[&str], folder: &TempDir) -> Result<Completeness> {
    let report = folder.path().join(REPORT);
    let mut record = vec!["record".into(), "--follow".into(), "--json".into(), report.clone().into_os_string()];
    record.extend(["--".into(), program.as_os_str().to_owned()]);
    record.extend(arguments.iter().map(Into::into));
    let ended = heaptide::run(record)?;
    ensure!(ended.status.success(), "{} failed: {ended:?}", program.display());
    read(&report, program)
}

fn read(report: &Path, program: &Path) -> Result<Completeness> {
    let file = File::open(report).with_context(|| format!("there is no {}", report.display()))?;
    Completeness::read(std::io::BufReader::new(file), &[program])
}

fn folder() -> Result<TempDir> {
    TempDir::new().context("cannot create a temporary folder")
}

#[test]
fn the_stacks_of_python_are_whole() -> Result<()> {
    let program = Path::new("/usr/bin/python3");
    let job = "import json, sys\n\
        print('ready', flush=True)\n\
        sys.stdin.readline()\n\
        for _ in range(20):\n\
        \x20   items = [{'id': i, 'name': 'item %d' % i, 'tags': ['a', 'b', str(i)]} for i in range(2000)]\n\
        \x20   assert json.loads(json.dumps(items)) == items\n\
        print('done', flush=True)\n\
        sys.stdin.readline()\n";
    let folder = folder()?;
    let report = folder.path().join(REPORT);
    // Python's own allocator takes small objects out of large blocks: without it there is an allocation for each.
    let mut python = Program::start(Command::new(program).args(["-c", job]).env("PYTHONMALLOC", "malloc"))?;
    python.hear(Stream::Out, "ready line", |line| line == "ready")?;
    let pid = python.pid().to_string();
    let arguments = ["record".into(), "-p".into(), pid.into(), "--json".into(), report.clone().into_os_string()];
    let recording = heaptide::attached(arguments)?;
    python.tell("go")?;
    python.hear(Stream::Out, "done line", |line| line == "done")?;
    recording.signal(nix::sys::signal::Signal::SIGINT)?;
    let ended = recording.end()?;
    ensure!(ended.status.success(), "{ended:?}");
    read(&report, program)?.check(LEAST)
}

#[test]
fn the_stacks_of_perl_are_whole_from_its_start_to_its_end() -> Result<()> {
    let job = "for my $round (1..20) { my %words; push @{$words{$_ % 997}}, 'x' x ($_ % 300) for 1..5000; \
               my $text = join ',', map { sort @{$words{$_}} } sort keys %words; $text =~ s/x+,/y/g; }";
    recorded(Path::new("/usr/bin/perl"), &["-e", job], &folder()?)?.check(LEAST)
}

#[test]
fn the_stacks_of_git_and_its_children_are_whole() -> Result<()> {
    let program = Path::new("/usr/bin/git");
    let folder = folder()?;
    let repository = folder.path().join("repository");
    let place = repository.to_str().context("the folder's name is text")?;
    fs::create_dir(&repository)?;
    for number in 0..400_u32 {
        // Files that share most of their lines, as versions of one do.
        let lines =
            (0..200).map(|line| format!("line {line} of {}\n", if line % 40 == number % 40 { number } else { 0 }));
        fs::write(repository.join(format!("file{number}")), lines.collect::<String>())?;
    }
    let name = ["-c", "user.name=A", "-c", "user.email=a@b"];
    for words in [&["init", "--quiet"][..], &["add", "."], &["commit", "--quiet", "--message", "all"]] {
        let ended = Program::start(Command::new(program).args(["-C", place]).args(name).args(words))?.end()?;
        ensure!(ended.status.success(), "git {words:?} failed: {ended:?}");
    }
    let gc = ["-C", place, "gc", "--aggressive", "--prune=now", "--quiet"];
    recorded(program, &gc, &folder)?.check(LEAST)
}

#[test]
fn the_stacks_of_sqlite_are_whole_where_it_is_installed() -> Result<()> {
    let program = Path::new("/usr/bin/sqlite3");
    if !program.exists() {
        return Ok(());
    }
    let round = "begin; with recursive n(x) as (select 1 union all select x + 1 from n where x < 2000) \
        insert into item(name, size) select hex(randomblob(12)), x from n; commit; \
        select name, count(*) from item group by substr(name, 1, 2) order by 2 limit 3; \
        delete from item where id % 3 = 0;";
    let script = "create table item(id integer primary key, name, size); create index by_name on item(name);"
        .to_owned()
        + &round.repeat(20);
    let folder = folder()?;
    let base = folder.path().join("base");
    let base = base.to_str().context("the folder's name is text")?;
    recorded(program, &[base, &script], &folder)?.check(LEAST)
}
