//! What holds of every table, whatever it was made of.

use heaptide::unwind::Table;

/// Panics when the table of a file of `size` bytes cannot be searched, or is too large for it.
pub fn assert_sound(table: &Table, size: usize) {
    let rows = table.rows();
    assert!(rows.is_sorted_by(|a, b| a.pc < b.pc));
    assert!(rows.windows(2).all(|pair| pair[0].rule != pair[1].rule));
    assert!(rows.first().is_none_or(|row| row.pc == 0));
    assert!(rows.len() <= size + 1);
    for row in rows.iter().take(64) {
        assert_eq!(table.find(row.pc), *row);
    }
}
