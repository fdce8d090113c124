//! Calls of each allocator of each process: who has which of the kernel part's tallies, and what they say.

use std::time::{Duration, Instant};

use aya::maps::{MapData, MapError, PerCpuArray};
use heaptide_common::tally::OTHERS;

use super::{Kernel, LoadError};

/// The calls of one allocator's functions in one process, or in all that the probes serve: names an entry of
/// [`Tallied::calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tally(usize);

impl Tally {
    /// The one of an entry.
    #[cfg(test)]
    pub(crate) const fn of(index: usize) -> Self {
        Self(index)
    }

    /// The entry.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// What a tally says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls that came to a probe.
    pub count: u64,
    /// How long that was recorded.
    pub time: Duration,
}

/// A reading of all tallies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// By [`Tally`].
    pub calls: Vec<Calls>,
    /// The hits of all, those of processes that have ended included.
    pub hits: u64,
}

/// One that was given out.
#[derive(Clone, Copy)]
struct Given {
    /// Its place in the kernel part's array.
    place: u8,
    owner: u32,
    /// What stood there before.
    before: u64,
    begin: Instant,
    /// How long nothing was recorded before it began.
    paused: Duration,
    /// What it said when its process had ended, when that was, and how long nothing had been recorded until then.
    end: Option<(u64, Instant, Duration)>,
}

/// A place that can be given out, and what stands there.
type Free = (u8, u64);

/// Those that were given out.
pub(super) struct Tallies {
    map: PerCpuArray<MapData, u64>,
    given: Vec<Given>,
    /// Those whose process has not ended: one a place.
    open: Vec<Tally>,
    /// Places whose process has ended.
    free: Vec<Free>,
    /// The first place that was never given out.
    fresh: u8,
    others: Option<Tally>,
    /// How long no blocks were recorded, before the pause that is now.
    paused: Duration,
    /// Since when no blocks are recorded.
    pause: Option<Instant>,
}

impl Tallies {
    pub(super) const fn new(map: PerCpuArray<MapData, u64>) -> Self {
        Self {
            map,
            given: Vec::new(),
            open: Vec::new(),
            free: Vec::new(),
            fresh: 0,
            others: None,
            paused: Duration::ZERO,
            pause: None,
        }
    }

    /// One for probes of `owner`, and its place. When all are taken it is one that many share.
    pub(super) fn give(&mut self, owner: u32) -> (Tally, u8) {
        let fresh = || (self.fresh < OTHERS).then_some((self.fresh, 0));
        let Some((place, before)) = self.free.pop().or_else(fresh) else {
            let others = self.others.unwrap_or_else(|| {
                log::info!("so many allocators are traced that the calls of some are counted together");
                self.add(Given {
                    place: OTHERS,
                    owner,
                    before: 0,
                    begin: Instant::now(),
                    paused: self.paused(),
                    end: None,
                })
            });
            self.others = Some(others);
            return (others, OTHERS);
        };
        self.fresh = self.fresh.max(place + 1);
        let tally = self.add(Given { place, owner, before, begin: Instant::now(), paused: self.paused(), end: None });
        self.open.push(tally);
        (tally, place)
    }

    /// No blocks are recorded from now on.
    pub(super) fn pause(&mut self) {
        self.pause.get_or_insert_with(Instant::now);
    }

    /// Blocks are recorded again.
    pub(super) fn resume(&mut self) {
        self.paused = self.paused();
        self.pause = None;
    }

    /// How long no blocks were recorded so far.
    fn paused(&self) -> Duration {
        self.paused + self.pause.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn add(&mut self, given: Given) -> Tally {
        self.given.push(given);
        Tally(self.given.len() - 1)
    }

    /// Keeps what those of `owner` say, which has ended: its probes will not be hit any more.
    pub(super) fn end(&mut self, owner: u32) {
        let paused = self.paused();
        let Self { map, given, open, free, .. } = self;
        open.retain(|tally| {
            let Some(given) = given.get_mut(tally.0).filter(|given| given.owner == owner) else { return true };
            // One that cannot be read now is read at the end.
            let Ok(now) = read(map, given.place) else { return true };
            given.end = Some((now, Instant::now(), paused));
            free.push((given.place, now));
            false
        });
    }

    fn read(&self, started: Instant) -> Result<Tallied, MapError> {
        let now = Instant::now();
        let shared = self.others.map(|_| OTHERS);
        let places: Vec<u64> = (0..self.fresh).map(|place| read(&self.map, place)).collect::<Result<_, _>>()?;
        let others = shared.map_or(Ok(0), |place| read(&self.map, place))?;
        let calls = self.given.iter().map(|given| {
            let standing = places.get(usize::from(given.place)).copied().unwrap_or(others);
            let (standing, end, paused) = given.end.unwrap_or((standing, now, self.paused()));
            let time = end
                .saturating_duration_since(given.begin.max(started))
                .saturating_sub(paused.saturating_sub(given.paused));
            Calls { count: standing.saturating_sub(given.before), time }
        });
        Ok(Tallied { calls: calls.collect(), hits: places.iter().sum::<u64>() + others })
    }
}

fn read(map: &PerCpuArray<MapData, u64>, place: u8) -> Result<u64, MapError> {
    Ok(map.get(&u32::from(place), 0)?.iter().sum())
}

impl Kernel {
    /// The calls of each allocator as they stand.
    pub fn tallied(&self) -> Result<Tallied, LoadError> {
        Ok(self.tallies.read(self.started.unwrap_or_else(Instant::now))?)
    }
}
