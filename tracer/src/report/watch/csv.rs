//! Lines for spreadsheets: comma-separated, each process in a line of its own, sizes in bytes, and nothing where a value is
//! not known. Names of processes are quoted (RFC 4180).

use std::io;

use super::{Held, Row};
use crate::{report::page::printable, timeline::Metric};

/// The columns, in order.
const COLUMNS: &str = "unix_seconds,seconds,pid,name,rss,pss,uss,anonymous,file,shmem,swap,outstanding_bytes,\
                       outstanding_blocks,allocated_bytes,freed_bytes,allocator_bytes,minor_faults,major_faults,\
                       limit_used,limit,growth_bytes_per_second,confidence,verdict";

/// Sampled values between the name and what was allocated.
const BEFORE: [Metric; 9] = [
    Metric::Rss,
    Metric::Pss,
    Metric::Uss,
    Metric::Anonymous,
    Metric::File,
    Metric::Shmem,
    Metric::Swap,
    Metric::OutstandingBytes,
    Metric::OutstandingBlocks,
];

/// Writes the names of the columns.
pub fn write_head(out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "{COLUMNS}")
}

/// Writes a line for each process; for all of them together, when there are several, with an empty `pid`.
pub fn write(out: &mut dyn io::Write, row: &Row) -> io::Result<()> {
    for held in row.all.iter().chain(&row.processes) {
        writeln!(out, "{:.3},{:.3},{}", row.unix_seconds, row.seconds, values(held))?;
    }
    Ok(())
}

fn values(held: &Held) -> String {
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let sampled = |metric| number(held.sample.get(metric));
    let name: String = held.name.chars().map(printable).collect();
    let mut values = vec![held.pid.map_or_else(String::new, |pid| pid.to_string())];
    values.push(format!("\"{}\"", name.replace('"', "\"\"")));
    values.extend(BEFORE.map(sampled));
    values.extend([number(Some(held.allocated)), number(Some(held.freed)), number(held.sample.allocator())]);
    values.extend([Metric::MinorFaults, Metric::MajorFaults].map(sampled));
    values.extend([number(held.limit.map(|limit| limit.used)), number(held.limit.map(|limit| limit.bytes))]);
    values.push(held.growth().map_or_else(String::new, |growth| format!("{growth:.1}")));
    let verdict = held.verdict.as_ref();
    values.push(verdict.map_or_else(String::new, |verdict| format!("{:.3}", verdict.confidence)));
    values.push(verdict.map_or_else(String::new, |verdict| verdict.kind.word().to_owned()));
    values.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::watch::tests::{held, row};

    #[test]
    fn each_line_has_a_value_for_each_column() {
        let mut held = held(7);
        held.name = "a \"b\"\n".to_owned();
        let mut out = Vec::new();
        write_head(&mut out).unwrap();
        write(&mut out, &row(Some(held.clone()), vec![held])).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.split(',').count() == 23), "{text}");
        assert_eq!(
            lines[2],
            "1000.000,10.000,7,\"a \"\"b\"\"\u{fffd}\",50541363,,,,,,,13002342,61203,4096,1024,,,,\
             104857600,536870912,19000.0,0.970,growing"
        );
    }
}
