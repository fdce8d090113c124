//! What is known of a process when something is to be done about it.

use crate::profile::{MemoryLimit, Whose};
use crate::timeline::{Metric, Sample};
use crate::verdict::Verdict;

/// What is known of a process at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its id.
    pub pid: u32,
    /// Its name, without control characters.
    pub name: &'a str,
    /// What was read of it.
    pub sample: &'a Sample,
    /// What its curve means, once that was asked.
    pub verdict: Option<&'a Verdict>,
    /// The limit that it reaches first.
    pub limit: Option<MemoryLimit>,
}

impl Facts<'_> {
    /// What a hook finds in its environment; what is not known is not there. `trigger` is the condition or verdict that ran
    /// it, as the user wrote it.
    ///
    /// | name | what | unit |
    /// |---|---|---|
    /// | `HEAPTIDE_TRIGGER` | the condition or verdict | |
    /// | `HEAPTIDE_PID` | the process | |
    /// | `HEAPTIDE_NAME` | its name | |
    /// | `HEAPTIDE_VERDICT` | [`crate::verdict::Kind::word`] | |
    /// | `HEAPTIDE_CONFIDENCE` | how sure that is | 0 to 1 |
    /// | `HEAPTIDE_GROWTH_BYTES_PER_SECOND` | how fast it grows | bytes a second |
    /// | `HEAPTIDE_SECONDS_TO_LIMIT` | when it reaches the limit | seconds |
    /// | `HEAPTIDE_OUTSTANDING_BYTES` | allocated and not freed | bytes |
    /// | `HEAPTIDE_OUTSTANDING_BLOCKS` | the same | blocks |
    /// | `HEAPTIDE_RSS_BYTES`, `_PSS_`, `_USS_` | resident, proportional and unique set | bytes |
    /// | `HEAPTIDE_ANONYMOUS_BYTES`, `_FILE_`, `_SHMEM_`, `_SWAP_` | parts of the resident set; swapped out | bytes |
    /// | `HEAPTIDE_ALLOCATOR_BYTES` | what allocators took from the kernel for the heap | bytes |
    /// | `HEAPTIDE_LIMIT_BYTES` | the limit that is reached first | bytes |
    /// | `HEAPTIDE_LIMIT_USED_BYTES` | what counts against it | bytes |
    /// | `HEAPTIDE_LIMIT_OF` | `cgroup` or `machine` | |
    #[must_use]
    pub fn environment(&self, trigger: &str) -> Vec<(String, String)> {
        let sampled = |metric| self.sample.get(metric).map(|value| value.to_string());
        let float = |value: f64| format!("{value:.3}");
        let limit = self.limit;
        let pairs = [
            ("TRIGGER", Some(trigger.to_owned())),
            ("PID", Some(self.pid.to_string())),
            ("NAME", Some(self.name.to_owned())),
            ("VERDICT", self.verdict.map(|verdict| verdict.kind.word().to_owned())),
            ("CONFIDENCE", self.verdict.map(|verdict| float(verdict.confidence))),
            ("GROWTH_BYTES_PER_SECOND", self.growth().map(float)),
            ("SECONDS_TO_LIMIT", self.verdict.and_then(|verdict| verdict.seconds_to_limit).map(float)),
            ("OUTSTANDING_BYTES", sampled(Metric::OutstandingBytes)),
            ("OUTSTANDING_BLOCKS", sampled(Metric::OutstandingBlocks)),
            ("RSS_BYTES", sampled(Metric::Rss)),
            ("PSS_BYTES", sampled(Metric::Pss)),
            ("USS_BYTES", sampled(Metric::Uss)),
            ("ANONYMOUS_BYTES", sampled(Metric::Anonymous)),
            ("FILE_BYTES", sampled(Metric::File)),
            ("SHMEM_BYTES", sampled(Metric::Shmem)),
            ("SWAP_BYTES", sampled(Metric::Swap)),
            ("ALLOCATOR_BYTES", self.sample.allocator().map(|bytes| bytes.to_string())),
            ("LIMIT_BYTES", limit.map(|limit| limit.bytes.to_string())),
            ("LIMIT_USED_BYTES", limit.map(|limit| limit.used.to_string())),
            ("LIMIT_OF", limit.map(|limit| whose_word(limit.whose).to_owned())),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((format!("HEAPTIDE_{name}"), value?))).collect()
    }

    /// How fast it grows, in bytes a second.
    pub(super) fn growth(&self) -> Option<f64> {
        self.verdict.and_then(Verdict::bytes_per_second)
    }
}

const fn whose_word(whose: Whose) -> &'static str {
    match whose {
        Whose::ControlGroup => "cgroup",
        Whose::Machine => "machine",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Growth, Kind};

    #[test]
    fn the_environment_has_what_is_known_and_nothing_else() {
        let sample = Sample::default().with(Metric::Rss, 4096).with(Metric::AllocatorMapped, 7);
        let limit = MemoryLimit { used: 5, bytes: 10, whose: Whose::ControlGroup };
        let verdict = Verdict {
            kind: Kind::Growing,
            confidence: 0.97,
            growth: Some(Growth { bytes_per_second: 19000.5, low: 18000.0, high: 20000.0 }),
            seconds_to_limit: Some(1234.0),
            reasons: Vec::new(),
        };
        let facts = Facts { pid: 7, name: "service", sample: &sample, verdict: Some(&verdict), limit: Some(limit) };
        let pairs = facts.environment("rss>1");
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("HEAPTIDE_TRIGGER", "rss>1"),
            ("HEAPTIDE_PID", "7"),
            ("HEAPTIDE_NAME", "service"),
            ("HEAPTIDE_VERDICT", "growing"),
            ("HEAPTIDE_CONFIDENCE", "0.970"),
            ("HEAPTIDE_GROWTH_BYTES_PER_SECOND", "19000.500"),
            ("HEAPTIDE_SECONDS_TO_LIMIT", "1234.000"),
            ("HEAPTIDE_RSS_BYTES", "4096"),
            ("HEAPTIDE_LIMIT_BYTES", "10"),
            ("HEAPTIDE_LIMIT_USED_BYTES", "5"),
            ("HEAPTIDE_LIMIT_OF", "cgroup"),
        ];
        assert_eq!(pairs, expected);
    }
}
