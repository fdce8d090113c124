//! The profile as it stands, for programs: one JSON object, described in `docs/json.md`.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::page::is_printable;
use crate::profile::Profile;

/// Writes the profile on one line.
pub fn write(out: &mut dyn io::Write, profile: &Profile) -> io::Result<()> {
    write_line(out, profile)
}

/// Writes anything on one line.
pub(super) fn write_line(out: &mut dyn io::Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Printable))?;
    out.write_all(b"\n")
}

/// Escapes what JSON allows in strings but a terminal would obey, too. Readers get the same strings.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((position, character)) = rest.char_indices().find(|&(_, each)| !is_printable(each)) {
            let (plain, behind) = rest.split_at(position);
            let mut escaped = plain.to_owned();
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").map_err(io::Error::other)?;
            }
            writer.write_all(escaped.as_bytes())?;
            rest = behind.strip_prefix(character).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::page::is_printable;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        text.serialize(&mut Serializer::with_formatter(&mut out, Printable)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn terminal_commands_are_escaped() {
        assert_eq!(written("a\u{9b}31mb\u{202e}\u{1b}\n"), r#""a\u009b31mb\u202e\u001b\n""#);
    }

    proptest! {
        #[test]
        fn any_string_reads_back_the_same_and_is_printable(text in any::<String>()) {
            let json = written(&text);
            prop_assert!(json.chars().all(is_printable));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
