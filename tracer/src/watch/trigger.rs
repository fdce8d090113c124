//! When something that holds is a reason to act.

/// Acts when something begins to hold, and again when it still holds, or holds again, after the cool-down. So there is at
/// most one act in each cool-down. Times are nanoseconds of one clock that does not go backwards.
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    cool_down: u64,
    held: bool,
    last: Option<u64>,
}

impl Trigger {
    /// With a cool-down in nanoseconds; with 0 it acts whenever something begins to hold, and not again while it holds.
    #[must_use]
    pub const fn new(cool_down: u64) -> Self {
        Self { cool_down, held: false, last: None }
    }

    /// Whether to act now. To be asked at each sample, also when nothing holds.
    pub fn observe(&mut self, now: u64, holds: bool) -> bool {
        let held = std::mem::replace(&mut self.held, holds);
        let begins = holds && !held;
        let is_cool = self.last.is_none_or(|last| now.saturating_sub(last) >= self.cool_down);
        let acts = is_cool && (begins || holds && self.cool_down > 0);
        if acts {
            self.last = Some(now);
        }
        acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments at which it acts; a mark for each moment.
    fn acts(cool_down: u64, holds: &str) -> Vec<u64> {
        let mut trigger = Trigger::new(cool_down);
        (0..).zip(holds.chars()).filter(|&(now, mark)| trigger.observe(now, mark == '#')).map(|(now, _)| now).collect()
    }

    #[test]
    fn it_acts_when_something_begins_to_hold() {
        assert_eq!(acts(100, "...####"), [3]);
        assert_eq!(acts(100, "#......"), [0]);
        assert_eq!(acts(100, "......."), [] as [u64; 0]);
    }

    #[test]
    fn it_acts_again_when_it_still_holds_after_the_cool_down() {
        assert_eq!(acts(5, "..############"), [2, 7, 12]);
    }

    #[test]
    fn what_holds_again_within_the_cool_down_waits_for_its_end() {
        assert_eq!(acts(5, "#.#.#.#.#"), [0, 6]);
        assert_eq!(acts(5, "#.########"), [0, 5]);
        assert_eq!(acts(5, "#.#..........#"), [0, 13]);
    }

    #[test]
    fn without_a_cool_down_each_beginning_counts_and_nothing_else() {
        assert_eq!(acts(0, "##..##.#"), [0, 4, 7]);
    }
}
