//! From what was typed to what it means.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::args::Args;

fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from([&["heaptide"], arguments].concat())
}

fn recording(arguments: &[&str]) -> Result<Recording, UsageError> {
    match parse(&[&["record"], arguments].concat()).unwrap().command {
        args::Command::Record(args) => Recording::try_from(*args),
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
    let expected = Recording {
        mode: Mode::Blocks,
        targets: Targets::Pids(vec![7]),
        duration: None,
        interval: None,
        sizes: Sizes { min: 0, max: u64::MAX },
        sample: None,
        max_overhead: None,
        older: Duration::ZERO,
        top: 10,
        outputs: Outputs::default(),
        debuginfod: false,
        follow: false,
        stacks: StackMethod::Cfi,
        max_live: 20_000_000,
        ring_bytes: 32 << 20,
        shards: None,
        empty_programs: false,
        show: Show::default(),
        named: NamedAllocators::default(),
    };
    assert_eq!(recording(&["-p", "7"]), Ok(expected));
}

#[test]
fn every_option_arrives() {
    let typed = "-p 7 -d 30s -i 1 --min-size 1K --max-size 1MB --sample 512K --older 10s --top 3 --folded a --json - --debuginfod --follow --stacks fp \
                 --allocator sqlite3 --max-live 5k --ring 1000K --shards 4 --show files,thread-stacks";
    let expected = Recording {
        mode: Mode::Blocks,
        targets: Targets::Pids(vec![7]),
        duration: Some(Duration::from_secs(30)),
        interval: Some(Duration::from_secs(1)),
        sizes: Sizes { min: 1024, max: 1_000_000 },
        sample: Some(512 << 10),
        max_overhead: None,
        older: Duration::from_secs(10),
        top: 3,
        outputs: Outputs { folded: Some(Destination::File("a".into())), json: Some(Destination::Stdout) },
        debuginfod: true,
        follow: true,
        stacks: StackMethod::FramePointers,
        max_live: 5_000,
        ring_bytes: 1 << 20,
        shards: Some(4),
        empty_programs: false,
        show: Show { files: true, thread_stacks: true },
        named: NamedAllocators::from_typed(vec!["sqlite3".parse().unwrap()], &[]).unwrap(),
    };
    assert_eq!(recording(&typed.split_whitespace().collect::<Vec<_>>()), Ok(expected));
}

#[test]
fn a_budget_arrives_and_does_not_go_with_sampling_by_hand() {
    assert_eq!(recording(&["-p", "7", "--max-overhead", "3%"]).unwrap().max_overhead, Some(30_000));
    assert!(refusal(&["-p", "7", "--max-overhead", "3%", "--sample", "1M"]).contains("cannot be used with"));
}

#[test]
fn growth_does_not_go_with_options_about_blocks() {
    assert_eq!(recording(&["-p", "7"]).unwrap().mode, Mode::Blocks);
    let fine = ["--older", "5s", "-i", "1", "--top", "3", "--follow", "--show", "files", "--stacks", "fp"];
    assert_eq!(recording(&[&["-p", "7", "--mode", "growth"][..], &fine].concat()).unwrap().mode, Mode::Growth);
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
    let targets = recording(&["-p", "9,7", "-p", "7", "--pid=11"]).unwrap().targets;
    assert_eq!(targets, Targets::Pids(vec![9, 7, 11]));
}

#[test]
fn a_command_keeps_its_own_options() {
    let targets = recording(&["--follow", "--", "make", "-p", "1", "--", "x"]).unwrap().targets;
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
    for arguments in [&["--help"][..], &["record", "--help"]] {
        let error = parse(arguments).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0));
        let text = error.to_string();
        assert!(text.contains("Exit codes:") && text.contains("128 + n") && text.contains("Examples:"), "{text}");
    }
}
