//! One process: its timeline, and a series for each of its stacks.

use std::{hash::BuildHasher, time::Duration};

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::{Judgement, nanoseconds};
use crate::pipeline::cpu::Stopwatch;
use crate::{
    live::AccountSample,
    numbers::{float, whole},
    process::{MemoryReader, ProcessMemory, memory_limit},
    profile::{Ages, ByMemory, Memory, MemoryLimit, OverTime},
    timeline::{Metric, Sample, StacksTimeline, Thrift, Tick, Timeline},
    verdict::{Evidence, Kind, Ranking, Verdict, judge, suspects},
};

/// Stacks that get a verdict because of their size alone.
const LARGEST: usize = 30;

/// What one shard's ledger has told of an entry.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    series: u32,
    bytes: u64,
}

/// An entry without a series.
const NONE: u32 = u32::MAX;

/// A process over time.
pub(super) struct Watched {
    pid: u32,
    /// When it was first seen, on the timelines' axis.
    began: u64,
    now: u64,
    timeline: Timeline,
    stacks: StacksTimeline,
    /// What each series is of.
    names: Vec<(Memory, u64)>,
    /// The series by what they are of.
    by_name: HashTable<u32>,
    /// What each stack holds now.
    held: Vec<u64>,
    /// The entries of each shard's ledger.
    places: Vec<Vec<Place>>,
    refused: u64,
    memory: Option<MemoryReader>,
    limit: Option<MemoryLimit>,
    limit_read: Thrift,
    last: Sample,
    ages: Vec<Ages>,
    verdict: Option<Verdict>,
    ranking: Ranking,
    /// Stacks that were matched with the suppressions, and the pattern that matched.
    matched: FxHashMap<u32, Option<String>>,
    /// Whether it has ended.
    pub(super) is_over: bool,
}

impl Watched {
    pub(super) fn new(pid: u32, interval: u64, at: u64) -> Self {
        Self {
            pid,
            began: at,
            now: at,
            timeline: Timeline::new(Timeline::BINS, interval),
            stacks: StacksTimeline::new(StacksTimeline::STACKS, interval),
            names: Vec::new(),
            by_name: HashTable::new(),
            held: Vec::new(),
            places: Vec::new(),
            refused: 0,
            memory: MemoryReader::new(pid).ok(),
            limit: None,
            limit_read: Thrift::default(),
            last: Sample::default(),
            ages: Vec::new(),
            verdict: None,
            ranking: Ranking::default(),
            matched: FxHashMap::default(),
            is_over: false,
        }
    }

    /// Takes in what each shard tells of the process, with how many events were received and lost by all. `room` is how many
    /// more stacks can have a series. Gives what the stacks took.
    pub(super) fn take_in(
        &mut self,
        tick: Tick,
        shards: Vec<(usize, AccountSample)>,
        (events, lost): (u64, u64),
        room: &mut usize,
    ) -> Duration {
        self.now = tick.at;
        self.stacks.begin(tick.at);
        let mut sums = ByMemory::default();
        let (mut break_bytes, mut older_releases) = (0, 0);
        let began = Stopwatch::start();
        for (shard, account) in shards {
            sums += account.sums;
            break_bytes += account.break_bytes;
            older_releases += account.older_releases;
            self.change(shard, &account, room);
        }
        let took = began.elapsed();
        let outstanding = if sums.touched.resident.is_none() { sums.outstanding } else { sums.touched.resident };
        let sample = Sample::default()
            .with(Metric::OutstandingBytes, outstanding.outstanding.bytes)
            .with(Metric::OutstandingBlocks, outstanding.outstanding.blocks)
            .with(Metric::Heap, sums.heap.outstanding.bytes)
            .with(Metric::Allocated, outstanding.allocated.bytes)
            .with(Metric::Freed, outstanding.freed.bytes)
            .with(Metric::Mapped, sums.anonymous.outstanding.bytes)
            .with(Metric::MappedFiles, sums.file.outstanding.bytes)
            .with(Metric::ThreadStacks, sums.thread_stack.outstanding.bytes)
            .with(Metric::AllocatorMapped, sums.allocator.outstanding.bytes.saturating_sub(break_bytes))
            .with(Metric::AllocatorBrk, break_bytes)
            .with(Metric::Events, events)
            .with(Metric::Lost, lost)
            .with(Metric::OlderReleases, older_releases);
        let sample = self.with_memory(&sample);
        self.last = self.with_limit(&sample);
        self.timeline.push(tick, &self.last);
        took
    }

