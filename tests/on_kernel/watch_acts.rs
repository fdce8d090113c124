//! What `heaptide watch` does when something begins to hold: commands, and profiles that are kept.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use heaptide_tests::profile::Profile;
use heaptide_tests::watch::{Watch, number};
use heaptide_tests::workload::Workload;
use serde_json::Value;
use tempfile::TempDir;

use super::watch::{leaking, resting, steady};

const MIB: u64 = 1 << 20;

fn folder() -> Result<TempDir> {
    TempDir::new().context("cannot create a temporary folder")
}

fn path(folder: &TempDir, name: &str) -> Result<String> {
    folder.path().join(name).to_str().map(str::to_owned).context("a path is text")
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("{file} was not written"))
}

fn json(file: &str) -> Result<Value> {
    serde_json::from_str(&read(file)?).with_context(|| format!("{file} is not JSON"))
}

#[test]
fn a_command_is_run_once_when_it_grows_with_the_facts() -> Result<()> {
    let (workload, folder) = (leaking()?, folder()?);
    let (facts, input) = (path(&folder, "facts")?, path(&folder, "input")?);
    let command = format!("env | grep ^HEAPTIDE_ >> {facts}; cat >> {input}");
    let watch = Watch::attach(&[workload.pid()], &["--for", "10s", "--on", "growing", &command, "--sure", "50%"])?;
    let watched = watch.end()?;
    let triggers: Vec<&Value> = watched.of_type("trigger").collect();
    ensure!(triggers.len() == 1 && triggers[0]["cause"] == "growing", "{triggers:?}");
    ensure!(triggers[0]["pid"] == workload.pid() && triggers[0]["command"] == command.as_str(), "{triggers:?}");

    let facts = read(&facts)?;
    let fact = |name: &str| facts.lines().find_map(|line| line.strip_prefix(&format!("HEAPTIDE_{name}=")));
    ensure!(fact("PID") == Some(workload.pid().to_string().as_str()), "{facts}");
    ensure!(fact("VERDICT") == Some("growing") && fact("NAME") == Some("obeys"), "{facts}");
    let held: u64 = fact("OUTSTANDING_BYTES").context("no outstanding bytes")?.parse()?;
    let told = json(&input)?;
    ensure!(number(&told, "outstanding_bytes")? == held && told["cause"] == "growing", "{told}: {facts}");
    ensure!(held > MIB && facts.matches("HEAPTIDE_PID=").count() == 1, "{facts}");
    Ok(())
}

#[test]
fn a_condition_runs_a_command_when_it_begins_to_hold() -> Result<()> {
    let (mut workload, folder) = (resting()?, folder()?);
    let file = path(&folder, "told")?;
    let command = format!("cat >> {file}");
    let condition = "outstanding>1MiB && blocks>=20";
    let options = ["--when", condition, &command, "--cool-down", "0"];
    let mut watch = Watch::attach(&[workload.pid()], &options)?;
    workload.order("hold alpha 19 100000")?;
    watch.fresh_interval()?;
    for round in 1..=2 {
        workload.order("hold beta 1 100000")?;
        let trigger = watch.object("trigger", "trigger", |_| true)?;
        ensure!(trigger["cause"] == condition, "{round}: {trigger}");
        workload.order("drop beta")?;
        watch.fresh_interval()?;
    }
    let watched = watch.stop()?;
    ensure!(watched.of_type("trigger").count() == 2, "{:?}", watched.objects);
    let told = read(&file)?;
    let held = told.lines().map(|line| number(&serde_json::from_str(line)?, "outstanding_bytes"));
    ensure!(held.collect::<Result<Vec<u64>>>()? == [2_000_000, 2_000_000], "{told}");
    Ok(())
}

#[test]
fn a_command_that_hangs_is_ended_and_the_watch_goes_on() -> Result<()> {
    let workload = steady()?;
    let options = ["--when", "rss>0", "sleep 60", "--when", "rss>0", "exit 9", "--hook-timeout", "1s", "--for", "4s"];
    let watched = Watch::attach(&[workload.pid()], &[&options[..]].concat())?.end()?;
    let said = watched.ended.err.join("\n");
    ensure!(said.contains("command sleep 60: took longer than it may (--hook-timeout)"), "{said}");
    ensure!(said.contains("command exit 9: failed with exit code 9"), "{said}");
    // It was not held up: 4 s at 100 ms, but for what a busy machine is late.
    let lines = watched.of_type("interval").count();
    ensure!((32..=41).contains(&lines), "{lines} lines in 4 s: {said}");
    ensure!(watched.ended.status.code() == Some(0), "{said}");
    Ok(())
}

fn profile(folder: &Path, name: &str) -> Result<Profile> {
    let file = folder.join(name);
    let text = fs::read_to_string(&file).with_context(|| format!("there is no {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no profile", file.display()))
}

fn shown(profile: &Profile, function: &str) -> u64 {
    let of = |stack: &&heaptide_tests::profile::Stack| {
        stack.memory == "heap" && stack.functions().any(|name| name == function)
    };
    profile.processes.iter().flat_map(|process| &process.stacks).filter(of).map(|stack| stack.shown.bytes).sum()
}

