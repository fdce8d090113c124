//! The functions' rows as one list, in which every address has one rule.

use super::cfi::{Function, Functions};
use super::{Row, Rule};

/// Bytes between two functions that are taken for padding rather than for code without CFI: compilers align functions
/// to 16. No call returns there. Where a return address is the beginning of a function, so that the byte before it is
/// padding, somebody has put it at the bottom of a stack: `makecontext` does.
const MAX_PADDING: u32 = 15;

/// Rows sorted by address, from 0 on; neighbours differ in their rule. Code between functions has a row that says that
/// there is no CFI, and so has what is behind the last; padding has one that ends the stack.
///
/// Where functions overlap, the one that begins later holds, as the more specific one; of two that begin together the
/// shorter; of two with the same range the one that comes later in the file. Where it ends, the other goes on.
pub(super) fn flatten(mut functions: Functions) -> Vec<Row> {
    let list = &mut functions.list;
    // Stable: the order of the file stays where the ranges are the same.
    list.sort_by_key(|function| (function.start, u32::MAX - function.end));
    let mut sweep =
        Sweep { from: &functions.rows, rows: Vec::with_capacity(functions.rows.len()), at: 0, open: Vec::new() };
    for function in &functions.list {
        sweep.advance(function.start);
        sweep.open.push(Open::new(function));
    }
    sweep.advance(u32::MAX);
    sweep.rows.shrink_to_fit();
    sweep.rows
}

/// A function that begins at or before the current address.
struct Open {
    end: u32,
    /// Its row that holds where it was left.
    row: usize,
    /// Behind its last row.
    behind: usize,
}

impl Open {
    const fn new(function: &Function) -> Self {
        Self { end: function.end, row: function.rows.start as usize, behind: function.rows.end as usize }
    }
}

struct Sweep<'a> {
    from: &'a [Row],
    rows: Vec<Row>,
    /// The list is complete up to here.
    at: u32,
    /// Functions that have not ended, the one that holds last.
    open: Vec<Open>,
}

impl Sweep<'_> {
    /// Completes the list up to `to`.
    fn advance(&mut self, to: u32) {
        while let Some(mut function) = self.open.pop() {
            let until = function.end.min(to);
            self.copy(&mut function, until);
            if function.end > to {
                self.open.push(function);
                return;
            }
        }
        if self.at < to {
            let is_padding = !self.rows.is_empty() && to - self.at <= MAX_PADDING;
            self.push(Row { pc: self.at, rule: if is_padding { Rule::END } else { Rule::NO_CFI } });
        }
        self.at = self.at.max(to);
    }

    /// Takes over what `function` says from the current address up to `until`.
    fn copy(&mut self, function: &mut Open, until: u32) {
        if self.at >= until {
            return;
        }
        let rows = &self.from[..function.behind];
        let begins_before = |row: usize, pc: u32| rows.get(row).is_some_and(|row| row.pc < pc);
        while begins_before(function.row + 1, self.at + 1) {
            function.row += 1;
        }
        self.push(Row { pc: self.at, rule: rows[function.row].rule });
        while begins_before(function.row + 1, until) {
            function.row += 1;
            self.push(rows[function.row]);
        }
        self.at = until;
    }

    fn push(&mut self, row: Row) {
        if self.rows.last().is_none_or(|last| last.rule != row.rule) {
            self.rows.push(row);
        }
    }
}