    fn change(&mut self, shard: usize, account: &AccountSample, room: &mut usize) {
        if self.places.len() <= shard {
            self.places.resize_with(shard + 1, Vec::new);
        }
        if account.is_first {
            self.forget(shard);
        }
        for change in &account.changes {
            if change.memory == Memory::Allocator {
                continue;
            }
            let entry = change.entry as usize;
            if self.places[shard].len() <= entry {
                self.places[shard].resize(entry + 1, Place { series: NONE, bytes: 0 });
            }
            if self.places[shard][entry].series == NONE {
                let Some(series) = self.series_of((change.memory, change.stack), room) else {
                    self.refused += 1;
                    continue;
                };
                self.places[shard][entry].series = series;
            }
            let place = &mut self.places[shard][entry];
            let held = &mut self.held[place.series as usize];
            *held = held.saturating_sub(place.bytes).saturating_add(change.outstanding.bytes);
            place.bytes = change.outstanding.bytes;
            self.stacks.change(place.series, *held);
        }
    }

    /// A launched program begins anew, in the place of its launcher: what that held is gone.
    fn forget(&mut self, shard: usize) {
        for place in std::mem::take(&mut self.places[shard]).into_iter().filter(|place| place.series != NONE) {
            let held = &mut self.held[place.series as usize];
            *held = held.saturating_sub(place.bytes);
            self.stacks.change(place.series, *held);
        }
    }

    fn series_of(&mut self, name: (Memory, u64), room: &mut usize) -> Option<u32> {
        if let Some(series) = self.find(name) {
            return Some(series);
        }
        *room = room.checked_sub(1)?;
        let series = self.names.len() as u32;
        self.names.push(name);
        self.held.push(0);
        let names = &self.names;
        self.by_name.insert_unique(hash(name), series, |&series| hash(names[series as usize]));
        Some(series)
    }

    fn find(&self, name: (Memory, u64)) -> Option<u32> {
        self.by_name.find(hash(name), |&series| self.names[series as usize] == name).copied()
    }

    fn with_memory(&mut self, sample: &Sample) -> Sample {
        let Some(reader) = &mut self.memory else { return *sample };
        let Ok(memory) = reader.read() else { return *sample };
        if let Some(reason) = reader.why_no_pss_once() {
            log::warn!("shared and private memory of process {} are not told apart: {reason}", self.pid);
        }
        let ProcessMemory { rss, anonymous, file, shmem, swap, minor_faults, major_faults, pss, uss } = memory;
        let sample = sample
            .with(Metric::Rss, rss)
            .with(Metric::Anonymous, anonymous)
            .with(Metric::File, file)
            .with(Metric::Shmem, shmem)
            .with(Metric::Swap, swap)
            .with(Metric::MinorFaults, minor_faults)
            .with(Metric::MajorFaults, major_faults);
        let sample = pss.map_or(sample, |pss| sample.with(Metric::Pss, pss));
        uss.map_or(sample, |uss| sample.with(Metric::Uss, uss))
    }

    fn with_limit(&mut self, sample: &Sample) -> Sample {
        if self.limit_read.is_due(self.now) {
            let began = Stopwatch::start();
            self.limit = memory_limit(self.pid);
            self.limit_read.took(self.now, nanoseconds(began.elapsed()));
        }
        let Some(limit) = self.limit else { return *sample };
        sample.with(Metric::LimitUse, limit.used).with(Metric::Limit, limit.bytes)
    }

