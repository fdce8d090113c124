//! Curves as text.

use heaptide::timeline::Curve;

const WIDTH: usize = 72;
const HEIGHT: usize = 10;

/// A curve: from its lowest to its highest value in each column.
pub fn curve(curve: &Curve) -> String {
    let (first, last) = (curve.points.first().unwrap().seconds, curve.points.last().unwrap().seconds);
    let top = curve.points.iter().map(|point| point.high).fold(1.0, f64::max);
    let mut columns = vec![(f64::INFINITY, 0.0_f64); WIDTH];
    for point in &curve.points {
        let column = ((point.seconds - first) / (last - first) * WIDTH as f64) as usize;
        let column = &mut columns[column.min(WIDTH - 1)];
        *column = (column.0.min(point.low), column.1.max(point.high));
    }
    let row = |value: f64| ((value / top * HEIGHT as f64) as usize).min(HEIGHT - 1);
    let mut lines = Vec::new();
    for level in (0..HEIGHT).rev() {
        let mark =
            |&(low, high): &(f64, f64)| if low <= high && (row(low)..=row(high)).contains(&level) { '#' } else { ' ' };
        let line: String = columns.iter().map(mark).collect();
        lines.push(format!("{:>9} |{}", label(level, top), line.trim_end()).trim_end().to_owned());
    }
    lines.push(format!("{:>9} +{}", 0, "-".repeat(WIDTH)));
    let end = format!("{last:.0} s");
    lines.push(format!("{:>11}0{end:>width$}", "", width = WIDTH - 1));
    lines.join("\n")
}

/// The highest line has its value.
fn label(level: usize, top: f64) -> String {
    if level == HEIGHT - 1 { format!("{:.1} MB", top / 1e6) } else { String::new() }
}
