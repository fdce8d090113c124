//! What the traced processes hold over time, and the verdicts on it.
//!
//! ```text
//! readers: sums, changed stacks ─┐
//! /proc: memory, control group ──┴─> timelines ─> verdicts
//! readers: ages, now and then ──────────────────────┘
//! ```

mod judgement;
mod watched;

use std::{collections::BTreeMap, time::Duration};

use nix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

pub(super) use judgement::Judgement;

use self::watched::Watched;
use super::{cpu::Stopwatch, reader::Reader};
use crate::{
    live::{AgesOf, Key, ShardSample, Summary},
    profile::{Memory, MemoryLimit},
    timeline::{Clock, Reading, Sample, StacksTimeline, Thrift, Tick, Timeline},
    verdict::{Evidence, Verdict, judge},
};

/// Processes with a timeline at one time, 700 KiB each when they are full.
const PROCESSES: usize = 256;

/// Of a CPU's time, one part in so many is what each of three things takes at most: to look at the stacks, at the ages of
/// blocks, and to judge stacks. With what processes take it is 1 % of a program that keeps a CPU busy.
const STACKS_SHARE: u64 = 500;

/// Judgements on processes that have ended, at most.
const ENDED: usize = 1024;

/// What is outstanding over time, for every traced process.
pub(super) struct Timelines {
    interval: u64,
    clock: Clock,
    now: Tick,
    of: BTreeMap<Key, Watched>,
    /// Of processes that have ended and whose series had to make room: the last word.
    ended: BTreeMap<Key, Judgement>,
    /// All processes together, from the moment on when there was more than one.
    family: Option<Timeline>,
    family_verdict: Option<Verdict>,
    /// Series of stacks that there is still room for.
    room: usize,
    /// Processes for which there was none.
    refused: u64,
    /// Whether verdicts go by resident memory, since it is not known exactly what is outstanding.
    by_resident_set: bool,
    /// Whether there is known growth.
    suppresses: bool,
    ages: Ages,
    judged: Thrift,
    /// When stacks are looked at, and
    stacks: Thrift,
    /// when verdicts are made of them.
    ranked: Thrift,
    cost: Duration,
}

/// How old what is outstanding is: asked for now and then.
#[derive(Default)]
struct Ages {
    thrift: Thrift,
    asked: Vec<oneshot::Receiver<(AgesOf, Duration)>>,
    answers: Vec<AgesOf>,
    cost: Duration,
}

impl Timelines {
    /// For samples taken every `interval`; with known growth, which is asked for before it is said that anything grows.
    pub(super) fn new(interval: Duration, suppresses: bool) -> Self {
        let interval = nanoseconds(interval).max(1);
        Self {
            interval,
            clock: Clock::new(interval),
            now: Tick { at: 0, gap: None },
            of: BTreeMap::new(),
            ended: BTreeMap::new(),
            family: None,
            family_verdict: None,
            room: StacksTimeline::STACKS,
            refused: 0,
            by_resident_set: false,
            suppresses,
            ages: Ages { thrift: Thrift::new(STACKS_SHARE), ..Ages::default() },
            judged: Thrift::default(),
            stacks: Thrift::new(STACKS_SHARE),
            ranked: Thrift::new(STACKS_SHARE),
            cost: Duration::ZERO,
        }
    }

    /// From now on what is outstanding is not known exactly: verdicts go by resident memory.
    pub(super) const fn go_by_resident_set(&mut self) {
        self.by_resident_set = true;
    }

    /// Whether the next sample is to tell of stacks: it does unless there are so many that it costs too much.
    pub(super) const fn wants_stacks(&self) -> bool {
        self.stacks.is_due(self.now.at.saturating_add(self.interval))
    }

