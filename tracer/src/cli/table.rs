//! Aligned columns.

/// Columns stand this far apart.
const GAP: usize = 2;

/// Rows with their columns aligned to the left; each line is indented and ends without blanks.
pub(super) fn aligned<const N: usize>(rows: &[[&str; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[&str; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<0$}", width + GAP));
        format!("  {}", cells.collect::<String>()).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_begin_at_the_same_place_in_every_line() {
        let lines = aligned(&[["a", "b", ""], ["größe", "x", "last"], ["", "", "end"]]);
        assert_eq!(lines, ["  a      b", "  größe  x  last", "            end"]);
    }
}
