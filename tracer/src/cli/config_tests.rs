//! From what was typed to what it means.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::args::{Args, Mode, Word};
use crate::kernel::StackMethod;
use crate::verdict::Suppressions;

fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from([&["heaptide"], arguments].concat())
}

fn recording(arguments: &[&str]) -> Result<Recording, UsageError> {
    match parse(&[&["record"], arguments].concat()).unwrap().command {
        args::Command::Record(args) => Recording::try_from(*args),
        command => panic!("{command:?}"),
    }
}

fn watching(arguments: &[&str]) -> Result<Watching, UsageError> {
    match parse(&[&["watch"], arguments].concat()).unwrap().command {
        args::Command::Watch(args) => Watching::try_from(*args),
        command => panic!("{command:?}"),
    }
}

/// What clap says, on one line.
fn refusal(arguments: &[&str]) -> String {
    let error = parse(&[&["record"], arguments].concat()).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string().lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn defaults_are_those_of_the_help() {
    let capture = Capture {
        mode: Mode::Blocks,
        targets: Targets::Pids(vec![7]),
        duration: None,
        sizes: Sizes { min: 0, max: u64::MAX },
        sample: None,
        max_overhead: None,
        mark_every: None,
        suppressions: Suppressions::default(),
        debuginfod: false,
        follow: false,
        stacks: StackMethod::Cfi,
        max_live: 20_000_000,
        ring_bytes: 32 << 20,
        shards: None,
        empty_programs: false,
        named: NamedAllocators::default(),
    };
    let expected = Recording {
        capture: capture.clone(),
        interval: None,
        older: Duration::ZERO,
        top: 10,
        outputs: Outputs::default(),
        show: Show::default(),
    };
    assert_eq!(recording(&["-p", "7"]), Ok(expected));
    let expected = Watching {
        capture,
        interval: Duration::from_secs(1),
        until: None,
        sure: 0.8,
        exit_code: false,
        form: Form::Text,
        hooks: Vec::new(),
        cool_down: Duration::from_mins(10),
        hook_timeout: Duration::from_mins(1),
        keep: None,
        top: 3,
    };
    assert_eq!(watching(&["-p", "7"]), Ok(expected));
}

#[test]
fn what_is_to_be_done_on_growth_arrives() {
    let typed = [
        "-n",
        "redis-server",
        "--on",
        "growing",
        "restart it",
        "--when",
        "rss>90%limit",
        "page",
        "--json",
        "--sure",
        "95",
    ];
    let watching = watching(&typed).unwrap();
    assert_eq!(watching.capture.targets, Targets::Named("redis-server".to_owned()));
    assert_eq!((watching.form, watching.sure), (Form::Json, 0.95));
    let condition = "rss>90%limit".parse().unwrap();
    let expected = [
        Hook { cause: HookCause::Verdict(Word::Growing), command: "restart it".to_owned() },
        Hook { cause: HookCause::Condition(condition), command: "page".to_owned() },
    ];
    assert_eq!(watching.hooks, expected);
}

#[test]
fn causes_that_cannot_be_understood_are_refused_with_what_is_accepted() {
    let cases = [
        (["--on", "leaking", "x"], "expected one of growing, leveling-off, steady"),
        (["--when", "cpu>5", "x"], "expected"),
    ];
    for (cause, expected) in cases {
        let error = watching(&[&["-p", "7"][..], &cause].concat()).unwrap_err().to_string();
        assert!(error.starts_with(cause[0]) && error.contains(expected), "{error}");
    }
    let error = recording(&["-p", "7", "--suppressions", "/no/such/file"]).unwrap_err().to_string();
    assert!(error.starts_with("--suppressions /no/such/file: No such file"), "{error}");
}

#[test]
fn every_option_arrives() {
    let typed = "-p 7 -d 30s -i 1 --min-size 1K --max-size 1MB --sample 512K --older 10s --top 3 --folded a --json - --debuginfod --follow --stacks fp \
                 --allocator sqlite3 --max-live 5k --ring 1000K --shards 4 --mark-every 1m --show files,thread-stacks";
    let capture = Capture {
        mode: Mode::Blocks,
        targets: Targets::Pids(vec![7]),
        duration: Some(Duration::from_secs(30)),
        sizes: Sizes { min: 1024, max: 1_000_000 },
        sample: Some(512 << 10),
        max_overhead: None,
        mark_every: Some(Duration::from_mins(1)),
        suppressions: Suppressions::default(),
        debuginfod: true,
        follow: true,
        stacks: StackMethod::FramePointers,
        max_live: 5_000,
        ring_bytes: 1 << 20,
        shards: Some(4),
        empty_programs: false,
        named: NamedAllocators::from_typed(vec!["sqlite3".parse().unwrap()], &[]).unwrap(),
    };
    let expected = Recording {
        capture,
        interval: Some(Duration::from_secs(1)),
        older: Duration::from_secs(10),
        top: 3,
        outputs: Outputs { folded: Some(Destination::File("a".into())), json: Some(Destination::Stdout) },
        show: Show { files: true, thread_stacks: true },
    };
    assert_eq!(recording(&typed.split_whitespace().collect::<Vec<_>>()), Ok(expected));
}

#[test]
fn a_budget_arrives_and_does_not_go_with_sampling_by_hand() {
    assert_eq!(recording(&["-p", "7", "--max-overhead", "3%"]).unwrap().capture.max_overhead, Some(30_000));
    assert!(refusal(&["-p", "7", "--max-overhead", "3%", "--sample", "1M"]).contains("cannot be used with"));
}

#[test]
fn growth_does_not_go_with_options_about_blocks() {
    assert_eq!(recording(&["-p", "7"]).unwrap().capture.mode, Mode::Blocks);
    let fine = ["--older", "5s", "-i", "1", "--top", "3", "--follow", "--show", "files", "--stacks", "fp"];
    assert_eq!(recording(&[&["-p", "7", "--mode", "growth"][..], &fine].concat()).unwrap().capture.mode, Mode::Growth);
    for (option, value) in [
        ("--sample", "1M"),
        ("--max-overhead", "3%"),
        ("--min-size", "1K"),
        ("--max-size", "1K"),
        ("--allocator", "ruby"),
    ] {
        let error = recording(&["-p", "7", "--mode", "growth", option, value]).unwrap_err();
        assert_eq!(error, UsageError::NoBlocks { option });
    }
    assert!(refusal(&["-p", "7", "--mode", "both"]).contains("possible values: blocks, growth"));
}

#[test]
fn process_ids_may_be_repeated_and_listed_and_count_once() {
    let targets = recording(&["-p", "9,7", "-p", "7", "--pid=11"]).unwrap().capture.targets;
    assert_eq!(targets, Targets::Pids(vec![9, 7, 11]));
}

#[test]
fn a_command_keeps_its_own_options() {
    let targets = recording(&["--follow", "--", "make", "-p", "1", "--", "x"]).unwrap().capture.targets;
    let args = ["-p", "1", "--", "x"].map(OsString::from).to_vec();
    assert_eq!(targets, Targets::Command { program: "make".into(), args });
}

#[test]
fn exactly_one_of_processes_and_command_is_needed() {
    assert!(refusal(&[]).contains("required"));
    assert!(refusal(&["-p", "1", "--", "ls"]).contains("cannot be used with"));
}

#[test]
fn wrong_values_are_refused_with_what_is_accepted() {
    let cases: [(&[&str], &str); 10] = [
        (&["-p", "bash"], "expected a process id such as 4711"),
        (&["-p", "0"], "expected a process id such as 4711"),
        (&["-p", "1", "-d", "0"], "expected a time longer than 0"),
        (&["-p", "1", "-d", "soon"], "expected a time such as 30s"),
        (&["-p", "1", "--min-size", "big"], "expected a size such as 4096"),
        (&["-p", "1", "--top", "0"], "expected a number of 1 or more"),
        (&["-p", "1", "--ring", "1"], "expected a size from 64KiB to 1GiB"),
        (&["-p", "1", "--allocator", "sqlite4"], "there is no preset \"sqlite4\": use one of python, ruby,"),
        (&["-p", "1", "--allocator", "a.so:f(size=x)"], "expected size=N, block=N or N"),
        (&["-p", "1", "--show", "all"], "possible values: files, thread-stacks"),
    ];
    for (arguments, expected) in cases {
        let text = refusal(arguments);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    let error = recording(&["-p", "1", "--min-size", "2K", "--max-size", "1K"]).unwrap_err();
    assert_eq!(error, UsageError::Sizes { min: 2048, max: 1024 });
    for place in ["-", "same.file"] {
        let error = recording(&["-p", "1", "--folded", place, "--json", place]).unwrap_err();
        assert_eq!(error, UsageError::SameOutput);
    }
    assert_eq!(recording(&["-p", "1", "--json="]).unwrap_err(), UsageError::EmptyName);
    for twice in [["--allocator", "ruby", "--allocator", "ruby"], ["--allocator", "ruby", "--allocator-file", "/none"]]
    {
        let error = recording(&[&["-p", "1"][..], &twice].concat()).unwrap_err();
        assert!(matches!(error, UsageError::Allocators(_)), "{error}");
    }
}

#[test]
fn the_text_report_leaves_standard_output_to_a_report_for_programs() {
    assert!(recording(&["-p", "1", "--json", "a"]).unwrap().outputs.is_text_shown());
    assert!(!recording(&["-p", "1", "--json", "-"]).unwrap().outputs.is_text_shown());
    assert!(!recording(&["-p", "1", "--folded", "-", "--json", "a"]).unwrap().outputs.is_text_shown());
}

#[test]
fn help_names_every_preset() {
    let help = parse(&["record", "--help"]).unwrap_err().to_string();
    for preset in crate::allocator::preset_names().split(", ") {
        assert!(help.contains(preset), "{preset} is missing in {help}");
    }
}

#[test]
fn help_is_no_error_and_tells_the_exit_codes() {
    for arguments in [&["--help"][..], &["record", "--help"], &["watch", "--help"]] {
        let error = parse(arguments).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0));
        let text = error.to_string();
        assert!(text.contains("Exit codes:") && text.contains("128 + n") && text.contains("Examples:"), "{text}");
    }
}
