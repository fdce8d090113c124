//! Lines for people.

use std::io;

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{
    Held, Row,
    words::{grouped, percent, rate, verdict_words},
};
use crate::{
    report::{page::Page, words::human},
    timeline::Metric,
    verdict::Kind,
};

/// Lines for processes below that of all, at most: those that grow.
const MOST: usize = 5;

/// Writes the names of the columns.
pub fn write_head(out: &mut dyn io::Write) -> io::Result<()> {
    let [time, rss, pss] = ["time", "rss", "pss"];
    let (held, blocks, growth) = ("outstanding", "blocks", "growth");
    Page::new(out)
        .line(format_args!("{time:<8}  {rss:>10}  {pss:>10}  {held:>11}  {blocks:>11}  {growth:>14}  verdict"))
}

/// Writes a line for the process, or for all of them and those that grow, with the local time.
pub fn write(out: &mut dyn io::Write, row: &Row) -> io::Result<()> {
    write_in(out, row, TimeZone::system())
}

fn write_in(out: &mut dyn io::Write, row: &Row, zone: TimeZone) -> io::Result<()> {
    let page = &mut Page::new(out);
    let Some(sum) = row.sum() else { return Ok(()) };
    let time = time(row.unix_seconds, zone)?;
    page.line(format_args!("{time:<8}  {}{}", numbers(sum), note(row)))?;
    if row.all.is_some() {
        for held in row.processes.iter().filter(|held| held.grows()).take(MOST) {
            let pid = held.pid.unwrap_or(0);
            page.line(format_args!("{:>8}  {}, {} (pid {pid})", "", numbers(held), held.name))?;
        }
    }
    Ok(())
}

fn note(row: &Row) -> String {
    if row.all.is_some() { format!(", {} processes", row.processes.len()) } else { String::new() }
}

fn numbers(held: &Held) -> String {
    let size = |metric| held.sample.get(metric).map_or_else(|| "-".to_owned(), human);
    let blocks = held.sample.get(Metric::OutstandingBlocks).map_or_else(|| "-".to_owned(), grouped);
    let growth = held.growth().map_or_else(|| "-".to_owned(), rate);
    let verdict = held.verdict.as_ref().map_or_else(
        || "-".to_owned(),
        |verdict| match verdict.kind {
            Kind::TooEarly { .. } => verdict_words(verdict.kind).to_owned(),
            kind => format!("{} ({} %)", verdict_words(kind), percent(verdict.confidence)),
        },
    );
    let (rss, pss, outstanding) = (size(Metric::Rss), size(Metric::Pss), size(Metric::OutstandingBytes));
    format!("{rss:>10}  {pss:>10}  {outstanding:>11}  {blocks:>11}  {growth:>14}  {verdict}")
}

/// `10:42:13`.
fn time(unix_seconds: f64, zone: TimeZone) -> io::Result<String> {
    let at = Timestamp::from_nanosecond((unix_seconds * 1e9) as i128).map_err(io::Error::other)?;
    Ok(Zoned::new(at, zone).strftime("%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::watch::tests::{held, row};

    fn written(row: &Row) -> String {
        let mut out = Vec::new();
        write_head(&mut out).unwrap();
        write_in(&mut out, row, TimeZone::UTC).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_stand_below_their_names() {
        let lines = written(&row(None, vec![held(7)]));
        assert_eq!(
            lines,
            "time             rss         pss  outstanding       blocks          growth  verdict\n\
             00:16:40    48.2 MiB           -     12.4 MiB       61,203    +1.1 MiB/min  growing (97 %)\n"
        );
    }

    #[test]
    fn of_several_the_sum_comes_first_and_then_those_that_grow() {
        let mut calm = held(8);
        calm.verdict = None;
        let lines = written(&row(Some(calm.clone()), vec![held(7), calm]));
        let lines: Vec<&str> = lines.lines().skip(1).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("-  -, 2 processes"), "{lines:?}");
        assert!(lines[1].ends_with("growing (97 %), worker (pid 7)"), "{lines:?}");
    }
}
