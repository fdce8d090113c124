//! The `heaptide` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    heaptide::cli::run(std::env::args_os())
}
