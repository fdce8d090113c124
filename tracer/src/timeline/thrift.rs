//! How often something costly may be done.

/// Lets a costly measurement be made only so often that it takes no more than a share of the time: after one that took
/// `t`, the next is due when `t / share` has passed since its end. All times are nanoseconds of one clock.
#[derive(Clone, Copy, Debug)]
pub struct Thrift {
    waits: u64,
    due: u64,
}

impl Default for Thrift {
    /// At most 0.5 % of the time.
    fn default() -> Self {
        Self::new(200)
    }
}

impl Thrift {
    /// At most one part in `waits` of the time: with 200, a measurement that takes 1 ms is due again after 200 ms.
    #[must_use]
    pub const fn new(waits: u64) -> Self {
        Self { waits, due: 0 }
    }

    /// Whether it may be measured now.
    #[must_use]
    pub const fn is_due(&self, now: u64) -> bool {
        now >= self.due
    }

    /// A measurement ended at `now`, and took `cost`.
    pub const fn took(&mut self, now: u64, cost: u64) {
        self.due = now.saturating_add(cost.saturating_mul(self.waits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_due_at_once_and_the_next_after_two_hundred_times_its_cost() {
        let mut thrift = Thrift::default();
        assert!(thrift.is_due(0));
        thrift.took(1_000, 10);
        assert!(!thrift.is_due(1_000));
        assert!(!thrift.is_due(2_999));
        assert!(thrift.is_due(3_000));
        // What became cheap is due sooner, what costs nothing at once.
        thrift.took(3_000, 1);
        assert!(!thrift.is_due(3_199) && thrift.is_due(3_200));
        thrift.took(3_200, 0);
        assert!(thrift.is_due(3_200));
    }

    #[test]
    fn the_share_is_kept_whatever_it_costs() {
        let mut thrift = Thrift::default();
        let (mut now, mut spent) = (0, 0);
        for step in 0..100_000_u64 {
            if thrift.is_due(now) {
                let cost = 1 + step * 7919 % 1000;
                now += cost;
                spent += cost;
                thrift.took(now, cost);
            }
            now += 100;
        }
        assert!(spent > 0 && spent * 200 <= now, "{spent} of {now}");
    }

    #[test]
    fn a_cost_beyond_all_bounds_is_never_due_again() {
        let mut thrift = Thrift::default();
        thrift.took(5, u64::MAX);
        assert!(!thrift.is_due(u64::MAX - 1));
    }
}
