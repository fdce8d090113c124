//! Known growth that is not to be reported, in the format of `LeakSanitizer`'s suppression files.
//!
//! ```text
//! # a comment
//! leak:keep_for_ever
//! leak:^libfoo.so$
//! leak:parser*cache
//! ```
//!
//! A pattern is looked for in the name of a frame's function, of its source file and of its module, as in compiler-rt's
//! `sanitizer_suppressions.cpp`: it matches anywhere in the name, `*` stands for any characters, `^` at the begin and `$` at
//! the end hold it there (what is before `$` may come more than once, which the original does not see). One frame that
//! matches suppresses the whole stack.

use std::fmt;

/// Bytes of a file of suppressions, at most.
const LARGEST: usize = 1 << 20;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    pattern: String,
}

/// Patterns of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressions {
    all: Vec<Suppression>,
}

/// Why a file is no file of suppressions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuppressionsError {
    /// A line is not of the form `leak:pattern`.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: Problem,
    },
    /// It is larger than any such file would be.
    #[error("more than {LARGEST} bytes")]
    TooLarge,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no colon.
    NoColon,
    /// What is before the colon is not `leak`.
    OtherType,
    /// There is nothing after the colon.
    NoPattern,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoColon => "leak:PATTERN was expected",
            Self::OtherType => "only suppressions of the type leak are known",
            Self::NoPattern => "the pattern is missing",
        })
    }
}

impl Suppressions {
    /// Reads a file's text. Empty lines and those that begin with `#` are passed over.
    pub fn parse(text: &str) -> Result<Self, SuppressionsError> {
        if text.len() > LARGEST {
            return Err(SuppressionsError::TooLarge);
        }
        let mut all = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pattern = pattern(line).map_err(|problem| SuppressionsError::Line { line: index + 1, problem })?;
            all.push(Suppression { pattern: pattern.to_owned() });
        }
        Ok(Self { all })
    }

    /// The first pattern that matches any of a stack's names: functions, source files, modules.
    #[must_use]
    pub fn matching(&self, names: &[&str]) -> Option<&Suppression> {
        self.all.iter().find(|suppression| names.iter().any(|name| suppression.matches(name)))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn pattern(line: &str) -> Result<&str, Problem> {
    let (kind, pattern) = line.split_once(':').ok_or(Problem::NoColon)?;
    if kind != "leak" {
        return Err(Problem::OtherType);
    }
    if pattern.is_empty() { Err(Problem::NoPattern) } else { Ok(pattern) }
}

impl Suppression {
    /// The pattern as it was written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether it matches a name. In time that grows with the pattern's and the name's length multiplied, at most.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if name.is_empty() {
            return false;
        }
        let (anchored, pattern) = self.pattern.strip_prefix('^').map_or((false, &*self.pattern), |rest| (true, rest));
        let (ends, pattern) = pattern.strip_suffix('$').map_or((false, pattern), |rest| (true, rest));
        let mut parts = pattern.split('*');
        let first = parts.next().unwrap_or_default();
        let mut rest = match (anchored, name.strip_prefix(first), name.find(first)) {
            (true, Some(rest), _) => rest,
            (true, None, _) | (false, _, None) => return false,
            (false, _, Some(at)) => &name[at + first.len()..],
        };
        let mut last = None;
        for part in parts {
            // Each part where it comes first: what is left for those after it is then as long as can be.
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
            last = Some(part);
        }
        match (ends, last) {
            (false, _) => true,
            // The last part may come once more, at the end.
            (true, Some(part)) => rest.is_empty() || rest.ends_with(part),
            (true, None) => rest.is_empty() || !anchored && name.ends_with(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Suppressions::parse(&format!("leak:{pattern}")).unwrap().matching(&[name]).is_some()
    }

    #[test]
    fn the_example_of_the_documentation() {
        // clang.llvm.org/docs/AddressSanitizer.html, "Suppressing memory leaks", and the wiki's page on LeakSanitizer.
        let text = "# This is a known leak.\nleak:FooBar\nleak:libfoo.so\nleak:c_ares_*\n\n";
        let suppressions = Suppressions::parse(text).unwrap();
        let stack = ["malloc", "FooBar()", "main", "prog.cc", "prog"];
        assert_eq!(suppressions.matching(&stack).map(Suppression::pattern), Some("FooBar"));
        assert_eq!(suppressions.matching(&["/usr/lib/libfoo.so"]).map(Suppression::pattern), Some("libfoo.so"));
        assert_eq!(suppressions.matching(&["ares_init", "c_ares"]), None);
        assert!(!suppressions.is_empty() && Suppressions::parse("#\n").unwrap().is_empty());
    }

    #[test]
    fn the_cases_of_the_reference() {
        // compiler-rt/lib/sanitizer_common/tests/sanitizer_suppressions_test.cpp, Suppressions.Match.
        for (pattern, names) in [
            ("foobar", &["foobar", "prefix_foobar_postfix"][..]),
            ("*foobar*", &["foobar", "prefix_foobar_postfix"]),
            ("foo*bar", &["foo_middle_bar", "foobar"]),
            ("foo*bar*baz", &["foo_middle_bar_another_baz", "foo_middle_barbaz"]),
            ("^foobar", &["foobar", "foobar_postfix"]),
            ("^*foobar", &["foobar", "prefix_foobar"]),
            ("foobar$", &["foobar", "prefix_foobar"]),
            ("*foobar*$", &["foobar", "foobar_postfix"]),
            ("^foobar$", &["foobar"]),
        ] {
            assert!(names.iter().all(|name| matches(pattern, name)), "{pattern} {names:?}");
        }
        for (pattern, names) in [
            ("foo", &["baz"][..]),
            ("foobarbaz", &["foobar", "barbaz"]),
            ("foo*bar", &["foobaz", "foo_baz"]),
            ("^foobar", &["prefix_foobar"]),
            ("foobar$", &["foobar_postfix"]),
            ("^foobar$", &["prefix_foobar", "foobar_postfix"]),
            ("foo^bar", &["foobar"]),
            ("foo$bar", &["foobar"]),
            ("foo$^bar", &["foobar"]),
        ] {
            assert!(!names.iter().any(|name| matches(pattern, name)), "{pattern} {names:?}");
        }
        let lines = "leak:foo\n \tleak:bar\r\nleak:baz* *baz \t\n  \t# a comment\nleak:quz";
        let patterns: Vec<String> =
            Suppressions::parse(lines).unwrap().all.into_iter().map(|suppression| suppression.pattern).collect();
        assert_eq!(patterns, ["foo", "bar", "baz* *baz", "quz"]);
    }

    #[test]
    fn a_part_that_comes_again_at_the_end_matches() {
        assert!(matches("a*b$", "a_b_c_b") && matches("b$", "bab") && !matches("^a*b$", "a_b_c"));
        assert!(!matches("ab$", "abx") && !matches("x", ""));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let problem = |text: &str| Suppressions::parse(text).unwrap_err().to_string();
        assert_eq!(problem("leak:a\n\nfoo"), "line 3: leak:PATTERN was expected");
        assert_eq!(problem("race:foo"), "line 1: only suppressions of the type leak are known");
        assert_eq!(problem("leak:"), "line 1: the pattern is missing");
        assert_eq!(Suppressions::parse(&"#".repeat(LARGEST + 1)), Err(SuppressionsError::TooLarge));
    }
}
