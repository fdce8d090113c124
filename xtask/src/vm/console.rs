//! What a machine's kernel says.

use anyhow::{Result, bail};

/// Words by which a kernel says that something is wrong with it. They are looked for with their capitals: ordinary lines
/// have words such as `report a bug`.
const COMPLAINTS: [&str; 8] = [
    "Kernel panic",
    "BUG:",
    "WARNING:",
    "Oops",
    "general protection fault",
    "detected stall",
    "self-detected stall",
    "blocked for more than",
];

/// Lines that are shown of it.
const LAST: usize = 40;

/// The lines that a kernel said.
#[derive(Default)]
pub(super) struct Console {
    lines: Vec<String>,
    complaint: Option<usize>,
}

impl Console {
    /// Takes a line; says whether it is the first complaint.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let is_first = self.complaint.is_none() && COMPLAINTS.iter().any(|complaint| line.contains(complaint));
        if is_first {
            self.complaint = Some(self.lines.len());
        }
        self.lines.push(line.trim_end().to_owned());
        is_first
    }

    /// Fails, with what was said from there on, when the kernel has complained.
    pub(super) fn check(&self) -> Result<()> {
        let Some(place) = self.complaint else { return Ok(()) };
        let lines: Vec<_> = self.lines[place..].iter().take(LAST).map(String::as_str).collect();
        bail!("the kernel complained:\n{}", lines.join("\n"))
    }

    /// Its last lines.
    pub(super) fn last(&self) -> String {
        let lines = &self.lines[self.lines.len().saturating_sub(LAST)..];
        format!("the console's last lines:\n{}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_an_error_with_what_follows() {
        let mut console = Console::default();
        assert!(!console.take("[    2.2] PCI: Using host bridge windows; if necessary, report a bug"));
        assert!(console.take("[   36.5] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI\r"));
        assert!(!console.take("[   36.6] Kernel panic - not syncing: Fatal exception"));
        let error = console.check().unwrap_err().to_string();
        assert!(error.contains("Oops") && error.contains("panic") && !error.contains("PCI"), "{error}");
    }

    #[test]
    fn every_kind_of_stall_is_a_complaint() {
        for line in [
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 45s! [detach:234]",
            "INFO: task cat:12 blocked for more than 120 seconds.",
        ] {
            assert!(Console::default().take(line), "{line}");
        }
    }
}
