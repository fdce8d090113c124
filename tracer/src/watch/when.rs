//! A condition that is asked again and again of one process.

use super::{Condition, Facts, Trigger, Unknown};

/// A condition with its trigger, for one process.
#[derive(Clone, Debug)]
pub struct When {
    condition: Condition,
    trigger: Trigger,
    is_told: bool,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether to act now.
    pub acts: bool,
    /// A value that is needed and not known, the first time that this is so: to be told to the user.
    pub unknown: Option<Unknown>,
}

impl When {
    /// With a cool-down in nanoseconds, as of [`Trigger::new`].
    #[must_use]
    pub const fn new(condition: Condition, cool_down: u64) -> Self {
        Self { condition, trigger: Trigger::new(cool_down), is_told: false }
    }

    /// To be asked at each sample, at `now` nanoseconds.
    pub fn observe(&mut self, now: u64, facts: &Facts<'_>) -> Observed {
        let holds = self.condition.holds(facts);
        let acts = self.trigger.observe(now, holds == Ok(true));
        let unknown = holds.err().filter(|_| !self.is_told);
        self.is_told |= unknown.is_some();
        Observed { acts, unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Metric, Sample};

    #[test]
    fn it_acts_on_the_edge_and_tells_once_what_is_not_known() {
        let mut when = When::new("rss>5".parse().unwrap(), 10);
        let mut observe = |now, rss: Option<u64>| {
            let sample = rss.map_or(Sample::default(), |rss| Sample::default().with(Metric::Rss, rss));
            let facts = Facts { pid: 1, name: "", sample: &sample, verdict: None, limit: None };
            when.observe(now, &facts)
        };
        let unknown = Some(Unknown("rss"));
        assert_eq!(observe(0, None), Observed { acts: false, unknown });
        assert_eq!(observe(1, Some(5)), Observed::default());
        assert_eq!(observe(2, Some(6)), Observed { acts: true, unknown: None });
        assert_eq!(observe(3, None), Observed::default());
        assert_eq!(observe(4, Some(6)), Observed::default());
        assert_eq!(observe(12, Some(6)), Observed { acts: true, unknown: None });
    }
}
