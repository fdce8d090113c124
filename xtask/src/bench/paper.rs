//! The bench as a table of text.

use std::fmt::Write as _;

use super::figure::{Bench, Figure, Outcome};

/// The table: a line of facts, and a block for each row.
pub(crate) fn table(bench: &Bench) -> String {
    let mut text = format!("{}\n", bench.machine().line());
    for row in &bench.rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{}: {}", row.name, row.what);
        let _ = match &row.outcome {
            Outcome::Figures(figures) => figures.iter().try_for_each(|figure| writeln!(text, "  {}", line(figure))),
            Outcome::Skipped(reason) => writeln!(text, "  skipped: {reason}"),
            Outcome::Failed(reason) => writeln!(text, "  not measured: {reason}"),
        };
    }
    text.truncate(text.trim_end().len());
    text
}

fn line(figure: &Figure) -> String {
    let Figure { name, value, unit, reach } = figure;
    let start = format!("{name:<28} {:>13} {unit}", number(*value));
    match reach {
        Some(reach) => {
            let word = if reach.met { "met" } else { "MISSED" };
            format!("{start:<62} reach {}: {word}", number(reach.at_most))
        }
        None => start,
    }
}

/// Three digits behind the point for small numbers, none for large ones, with a comma at each thousand.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        ..10.0 => 3,
        ..1000.0 => 1,
        _ => 0,
    };
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain.split_once('.').map_or((&*plain, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut text = String::new();
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    fraction.map_or(text.clone(), |fraction| format!("{text}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_exact_as_they_are_small() {
        let shown: Vec<_> = [0.0, 0.5, 8.4321, 250.0, 699.94, 1234.5, 10_000_000.0].map(number).to_vec();
        assert_eq!(shown, ["0", "0.500", "8.432", "250", "699.9", "1,234", "10,000,000"]);
    }

    #[test]
    fn a_figure_says_whether_its_reach_is_met() {
        let line = |value| line(&Figure::new("reader", value, "ns an event").at_most(250.0));
        assert!(line(180.0).ends_with("reach 250: met"), "{}", line(180.0));
        assert!(line(280.0).ends_with("reach 250: MISSED"), "{}", line(280.0));
    }
}
