use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// Runs on a runtime like that of the recording.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn run(hook: usize, command: &str, directory: &Path) -> Run {
    let environment = vec![("DIR".to_owned(), directory.to_str().unwrap().to_owned())];
    Run { hook, command: command.to_owned(), environment, document: b"{\"pid\":7}\n".to_vec() }
}

/// What becomes of one command.
fn outcome_of(command: &str, document: &[u8], timeout: Duration) -> (Finished, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let finished = block_on(async {
        let mut hooks = Hooks::new(timeout);
        let run = Run { document: document.to_vec(), ..run(3, command, directory.path()) };
        assert_eq!(hooks.start(run), Started::Now);
        let finished = hooks.finished().await;
        assert_eq!(hooks.running().count(), 0);
        finished
    });
    (finished, directory)
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until a killed process is gone.
fn is_ended(pid: &str) -> bool {
    let number = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let Ok(pidfd) = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()) else { return true };
    let polled = nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&pidfd), nix::poll::PollFlags::POLLIN);
    nix::poll::poll(&mut [polled], nix::poll::PollTimeout::from(5000_u16)).unwrap() == 1
}

/// Waits until a command has written a file whole, which it does by renaming.
async fn written(file: &Path) -> String {
    loop {
        if let Ok(text) = fs::read_to_string(file) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_command_gets_the_facts_and_the_document() {
    let (finished, directory) = outcome_of("cat >\"$DIR/in\"; echo \"$DIR\" >\"$DIR/env\"", b"{\"pid\":7}\n", MINUTE);
    assert_eq!((finished.hook, finished.outcome), (3, Outcome::Done));
    let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(read("in"), "{\"pid\":7}\n");
    assert_eq!(read("env").trim(), directory.path().to_str().unwrap());
}

#[test]
fn a_document_larger_than_a_pipe_arrives_whole() {
    let document = vec![b'x'; 5_000_000];
    let (finished, directory) = outcome_of("cat >\"$DIR/in\"", &document, MINUTE);
    assert_eq!(finished.outcome, Outcome::Done);
    assert!(fs::read(directory.path().join("in")).unwrap() == document);
}

#[test]
fn how_it_ended_is_known() {
    let outcome = |command| outcome_of(command, b"", MINUTE).0.outcome;
    assert_eq!(outcome("exit 3"), Outcome::Failed { code: 3 });
    assert_eq!(outcome("kill -KILL $$"), Outcome::Signaled { signal: 9 });
    assert_eq!(outcome("/nowhere/at/all"), Outcome::Failed { code: 127 });
    assert!(matches!(outcome("a\0b"), Outcome::NotStarted { .. }));
}

#[test]
fn who_does_not_read_breaks_nothing() {
    let document = vec![b'x'; 5_000_000];
    // The first closes it, the second just ends, the third reads a little.
    for command in ["exec 0<&-; echo a >\"$DIR/a\"", "true", "head -c 10 >\"$DIR/a\""] {
        let (finished, _directory) = outcome_of(command, &document, MINUTE);
        assert_eq!(finished.outcome, Outcome::Done, "{command}");
    }
}

#[test]
fn a_daemon_that_keeps_the_pipe_holds_up_nobody_and_lives_on() {
    let document = vec![b'x'; 5_000_000];
    let (finished, directory) = outcome_of("exec 3<&0; sleep 300 <&3 & echo $! >\"$DIR/pid\"", &document, MINUTE);
    assert_eq!(finished.outcome, Outcome::Done);
    assert!(finished.took < MINUTE / 2, "{finished:?}");
    let pid = fs::read_to_string(directory.path().join("pid")).unwrap();
    assert!(is_alive(&pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.trim().parse().unwrap()), nix::sys::signal::SIGKILL).unwrap();
}

#[test]
fn a_command_that_hangs_is_ended_with_its_children() {
    let (finished, directory) =
        outcome_of("(sleep 300 & echo $! >\"$DIR/pid\"; wait); true", b"", Duration::from_millis(500));
    assert_eq!(finished.outcome, Outcome::TimedOut);
    assert!(finished.took >= Duration::from_millis(500) && finished.took < MINUTE / 2, "{finished:?}");
    assert!(is_ended(&fs::read_to_string(directory.path().join("pid")).unwrap()));
}

#[test]
fn who_does_not_hear_the_request_is_killed_two_seconds_later() {
    let deaf = "trap '' TERM; sh -c 'sleep 300; sleep 300' & echo $! >\"$DIR/pid\"; wait; wait; sleep 300";
    let (finished, directory) = outcome_of(deaf, b"", Duration::from_millis(500));
    assert_eq!(finished.outcome, Outcome::TimedOut);
    assert!(finished.took >= Duration::from_millis(2500) && finished.took < MINUTE / 2, "{finished:?}");
    assert!(is_ended(&fs::read_to_string(directory.path().join("pid")).unwrap()));
}

#[test]
fn who_hears_the_request_may_tidy_up() {
    let tidy = "trap 'echo tidy >\"$DIR/out\"; exit 0' TERM; sleep 300 & wait";
    let (finished, directory) = outcome_of(tidy, b"", Duration::from_millis(500));
    assert_eq!(finished.outcome, Outcome::TimedOut);
    assert_eq!(fs::read_to_string(directory.path().join("out")).unwrap(), "tidy\n");
}

#[test]
fn a_hook_runs_once_at_a_time_and_others_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    block_on(async {
        let mut hooks = Hooks::new(MINUTE);
        let waits = "mkfifo \"$DIR/gate\"; mkdir \"$DIR/ready\"; read line <\"$DIR/gate\"";
        assert_eq!(hooks.start(run(0, waits, directory.path())), Started::Now);
        assert_eq!(hooks.start(run(0, "true", directory.path())), Started::Busy);
        assert_eq!(hooks.start(run(1, "exit 4", directory.path())), Started::Now);
        assert_eq!(hooks.running().collect::<Vec<_>>(), [waits, "exit 4"]);
        let first = hooks.finished().await;
        assert_eq!((first.hook, first.outcome), (1, Outcome::Failed { code: 4 }));
        // A select! that goes another way loses nothing.
        assert!(tokio::time::timeout(Duration::from_millis(1), hooks.finished()).await.is_err());
        let opens = "until [ -d \"$DIR/ready\" ]; do :; done; echo go >\"$DIR/gate\"";
        assert_eq!(hooks.start(run(1, opens, directory.path())), Started::Now);
        let mut both = [hooks.finished().await, hooks.finished().await].map(|run| (run.hook, run.outcome));
        both.sort_by_key(|(hook, _)| *hook);
        assert_eq!(both, [(0, Outcome::Done), (1, Outcome::Done)]);
        assert_eq!(hooks.start(run(0, "true", directory.path())), Started::Now);
        assert_eq!(hooks.finished().await.outcome, Outcome::Done);
    });
}

#[test]
fn at_the_end_those_that_run_get_a_little_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut all = block_on(async {
        let mut hooks = Hooks::new(MINUTE);
        hooks.start(run(0, "sleep 300", directory.path()));
        hooks.start(run(1, "sleep 0.1; exit 5", directory.path()));
        hooks.end_within(Duration::from_secs(1)).await
    });
    all.sort_by_key(|run| run.hook);
    let outcomes: Vec<Outcome> = all.iter().map(|run| run.outcome.clone()).collect();
    assert_eq!(outcomes, [Outcome::CutShort, Outcome::Failed { code: 5 }]);
    assert!(all[0].took >= Duration::from_secs(1) && all[0].took < MINUTE / 2, "{all:?}");
    assert_eq!(block_on(Hooks::new(MINUTE).end()), []);
}

