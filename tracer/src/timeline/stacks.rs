//! What each stack holds over time, for a hundred thousand stacks.
//!
//! Only stacks that changed are touched: between its points a stack's value stands still. An update writes to the open bin
//! at the head of a stack's series, so that a round over many stacks walks memory in order. Values are kept to 24 bits,
//! one part in 16 million, which is far below what statistics can use.

use super::curve::{Curve, Point};
use crate::numbers::float;

/// The value over a bin: from tick `bin << shift` on, `1 << shift` ticks long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Packed {
    bin: u32,
    low: f32,
    last: f32,
}

/// What one stack holds over time.
#[derive(Clone, Debug, Default)]
pub struct StackSeries {
    /// Bins in which it changed and that are over, oldest first.
    closed: Vec<Packed>,
    open: Packed,
    shift: u8,
    seen: bool,
}

impl StackSeries {
    /// Closed bins of a stack: 520 bytes with all that belongs to it, or 50 MiB for 100,000 stacks.
    const CLOSED: usize = 40;

    /// Points of a curve, at most.
    const POINTS: u32 = 128;

    fn update(&mut self, tick: u32, value: u64) {
        let value = packed(value);
        let bin = tick >> self.shift;
        if !self.seen {
            self.seen = true;
            self.open = Packed { bin, low: value, last: value };
            return;
        }
        let open = &mut self.open;
        if bin <= open.bin {
            open.low = open.low.min(value);
            open.last = value;
            return;
        }
        // What it held before is a part of the new bin, unless it changed at its very begin.
        let carried = if tick == bin << self.shift { value } else { open.last.min(value) };
        let closed = std::mem::replace(open, Packed { bin, low: carried, last: value });
        if self.closed.len() == self.closed.capacity() {
            let more = self.closed.capacity().max(4).min(Self::CLOSED - self.closed.len());
            self.closed.reserve_exact(more);
        }
        self.closed.push(closed);
        while self.closed.len() >= Self::CLOSED {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.shift += 1;
        let mut kept: Option<(usize, Packed)> = None;
        for index in 0..=self.closed.len() {
            let Some(mut bin) = self.closed.get(index).copied().or((index == self.closed.len()).then_some(self.open))
            else {
                break;
            };
            let second_half = bin.bin & 1 == 1;
            bin.bin >>= 1;
            kept = Some(match kept {
                None => (0, bin),
                Some((at, before)) => {
                    let joined = before.bin == bin.bin;
                    if joined || second_half {
                        bin.low = bin.low.min(if joined { before.low } else { before.last });
                    }
                    if !joined && let Some(place) = self.closed.get_mut(at) {
                        *place = before;
                    }
                    (if joined { at } else { at + 1 }, bin)
                }
            });
        }
        if let Some((at, open)) = kept {
            self.closed.truncate(at);
            self.open = open;
        }
    }

    /// The points up to `now`, evenly spaced and at most 128; each has the value at its end as its mean. A tick takes
    /// `tick_seconds`.
    #[must_use]
    pub fn curve(&self, now: u32, tick_seconds: f64) -> Curve {
        let Some(first) = self.bins().next().filter(|_| self.seen) else { return Curve::default() };
        let begin = first.bin << self.shift;
        let ticks = now.saturating_sub(begin) + 1;
        // As wide as the bins are, or wider: so no point has less than a bin.
        let width = ticks.div_ceil(Self::POINTS).next_power_of_two().max(1 << self.shift);
        let mut points = Vec::new();
        let mut bins = self.bins().peekable();
        let mut value = first.last;
        for cell in 0..(ticks / width).max(1) {
            let at = begin + cell * width;
            let mut low = value;
            if bins.peek().is_some_and(|bin| bin.bin << self.shift == at) {
                low = f32::INFINITY;
            }
            let mut high = low.min(value);
            while let Some(bin) = bins.next_if(|bin| bin.bin << self.shift < at + width) {
                low = low.min(bin.low);
                value = bin.last;
                high = high.max(value);
            }
            let seconds = (f64::from(at) + f64::from(width) / 2.0) * tick_seconds;
            let (low, mean, high) = (f64::from(low.min(value)), f64::from(value), f64::from(high.max(value)));
            points.push(Point { seconds, low, mean, high });
        }
        Curve { points, gaps: 0 }
    }

    /// A first look, cheap enough for every stack: bytes by which the lowest value of the last third is above that of the
    /// second third, or half of what it is above that of the first, whichever is less. Not positive for what cannot be
    /// growing.
    #[must_use]
    pub fn rise(&self, now: u32) -> f32 {
        let Some(first) = self.bins().next().filter(|_| self.seen) else { return 0.0 };
        let begin = first.bin << self.shift;
        let third = now.saturating_sub(begin) / 3;
        let mut lows = [f32::INFINITY; 3];
        let mut before: Option<Packed> = None;
        for bin in self.bins() {
            let tick = bin.bin << self.shift;
            let place = usize::from(tick >= begin + third) + usize::from(tick >= begin + 2 * third);
            // What was held stands still until this bin: it counts in each third that it reaches.
            for (index, low) in lows.iter_mut().enumerate().take(place + 1) {
                let end = begin + (index as u32 + 1) * third;
                if let Some(before) = before.filter(|before| before.bin << self.shift < end) {
                    *low = low.min(before.last);
                }
            }
            lows[place] = lows[place].min(bin.low);
            before = Some(bin);
        }
        // And from the last bin on until now.
        let lows = lows.map(|low| if low.is_finite() { low } else { self.open.last });
        (lows[2] - lows[1]).min((lows[2] - lows[0]) / 2.0)
    }

    /// The last value.
    #[must_use]
    pub fn last(&self) -> f32 {
        self.open.last
    }

    fn bins(&self) -> impl Iterator<Item = Packed> {
        self.closed.iter().copied().chain([self.open])
    }

    const fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.closed.capacity() * size_of::<Packed>()
    }
}