#[test]
fn profiles_are_kept_of_the_moment_of_the_peak_and_of_the_end() -> Result<()> {
    let (mut workload, folder) = (resting()?, folder()?);
    let kept = path(&folder, "kept")?;
    let options = ["--when", "outstanding>1MiB", "", "--keep", &kept];
    let mut watch = Watch::attach(&[workload.pid()], &options)?;
    workload.order("hold alpha 20 100000")?;
    let trigger = watch.object("trigger", "trigger", |_| true)?;
    ensure!(trigger["command"].is_null() && trigger["profile"] == format!("{kept}/trigger-1.json"), "{trigger}");
    // What is held most is held for a moment only.
    workload.order("hold beta 30 100000")?;
    workload.order("drop beta")?;
    workload.order("hold gamma_ 1 5000")?;
    watch.fresh_interval()?;
    watch.stop()?;

    let kept = Path::new(&kept);
    for name in ["trigger-1", "peak", "end"] {
        for form in ["folded", "txt"] {
            let file = kept.join(format!("{name}.{form}"));
            ensure!(fs::metadata(&file).is_ok_and(|file| file.len() > 0), "{} is empty", file.display());
        }
    }
    let of = |name| -> Result<[u64; 3]> {
        let profile = profile(kept, name)?;
        Ok(["alpha", "beta", "gamma_"].map(|site| shown(&profile, site)))
    };
    ensure!(of("trigger-1.json")? == [2_000_000, 0, 0], "{:?}", of("trigger-1.json"));
    ensure!(of("end.json")? == [2_000_000, 0, 5000], "{:?}", of("end.json"));
    // The last moment before a release is known exactly.
    ensure!(of("peak.json")? == [2_000_000, 3_000_000, 0], "{:?}", of("peak.json"));
    Ok(())
}

#[test]
fn a_profile_that_cannot_be_kept_holds_up_no_command_and_hides_no_verdict() -> Result<()> {
    let (mut workload, folder) = (resting()?, folder()?);
    let (kept, told) = (path(&folder, "kept")?, path(&folder, "told")?);
    let command = format!("touch {told}");
    let mut watch = Watch::attach(&[workload.pid()], &["--when", "outstanding>1MiB", &command, "--keep", &kept])?;
    watch.fresh_interval()?;
    fs::remove_dir_all(&kept)?;
    workload.order("hold alpha 20 100000")?;
    let trigger = watch.object("trigger", "trigger", |_| true)?;
    ensure!(trigger["profile"].is_null() && trigger["command"] == command.as_str(), "{trigger}");
    watch.fresh_interval()?;
    let watched = watch.stop()?;
    let said = watched.ended.err.join("\n");
    ensure!(fs::exists(&told)? && said.contains("no profile is kept of this moment: "), "{said}");
    ensure!(number(&watched.conclusion()?["processes"][0], "outstanding_bytes")? == 2_000_000, "{:?}", watched.objects);
    // But who asked for it is told in the end.
    ensure!(watched.ended.status.code() == Some(1) && said.contains(&kept), "{said}");
    Ok(())
}

/// Watches a leak with these suppressions.
fn suppressed(lines: &str) -> Result<(Workload, Value)> {
    let (workload, folder) = (leaking()?, folder()?);
    let file = path(&folder, "suppressions")?;
    fs::write(&file, lines)?;
    let watched = Watch::attach(&[workload.pid()], &["--for", "10s", "--suppressions", &file])?.end()?;
    let conclusion = watched.conclusion()?.clone();
    if conclusion["verdict"] != "growing" {
        // Nor for a moment: somebody might act on it.
        let growing = watched.of_type("interval").find(|interval| interval["verdict"] == "growing");
        ensure!(growing.is_none(), "it was called growing for a while: {growing:?}");
    }
    Ok((workload, conclusion))
}

#[test]
fn known_growth_is_not_called_growing() -> Result<()> {
    for pattern in ["^keep_for_*$", "obeys.c"] {
        let (_workload, conclusion) = suppressed(&format!("# known\nleak:{pattern}\n"))?;
        let process = &conclusion["processes"][0];
        ensure!(conclusion["verdict"] != "growing", "{pattern}: {conclusion}");
        ensure!(process["suspects"].as_array().is_some_and(Vec::is_empty), "{pattern}: {process}");
        let known = &process["suppressed"][0];
        ensure!(known["pattern"] == pattern && known["stacks"] == 1, "{process}");
        ensure!(number(&known["held"], "bytes")? > MIB, "{process}");
    }
    let (_workload, conclusion) = suppressed("leak:something_else\n")?;
    ensure!(conclusion["verdict"] == "growing", "{conclusion}");
    Ok(())
}

#[test]
fn suppressions_that_cannot_be_read_are_wrong_usage() -> Result<()> {
    let folder = folder()?;
    let file = path(&folder, "suppressions")?;
    fs::write(&file, "leak:a\nrace:b\n")?;
    let ended = heaptide_tests::heaptide::run(["watch", "-p", "1", "--suppressions", &file])?;
    let said = ended.err.join("\n");
    ensure!(ended.status.code() == Some(2) && said.contains("line 2: only suppressions of the type leak"), "{said}");
    Ok(())
}
