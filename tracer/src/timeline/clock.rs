//! The time axis: monotonic, and with marks where nothing was seen.

/// Two of the kernel's clocks, read one right after the other, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`: stands still while the machine is suspended.
    pub monotonic: u64,
    /// `CLOCK_BOOTTIME`: the same, and goes on while the machine is suspended.
    pub boot: u64,
}

/// Why nothing is known of a stretch of time; with its length in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The machine was suspended. The programs stood still, too: this takes no place on the axis.
    Suspended(u64),
    /// The sampler came late by more than two intervals (it was stopped, or found no CPU): this has its place on the axis.
    Late(u64),
    /// The clock went backwards, which it must not (a restored virtual machine). The axis stands still instead.
    Backward(u64),
}

/// A place on the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Nanoseconds since the first reading, during which the machine ran.
    pub at: u64,
    /// What lies between this tick and the one before.
    pub gap: Option<Gap>,
}

/// Turns readings of clocks into places on one axis. Wall time plays no part: it may be set.
#[derive(Clone, Debug)]
pub struct Clock {
    interval: u64,
    last: Option<Reading>,
    at: u64,
}

impl Clock {
    /// For samples taken every `interval` nanoseconds.
    #[must_use]
    pub const fn new(interval: u64) -> Self {
        Self { interval, last: None, at: 0 }
    }

    /// The place of a sample that is taken now.
    pub fn tick(&mut self, reading: Reading) -> Tick {
        let Some(last) = self.last.replace(reading) else { return Tick { at: self.at, gap: None } };
        if reading.monotonic < last.monotonic {
            return Tick { at: self.at, gap: Some(Gap::Backward(last.monotonic - reading.monotonic)) };
        }
        let ran = reading.monotonic - last.monotonic;
        let suspended = reading.boot.saturating_sub(last.boot).saturating_sub(ran);
        self.at = self.at.saturating_add(ran);
        let gap = if suspended >= self.interval {
            Some(Gap::Suspended(suspended))
        } else {
            let late = ran.saturating_sub(self.interval);
            (late > self.interval.saturating_mul(2)).then_some(Gap::Late(late))
        };
        Tick { at: self.at, gap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn reading(monotonic: u64, boot: u64) -> Reading {
        Reading { monotonic: monotonic * SECOND, boot: boot * SECOND }
    }

    #[test]
    fn a_steady_clock_has_no_gaps() {
        let mut clock = Clock::new(SECOND);
        let ticks: Vec<Tick> = (100..103).map(|second| clock.tick(reading(second, second + 7))).collect();
        assert_eq!(ticks, [0, 1, 2].map(|second| Tick { at: second * SECOND, gap: None }));
    }

    #[test]
    fn a_suspended_machine_takes_no_time_and_leaves_a_mark() {
        let mut clock = Clock::new(SECOND);
        clock.tick(reading(10, 10));
        let tick = clock.tick(reading(11, 3611));
        assert_eq!(tick, Tick { at: SECOND, gap: Some(Gap::Suspended(3600 * SECOND)) });
    }

    #[test]
    fn a_late_sample_takes_its_time_and_leaves_a_mark() {
        let mut clock = Clock::new(SECOND);
        clock.tick(reading(10, 10));
        assert_eq!(clock.tick(reading(13, 13)), Tick { at: 3 * SECOND, gap: None });
        assert_eq!(clock.tick(reading(23, 23)), Tick { at: 13 * SECOND, gap: Some(Gap::Late(9 * SECOND)) });
    }

    #[test]
    fn the_axis_never_goes_backwards() {
        let mut clock = Clock::new(SECOND);
        clock.tick(reading(10, 10));
        clock.tick(reading(11, 11));
        assert_eq!(clock.tick(reading(5, 5)), Tick { at: SECOND, gap: Some(Gap::Backward(6 * SECOND)) });
        assert_eq!(clock.tick(reading(6, 6)), Tick { at: 2 * SECOND, gap: None });
    }
}
