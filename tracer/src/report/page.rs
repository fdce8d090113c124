//! The only way of text to a terminal: lines without control characters.

use std::fmt::{self, Write as _};
use std::io;

/// Writes lines. What stands in them is the traced program's choice (names of functions, files and processes), so every
/// line as a whole is made [printable].
pub(super) struct Page<'a> {
    out: &'a mut dyn io::Write,
    line: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(out: &'a mut dyn io::Write) -> Self {
        Self { out, line: String::new() }
    }

    /// Writes one line.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) -> io::Result<()> {
        self.line.clear();
        self.line.write_fmt(line).map_err(io::Error::other)?;
        self.line = self.line.chars().map(printable).collect();
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }

    /// Writes an empty line.
    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }
}

/// The character, or one that stands for it when it is not printable: when it could begin a terminal's command, end a
/// line, or turn the direction of what follows, so that a name reads as another.
pub(super) fn printable(character: char) -> char {
    if is_printable(character) { character } else { char::REPLACEMENT_CHARACTER }
}

/// Whether a character stands for itself on a terminal, and does nothing else.
pub(super) fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_newlines_and_turns_of_direction_do_not_reach_the_terminal() {
        let mut out = Vec::new();
        Page::new(&mut out).line(format_args!("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e\u{7f}")).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}\n");
    }

    proptest! {
        #[test]
        fn a_line_is_always_one_line(text in any::<String>()) {
            let mut out = Vec::new();
            Page::new(&mut out).line(format_args!("{text}")).unwrap();
            let out = String::from_utf8(out).unwrap();
            let line = out.strip_suffix('\n').unwrap();
            prop_assert!(line.chars().all(is_printable));
            prop_assert_eq!(line.chars().count(), text.chars().count());
        }
    }
}