    /// Takes in what is held now: one sample of each ring, with the number of events lost so far.
    pub(super) fn take_in(&mut self, shards: Vec<ShardSample>, lost: u64) {
        let began = Stopwatch::start();
        self.now = self.clock.tick(reading());
        let events = shards.iter().map(|shard| shard.events).sum();
        let is_with_stacks = shards.iter().flat_map(|shard| &shard.accounts).any(|account| !account.changes.is_empty());
        // What it takes to tell of stacks, and to take that in.
        let (mut told, mut stacks) = (Duration::ZERO, Duration::ZERO);
        let mut samples: BTreeMap<Key, Vec<_>> = BTreeMap::new();
        for (shard, sample) in shards.into_iter().enumerate() {
            told += sample.cost;
            for account in sample.accounts {
                samples.entry(account.key).or_default().push((shard, account));
            }
        }
        for (key, watched) in &mut self.of {
            watched.is_over |= !samples.contains_key(key);
        }
        for (key, shards) in samples {
            if !self.of.contains_key(&key) {
                self.make_room();
                if self.of.len() >= PROCESSES {
                    self.refused += 1;
                    continue;
                }
                self.of.insert(key, Watched::new(key.pid, self.interval, self.now.at));
            }
            if let Some(watched) = self.of.get_mut(&key) {
                stacks += watched.take_in(self.now, shards, (events, lost), &mut self.room);
            }
        }
        if is_with_stacks {
            self.stacks.took(self.now.at, nanoseconds(told + stacks));
        }
        self.take_in_family();
        self.judge();
        self.cost += told + began.elapsed();
    }

    /// Has a process that has ended, the earliest, make room for one that begins.
    fn make_room(&mut self) {
        if self.of.len() < PROCESSES && self.room > StacksTimeline::STACKS / 10 {
            return;
        }
        let over = self.of.iter().find(|(_, watched)| watched.is_over).map(|(&key, _)| key);
        let Some((key, mut watched)) = over.and_then(|key| self.of.remove_entry(&key)) else { return };
        watched.judge(self.by_resident_set);
        watched.rank();
        self.room += watched.stacks();
        if self.ended.len() < ENDED {
            self.ended.insert(key, watched.judgement());
        } else {
            self.refused += 1;
        }
    }

    /// Asks for ages when it is time, and takes in what was answered.
    pub(super) fn look_at_ages(&mut self, readers: &[Reader]) {
        self.take_ages();
        if self.ages.asked.is_empty() && self.ages.thrift.is_due(self.now.at) {
            self.ages.answers.clear();
            self.ages.cost = Duration::ZERO;
            self.ages.asked = readers.iter().map(Reader::ages).collect();
        }
    }

    /// What is known of how the process `key` grows.
    pub(super) fn judgement(&self, key: Key) -> Option<Judgement> {
        self.of.get(&key).map(Watched::judgement).or_else(|| self.ended.get(&key).cloned())
    }

    /// The last sample of each process that runs, with the verdict on it.
    pub(super) fn current(&self) -> impl Iterator<Item = (Key, &Sample, Option<&Verdict>)> {
        self.alive().map(|(&key, watched)| (key, watched.last(), watched.verdict()))
    }

    fn alive(&self) -> impl Iterator<Item = (&Key, &Watched)> {
        self.of.iter().filter(|(_, watched)| !watched.is_over)
    }

    /// Stacks that grow and were not matched with the suppressions.
    pub(super) fn unmatched_suspects(&self) -> Vec<(Key, (Memory, u64))> {
        let of = |(&key, watched): (&Key, &Watched)| {
            watched.unmatched_suspects().map(|name| (key, name)).collect::<Vec<_>>()
        };
        self.of.iter().flat_map(of).collect()
    }

    /// The pattern that a stack has matched, if any.
    pub(super) fn matched(&mut self, key: Key, name: (Memory, u64), pattern: Option<String>) {
        if let Some(watched) = self.of.get_mut(&key) {
            watched.matched(name, pattern);
        }
    }

    /// All processes together, when there are or were several.
    pub(super) fn family(&self) -> Option<(&Timeline, Option<&Verdict>)> {
        self.family.as_ref().map(|family| (family, self.family_verdict.as_ref()))
    }

    /// The control group's limit for a process, or the machine's.
    pub(super) fn limit(&self, key: Key) -> Option<MemoryLimit> {
        self.of.get(&key).and_then(Watched::limit)
    }

