//! Readable names of functions.

use std::fmt::{self, Write as _};

use cpp_demangle::{DemangleOptions, Symbol};

/// Longest name, in bytes. Longer ones are cut: a mangled name of some hundred bytes can stand for one of gigabytes.
const LONGEST: usize = 1024;

/// The function's name as its author wrote it: Rust without hashes, C++ without return type and parameters, anything
/// else as it stands.
pub(super) fn demangle(mangled: &str) -> String {
    let mut name = Bounded(String::new());
    if let Ok(rust) = rustc_demangle::try_demangle(mangled) {
        // An error means that the name was cut.
        let _ = write!(name, "{rust:#}");
    } else if let Some(cpp) = mangled.starts_with("_Z").then(|| Symbol::new(mangled).ok()).flatten() {
        let short = DemangleOptions::new().no_params().no_return_type();
        let _ = cpp.structured_demangle(&mut name, &short);
    }
    if name.0.is_empty() {
        let _ = name.write_str(mangled);
    }
    name.0
}

/// A string that takes in no more than [`LONGEST`] bytes; what is behind becomes an ellipsis.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_names_lose_their_hash() {
        assert_eq!(demangle("_ZN4core9panicking9panic_fmt17h5f1a6fd39197ad62E"), "core::panicking::panic_fmt");
        assert_eq!(demangle("_RNvC6_123foo3bar"), "123foo::bar");
    }

    #[test]
    fn cpp_names_lose_return_type_and_parameters() {
        assert_eq!(demangle("_ZN3foo3barEi"), "foo::bar");
        assert_eq!(demangle("_Z3addIiET_S0_S0_"), "add<int>");
        assert_eq!(demangle("_ZNSt6vectorIiSaIiEE9push_backERKi"), "std::vector<int, std::allocator<int> >::push_back");
    }

    #[test]
    fn other_names_stay_as_they_are() {
        for name in ["malloc", "__libc_start_main", "_Zebra", "_Z", "main.func1", ""] {
            assert_eq!(demangle(name), name);
        }
    }

    #[test]
    fn a_name_that_grows_without_end_is_cut() {
        // Each `pair` has the one before twice. Unbounded, this takes 2^30 bytes.
        let mut bomb = String::from("_Z1fISt4pairI1aS1_E");
        for step in 2..32 {
            let before = char::from_digit(step, 36).unwrap().to_ascii_uppercase();
            write!(bomb, "S0_IS{before}_S{before}_E").unwrap();
        }
        bomb.push_str("EvT_");
        let name = demangle(&bomb);
        assert!(name.starts_with("f<std::pair<a, a>, std::pair<std::pair<a, a>, ") && name.ends_with('…'), "{name}");
        assert_eq!(name.len(), LONGEST + '…'.len_utf8());
        assert!(demangle(&"ä".repeat(LONGEST)).ends_with("ä…"));
    }
}
