//! Messages for whoever wants to know more than the report says, on standard error.

use std::io::Write;

use log::LevelFilter;

use crate::process::target::printable;

/// Shows messages from now on: warnings; with one `-v` what is done; with two what is seen on the way.
pub(super) fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level).format(|to, record| {
        let level = record.level().as_str().to_ascii_lowercase();
        writeln!(to, "heaptide: {level}: {}", printable(&record.args().to_string()))
    });
    // A logger is there already when a test has run another command line before.
    let _ = builder.try_init();
}