    /// Takes in how old the blocks of each shard's entries are.
    pub(super) fn take_ages<'a>(&mut self, shards: impl Iterator<Item = &'a [Ages]>) {
        self.ages.clear();
        self.ages.resize(self.names.len(), Ages::default());
        for (places, ages) in self.places.iter().zip(shards) {
            for (place, &ages) in places.iter().zip(ages) {
                if let Some(sum) = self.ages.get_mut(place.series as usize) {
                    *sum += ages;
                }
            }
        }
    }

    /// Judges the process.
    pub(super) fn judge(&mut self, by_resident_set: bool) {
        let timeline = &self.timeline;
        let mut evidence = if by_resident_set { Evidence::by_resident_set(timeline) } else { Evidence::of(timeline) };
        evidence.ages = self.all_ages();
        for (&series, _) in self.matched.iter().filter(|(_, pattern)| pattern.is_some()) {
            let known = self.stacks.curve(series);
            match self.names[series as usize].0 {
                Memory::Heap => evidence.heap = evidence.heap.without(&known),
                Memory::Anonymous => evidence.mappings = evidence.mappings.map(|all| all.without(&known)),
                Memory::File => evidence.files = evidence.files.map(|all| all.without(&known)),
                Memory::ThreadStack => evidence.thread_stacks = evidence.thread_stacks.map(|all| all.without(&known)),
                _ => {}
            }
        }
        self.verdict = Some(judge(&evidence));
    }

    /// Whether it is said to grow.
    pub(super) fn grows(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.kind == Kind::Growing)
    }

    /// Judges the stacks that may grow.
    pub(super) fn rank(&mut self) {
        let ages = |series: u32| self.ages.get(series as usize).copied().filter(|ages| *ages != Ages::default());
        self.ranking = suspects(&self.stacks, ages, self.timeline.lost_share());
    }

    /// Stacks that grow and were not matched with the suppressions.
    pub(super) fn unmatched_suspects(&self) -> impl Iterator<Item = (Memory, u64)> {
        let unmatched = self.ranking.suspects.iter().filter(|suspect| !self.matched.contains_key(&suspect.stack));
        unmatched.filter_map(|suspect| self.names.get(suspect.stack as usize).copied())
    }

    /// The pattern of the suppressions that a stack has matched, if any.
    pub(super) fn matched(&mut self, name: (Memory, u64), pattern: Option<String>) {
        if let Some(series) = self.find(name) {
            self.matched.insert(series, pattern);
        }
    }

    /// Takes in how old is what each stack holds, by its name.
    pub(super) fn take_named_ages(&mut self, ages: impl Iterator<Item = ((Memory, u64), Ages)>) {
        self.ages.clear();
        self.ages.resize(self.names.len(), Ages::default());
        for (name, ages) in ages {
            if let Some(series) = self.find(name) {
                self.ages[series as usize] += ages;
            }
        }
    }

    fn all_ages(&self) -> Option<Ages> {
        let heap = self.names.iter().zip(&self.ages).filter(|((memory, _), _)| memory.is_outstanding());
        let mut all = Ages::default();
        heap.for_each(|(_, &ages)| all += ages);
        (all != Ages::default()).then_some(all)
    }

    /// All that a profile needs to know.
    pub(super) fn judgement(&self) -> Judgement {
        let mut stacks = FxHashMap::default();
        for suspect in &self.ranking.suspects {
            if let Some(&name) = self.names.get(suspect.stack as usize) {
                stacks.insert(name, suspect.verdict.clone());
            }
        }
        let mut largest: Vec<u32> = (0..self.names.len() as u32).collect();
        largest.sort_unstable_by_key(|&series| std::cmp::Reverse(self.held[series as usize]));
        for series in largest.into_iter().take(LARGEST) {
            let name = self.names[series as usize];
            stacks.entry(name).or_insert_with(|| {
                let ages = self.ages.get(series as usize).copied();
                judge(&Evidence::of_stack(self.stacks.curve(series), ages, self.timeline.lost_share()))
            });
        }
        Judgement {
            verdict: self.verdict.clone(),
            watched: float(self.now.saturating_sub(self.began)) / 1e9,
            limit: self.limit,
            over_time: self.over_time(),
            undecided: self.ranking.undecided,
            left_out: self.ranking.left_out,
            stacks,
            suppressed: self
                .matched
                .iter()
                .filter_map(|(&series, pattern)| Some((self.names[series as usize], pattern.clone()?)))
                .collect(),
        }
    }

    fn over_time(&self) -> OverTime {
        let bins = self.timeline.series(Metric::OutstandingBytes).bins();
        // What could not be read leaves a bin out.
        let resident: FxHashMap<u64, u64> =
            self.timeline.series(Metric::Rss).bins().iter().map(|bin| (bin.begin, whole(bin.mean()))).collect();
        OverTime {
            seconds: bins.iter().map(|bin| float(bin.begin.midpoint(bin.end)) / 1e9).collect(),
            outstanding_bytes: bins.iter().map(|bin| whole(bin.mean())).collect(),
            resident_bytes: bins.iter().map(|bin| resident.get(&bin.begin).copied().unwrap_or(0)).collect(),
        }
    }

    pub(super) const fn last(&self) -> &Sample {
        &self.last
    }

    pub(super) const fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    pub(super) const fn limit(&self) -> Option<MemoryLimit> {
        self.limit
    }

    /// Stacks that have a series.
    pub(super) const fn stacks(&self) -> usize {
        self.names.len()
    }

    /// Changes of stacks that have none.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let places: usize = self.places.iter().map(|places| places.capacity() * size_of::<Place>()).sum();
        let names = self.names.capacity() * size_of::<(Memory, u64)>() + self.held.capacity() * size_of::<u64>();
        let by_name = self.by_name.allocation_size();
        let ages = self.ages.capacity() * size_of::<Ages>();
        self.timeline.memory_bytes() + self.stacks.memory_bytes() + places + names + by_name + ages
    }
}

fn hash(name: (Memory, u64)) -> u64 {
    FxBuildHasher.hash_one(name)
}
