//! A curve as text, for a terminal or a page.

use crate::numbers::float;
use crate::timeline::Curve;

/// Columns and lines of the area.
const WIDTH: usize = 72;
const HEIGHT: usize = 10;

/// A curve: from its lowest to its highest value in each column, with the value of the highest line and the time of the
/// last column in seconds; `top` gives the words for a value. Nothing for a curve of less than two points.
#[must_use]
pub fn draw(curve: &Curve, top: impl Fn(f64) -> String) -> Vec<String> {
    let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) else { return Vec::new() };
    let (first, last) = (first.seconds, last.seconds);
    if last <= first {
        return Vec::new();
    }
    let highest = curve.points.iter().map(|point| point.high).fold(1.0, f64::max);
    let columns = columns(curve, first, last);
    let row = |value: f64| cell(value / highest, HEIGHT);
    let label = top(highest);
    let mut lines: Vec<String> = (0..HEIGHT)
        .rev()
        .map(|level| {
            let mark = |&(low, high): &(f64, f64)| if (row(low)..=row(high)).contains(&level) { '#' } else { ' ' };
            let line: String = columns.iter().map(mark).collect();
            let label = if level == HEIGHT - 1 { &*label } else { "" };
            format!("{label:>9} |{}", line.trim_end()).trim_end().to_owned()
        })
        .collect();
    lines.push(format!("{:>9} +{}", 0, "-".repeat(WIDTH)));
    let end = format!("{last:.0} s");
    lines.push(format!("{:>11}0{end:>width$}", "", width = WIDTH - 1));
    lines
}

/// The lowest and the highest value of each column; of one without a point those of the column before.
fn columns(curve: &Curve, first: f64, last: f64) -> Vec<(f64, f64)> {
    let mut columns = vec![(f64::INFINITY, 0.0_f64); WIDTH];
    for point in &curve.points {
        let column = &mut columns[cell((point.seconds - first) / (last - first), WIDTH)];
        *column = (column.0.min(point.low), column.1.max(point.high));
    }
    let mut before = (0.0, 0.0);
    for column in &mut columns {
        if column.0 > column.1 {
            *column = before;
        }
        before = *column;
    }
    columns
}

/// The cell of a share of 1.
#[expect(clippy::cast_sign_loss, reason = "shares are not negative")]
fn cell(share: f64, cells: usize) -> usize {
    ((share * float(cells as u64)) as usize).min(cells - 1)
}

/// The last values as one line of blocks, each as high as its share of the highest: at most `width`.
#[must_use]
pub fn spark(values: &[u64], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(width)..];
    let highest = shown.iter().copied().max().unwrap_or(0).max(1);
    shown.iter().map(|&value| BLOCKS[(u128::from(value) * 7 / u128::from(highest)) as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let curve = Curve::of((0..=100).map(|at| (f64::from(at), f64::from(at) * 10.0)));
        let lines = draw(&curve, |top| format!("{top:.0} B"));
        assert_eq!(lines.len(), 12);
        assert!(lines[0].starts_with("   1000 B |") && lines[0].ends_with('#'), "{lines:?}");
        assert!(lines[9].starts_with("          |#"), "{lines:?}");
        assert!(lines[11].ends_with("100 s"), "{lines:?}");
        assert!(draw(&Curve::of([(1.0, 1.0)]), |_| String::new()).is_empty());
    }

    #[test]
    fn a_spark_shows_the_last_values_by_their_share() {
        assert_eq!(spark(&[9, 0, 7, 14], 3), "▁▄█");
        assert_eq!(spark(&[], 3), "");
        assert_eq!(spark(&[0, 0], 3), "▁▁");
    }
}