    /// Takes in the ages of a summary that has them.
    pub(super) fn take_ages_of(&mut self, summary: &Summary) {
        for account in &summary.accounts {
            let Some(watched) = self.of.get_mut(&account.key) else { continue };
            let named = account.stacks.iter().filter_map(|stack| Some(((stack.memory, stack.stack), stack.ages?)));
            watched.take_named_ages(named);
        }
    }

    /// Judges everybody anew, stacks too.
    pub(super) fn judge_all(&mut self) {
        let began = Stopwatch::start();
        for watched in self.of.values_mut() {
            watched.judge(self.by_resident_set);
            watched.rank();
        }
        self.judge_family();
        self.cost += began.elapsed();
    }

    /// The moment of the last sample, and what lies before it.
    pub(super) const fn now(&self) -> Tick {
        self.now
    }

    /// Bytes of memory that series take now.
    pub(super) fn memory_bytes(&self) -> usize {
        let family = self.family.as_ref().map_or(0, Timeline::memory_bytes);
        family + self.of.values().map(Watched::memory_bytes).sum::<usize>()
    }

    /// What series and verdicts have cost, in CPU time.
    pub(super) const fn cost(&self) -> Duration {
        self.cost
    }

    /// Processes and stacks without a series, since there was no room.
    pub(super) fn refused(&self) -> u64 {
        self.refused + self.of.values().map(Watched::refused).sum::<u64>()
    }

    /// Verdicts at each sample, but no more often than is cheap: there can be many processes, and there are many stacks.
    fn judge(&mut self) {
        if self.judged.is_due(self.now.at) {
            let began = Stopwatch::start();
            let alive = self.of.values_mut().filter(|watched| !watched.is_over);
            for watched in alive {
                watched.judge(self.by_resident_set);
                // What is said to grow may be known to: that is found out before anybody acts on it.
                if self.suppresses && watched.grows() {
                    watched.rank();
                }
            }
            self.judge_family();
            self.judged.took(self.now.at, nanoseconds(began.elapsed()));
        }
        if self.ranked.is_due(self.now.at) {
            let began = Stopwatch::start();
            self.of.values_mut().filter(|watched| !watched.is_over).for_each(Watched::rank);
            self.ranked.took(self.now.at, nanoseconds(began.elapsed()));
        }
    }

    fn take_in_family(&mut self) {
        let members: Vec<Sample> = self.alive().map(|(_, watched)| *watched.last()).collect();
        if members.len() > 1 && self.family.is_none() {
            self.family = Some(Timeline::new(Timeline::BINS, self.interval));
        }
        let Some(family) = &mut self.family else { return };
        // Whoever has just come or gone is seen in the sum: no gap.
        family.push(self.now, &Sample::family(&members));
    }

    fn judge_family(&mut self) {
        let Some(family) = &self.family else { return };
        let evidence = if self.by_resident_set { Evidence::by_resident_set(family) } else { Evidence::of(family) };
        self.family_verdict = Some(judge(&evidence));
    }

    fn take_ages(&mut self) {
        let Ages { asked, answers, cost, thrift } = &mut self.ages;
        asked.retain_mut(|answer| match answer.try_recv() {
            Ok((ages, took)) => {
                answers.push(ages);
                *cost += took;
                false
            }
            Err(error) => error == oneshot::error::TryRecvError::Empty,
        });
        if !asked.is_empty() || answers.is_empty() {
            return;
        }
        thrift.took(self.now.at, nanoseconds(*cost));
        self.cost += *cost;
        let answers = std::mem::take(answers);
        for (&key, watched) in &mut self.of {
            watched.take_ages(answers.iter().map(|ages| ages.get(&key).map_or(&[][..], Vec::as_slice)));
        }
    }
}

/// The clocks that a timeline goes by.
fn reading() -> Reading {
    let read = |clock| clock_gettime(clock).map(Duration::from).map_or(0, nanoseconds);
    Reading { monotonic: read(ClockId::CLOCK_MONOTONIC), boot: read(ClockId::CLOCK_BOOTTIME) }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
