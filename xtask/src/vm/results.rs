//! What the test program said in a machine.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::verified::Verified;

/// Its words.
#[derive(Default)]
pub(super) struct Results {
    /// A line for each test, what the failing ones said, and the sum.
    pub(super) lines: Vec<String>,
    /// What the verifier had to do.
    pub(super) verified: Verified,
    /// Tests that passed, when the program said that all had.
    passed: Option<usize>,
}

impl Results {
    /// Reads what was written to a machine's second serial line.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    fn parse(text: &str) -> Self {
        let said: Vec<&str> = text.lines().map(str::trim_end).collect();
        let is_result = |line: &&&str| line.starts_with("test ");
        let failures = said.iter().position(|line| *line == "failures:").unwrap_or(said.len());
        // The list of those that passed is no news.
        let results = said[..failures].iter().filter(is_result);
        let lines = results.chain(&said[failures..]).filter(|line| !line.is_empty());
        Self {
            lines: lines.map(|&line| line.to_owned()).collect(),
            verified: Verified::parse(text),
            passed: said
                .iter()
                .find_map(|line| line.strip_prefix("test result: ok. ")?.split_once(" passed")?.0.parse().ok()),
        }
    }

    /// Fails unless all tests ran and passed.
    pub(super) fn check(&self, expected: usize) -> Result<()> {
        let passed = self.passed.context("not all tests passed")?;
        ensure!(passed > 0 && passed == expected, "{passed} tests passed, of {expected}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_must_have_passed_as_were_chosen() {
        let text = "\r\nrunning 2 tests\r\ntest a ... ok\r\ntest b ... ok\r\n\r\nsuccesses:\r\n\r\n---- b stdout ----\r\n\
                    verified heap_call 5\r\n\r\n\r\nsuccesses:\r\n    a\r\n\r\n\
                    test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 1.00s\r\n";
        let results = Results::parse(text);
        assert_eq!(results.lines.len(), 3, "{:?}", results.lines);
        assert!(results.check(2).is_ok());
        assert!(results.check(3).is_err());
        let none = Results::parse("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out");
        assert!(none.check(0).is_err());
    }

    #[test]
    fn a_run_that_failed_or_broke_off_did_not_pass() {
        let failed = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nError: no\n\ntest result: FAILED. 1 passed; 1 failed;";
        let results = Results::parse(failed);
        assert!(results.check(1).is_err());
        assert!(results.lines.iter().any(|line| line == "Error: no"), "{:?}", results.lines);
        assert!(Results::parse("test a ... ok\ntest b ... ").check(1).is_err());
    }
}
