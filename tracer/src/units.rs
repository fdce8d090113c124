//! Sizes and counts as people write them.

use parse_size::{ByteSuffix, Config};

/// A size in bytes, as GNU's tools read it: `4096`, `4K` and `4KiB` are the same, `4KB` is 4000. The error names what is
/// accepted.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const ACCEPTED: &str = "expected a size such as 4096, 4K (4096 bytes), 4KiB (the same), 4KB (4000 bytes) or 2M";
    let decimal = text.trim_end().ends_with(['b', 'B']);
    let config = if decimal { Config::new() } else { Config::new().with_binary() };
    config.parse_size(text).map_err(|_| ACCEPTED.to_owned())
}

/// A number of things: `500000`, `20M` (twenty million).
pub(crate) fn number(text: &str) -> Option<u64> {
    Config::new().with_byte_suffix(ByteSuffix::Deny).parse_size(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_unless_they_end_in_b() {
        let cases = [("4096", 4096), ("4K", 4096), ("4k", 4096), ("4KiB", 4096), ("4KB", 4000), ("1MB", 1_000_000)];
        for (text, expected) in
            cases.into_iter().chain([("1M", 1 << 20), ("1.5M", 3 << 19), ("2GiB", 2 << 30), ("0", 0)])
        {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for text in ["", "-1", "4 apples", "KiB", "99999999999G"] {
            assert!(size(text).unwrap_err().starts_with("expected a size"), "{text}");
        }
    }
}