#[test]
fn at_the_end_no_hook_gets_more_than_is_left_of_its_own_time() {
    let directory = tempfile::tempdir().unwrap();
    let all = block_on(async {
        let mut hooks = Hooks::new(Duration::from_millis(300));
        hooks.start(run(0, "sleep 300", directory.path()));
        hooks.end_within(MINUTE).await
    });
    assert_eq!(all[0].outcome, Outcome::TimedOut);
    assert!(all[0].took < MINUTE / 2, "{all:?}");
}

#[test]
fn what_is_dropped_is_ended_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let pid = block_on(async {
        let mut hooks = Hooks::new(MINUTE);
        hooks.start(run(0, "sleep 300 & echo $! >\"$DIR/new\"; mv \"$DIR/new\" \"$DIR/pid\"; wait", directory.path()));
        let pid = written(&file).await;
        assert!(is_alive(&pid));
        drop(hooks);
        tokio::task::yield_now().await;
        pid
    });
    assert!(is_ended(&pid));
}

#[test]
fn an_outcome_is_told_in_a_line() {
    let told = |outcome| {
        let finished = Finished { hook: 0, command: "a\nb".to_owned(), outcome, took: Duration::from_millis(1250) };
        finished.to_string()
    };
    assert_eq!(told(Outcome::Failed { code: 3 }), "command a?b: failed with exit code 3 after 1.2 s");
    assert_eq!(told(Outcome::Signaled { signal: 9 }), "command a?b: was ended by SIGKILL after 1.2 s");
    let late = "command a?b: took longer than it may (--hook-timeout), and was ended after 1.2 s";
    assert_eq!(told(Outcome::TimedOut), late);
    let error = "no sh".to_owned();
    assert_eq!(told(Outcome::NotStarted { error }), "command a?b: could not be started: no sh");
}