/// The last tick: 68 years of seconds. Time stands still there, so that no sum of ticks is too large.
const LAST: u32 = u32::MAX / 2;

/// The series of all stacks of a process, by the index of their totals.
#[derive(Clone, Debug)]
pub struct StacksTimeline {
    series: Vec<StackSeries>,
    limit: usize,
    tick: u64,
    now: u32,
    refused: u64,
}

impl StacksTimeline {
    /// Stacks with a series, unless asked for otherwise.
    pub const STACKS: usize = 100_000;

    /// For up to `limit` stacks and a sample every `tick` nanoseconds.
    #[must_use]
    pub fn new(limit: usize, tick: u64) -> Self {
        Self { series: Vec::new(), limit, tick: tick.max(1), now: 0, refused: 0 }
    }

    /// A sample is taken at a time on the axis of [`super::Clock`]: its changes follow.
    pub fn begin(&mut self, at: u64) {
        // Samples come a little earlier or later than at whole ticks.
        let tick = at.saturating_add(self.tick / 2) / self.tick;
        self.now = self.now.max(u32::try_from(tick).unwrap_or(u32::MAX).min(LAST));
    }

    /// What a stack holds has changed. One beyond the limit is refused and counted.
    pub fn change(&mut self, stack: u32, outstanding_bytes: u64) {
        let index = stack as usize;
        if index >= self.limit {
            self.refused += 1;
            return;
        }
        if index >= self.series.len() {
            self.series.reserve_exact((index + 1 - self.series.len()).max(1024).min(self.limit - self.series.len()));
            self.series.resize_with(index + 1, StackSeries::default);
        }
        self.series[index].update(self.now, outstanding_bytes);
    }

    /// The tick of the last sample.
    #[must_use]
    pub const fn now(&self) -> u32 {
        self.now
    }

    /// Every stack's series by its index.
    #[must_use]
    pub fn series(&self) -> &[StackSeries] {
        &self.series
    }

    /// A stack's curve up to now: empty for one that never changed.
    #[must_use]
    pub fn curve(&self, stack: u32) -> Curve {
        let curve = |series: &StackSeries| series.curve(self.now, float(self.tick) / super::SECOND);
        self.series.get(stack as usize).map(curve).unwrap_or_default()
    }

    /// Changes of stacks beyond the limit: they have no series.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let spare = (self.series.capacity() - self.series.len()) * size_of::<StackSeries>();
        size_of::<Self>() + spare + self.series.iter().map(StackSeries::memory_bytes).sum::<usize>()
    }
}

#[expect(clippy::cast_precision_loss, reason = "24 bits are what is kept of a value")]
const fn packed(value: u64) -> f32 {
    value as f32
}

#[cfg(test)]
#[path = "stacks_tests.rs"]
mod tests;
