//! What one ring tells, applied in its order.

use std::time::Duration;

use rustc_hash::FxHashMap;

use heaptide_common::{
    record::{Fork, Head, flag},
    sampling::Counts,
};

use super::{
    Moment,
    account::{Account, Tally},
    grain::Choice,
    notice::{Notice, Remains},
    sample::ShardSample,
    summary::{AccountSummary, Key, Summary},
    survey::{AgeScan, AgesOf, Look},
};
use crate::{profile::End, ring::Event, stacks::Marks};

/// What bounds a shard.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most live blocks.
    pub max_live: u64,
    /// Whether forked children are traced.
    pub follow: bool,
    /// Whether blocks can stand for others, which are not recorded.
    pub sampled: bool,
    /// Whether only the growth of memory is recorded.
    pub growth: bool,
}

/// How the trace of a process begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It was running.
    Attached,
    /// It is about to run the program that will be recorded.
    Launched,
}

enum State {
    Open(Box<Account>),
    Closed(Box<AccountSummary>),
}

/// The accounts that one ring tells of.
pub struct Shard {
    limits: Limits,
    /// Memory younger than this many nanoseconds is not shown.
    older: u64,
    accounts: Vec<State>,
    /// The open account of each process.
    open: FxHashMap<u32, usize>,
    /// The newest account of each process.
    newest: FxHashMap<u32, usize>,
    /// Processes that share the memory of another until they run a program of their own.
    guests: FxHashMap<u32, u32>,
    generations: FxHashMap<u32, u32>,
    tally: Tally,
    /// When marks were set, oldest first.
    marks: Vec<Moment>,
    events: u64,
}

impl Shard {
    /// A shard without processes; memory younger than `older` nanoseconds will not be shown.
    #[must_use]
    pub fn new(limits: Limits, older: u64) -> Self {
        Self {
            limits,
            older,
            accounts: Vec::new(),
            open: FxHashMap::default(),
            newest: FxHashMap::default(),
            guests: FxHashMap::default(),
            generations: FxHashMap::default(),
            tally: Tally { max_live: limits.max_live, ..Tally::default() },
            marks: Vec::new(),
            events: 0,
        }
    }

    /// Opens the account of a process that is traced from now on; gives its name.
    pub fn begin(&mut self, pid: u32, start: Start) -> Key {
        let key = self.next_key(pid);
        let mut account = self.account(key, None);
        account.is_launcher = start == Start::Launched;
        self.push(account);
        key
    }

    /// Applies an event; gives what others must know of it.
    pub fn apply(&mut self, event: &Event<'_>) -> Option<Notice> {
        self.events += 1;
        match event {
            Event::Allocation(record) => {
                self.with(&record.head, |account, tally| account.allocate(record, Choice::ALL, tally));
            }
            Event::Sampled(record) => {
                let (block, choice) = (&record.allocation, Choice { interval: record.interval, pulse: record.pulse });
                self.with(&block.head, |account, tally| account.allocate(block, choice, tally));
            }
            Event::Counted(record) => self.count(record.head.pid, record.counts),
            Event::Release(record) => {
                self.with(&record.head, |account, tally| account.release(&record.head, record.address, tally));
            }
            Event::ResizeBegin(record) => {
                self.with(&record.head, |account, tally| account.begin_resize(&record.head, record.address, tally));
            }
            Event::ResizeEnd(record) => self.with(&record.head, |account, tally| {
                let succeeded = record.head.flags & flag::SUCCEEDED != 0;
                account.end_resize(&record.head, record.address, succeeded, tally);
            }),
            Event::Map(record) => self.with(&record.head, |account, tally| account.map(record, tally)),
            Event::UnmapBegin(record) | Event::RemapBegin(record) => {
                self.with(&record.head, |account, tally| account.begin_unmap(record, tally));
            }
            Event::UnmapEnd(record) => {
                self.with(&record.head, |account, tally| account.end_unmap(&record.head, tally));
            }
            Event::RemapEnd(record) => self.with(&record.head, |account, tally| account.end_remap(record, tally)),
            Event::Fault(record) => self.with(&record.head, |account, tally| account.fault(record, tally)),
            Event::Break(record) => self.with(&record.head, |account, tally| account.move_break(record, tally)),
            Event::Stack(record, frames) => {
                return Some(Notice::Stack {
                    pid: record.head.pid,
                    id: record.id,
                    frames: frames.iter().collect(),
                    marks: Marks::of(record.head.flags),
                });
            }
            Event::Remainder(record, memory) => {
                let remains = Remains::read(record, memory);
                self.tally.unmatched.undecodable += u64::from(remains.is_none());
                return remains.map(Box::new).map(Notice::Remains);
            }
            Event::Fork(record) => return self.fork(record),
            Event::Exec(head) => return self.exec(head),
            Event::Exit(head) => return self.exit(head.pid, Moment::from_nanoseconds(head.time)),
            Event::Libraries(head) => return Some(Notice::Libraries(head.pid)),
            Event::Wanted(record) => {
                return Some(Notice::Wanted { pid: record.head.pid, file: record.file, address: record.address });
            }
        }
        None
    }

    /// Counts a record that is no event.
    pub const fn skip(&mut self) {
        self.events += 1;
        self.tally.unmatched.undecodable += 1;
    }

    /// Adds what a thread of process `pid` has done, recorded or not. The process may have ended just before.
    pub fn count(&mut self, pid: u32, counts: Counts) {
        let pid = *self.guests.get(&pid).unwrap_or(&pid);
        match self.newest.get(&pid).map(|&index| &mut self.accounts[index]) {
            Some(State::Open(account)) => account.counts += counts,
            Some(State::Closed(summary)) => summary.counts += counts,
            // What is not traced, or not any more, has no account.
            None => {}
        }
    }

    /// Outstanding bytes of all processes that run; of growth, those that were touched and are still there.
    #[must_use]
    pub fn outstanding_bytes(&self) -> u64 {
        let open = self.open.values().map(|&index| &self.accounts[index]);
        open.map(|state| match state {
            State::Open(account) if self.limits.growth => account.ledger.resident().bytes,
            State::Open(account) => account.ledger.outstanding().bytes,
            State::Closed(_) => 0,
        })
        .fold(0, u64::saturating_add)
    }

    /// From now on blocks count after these marks, oldest first.
    pub fn set_marks(&mut self, marks: Vec<Moment>) {
        self.marks = marks;
    }

    /// Whether an account holds more than ever: that is kept.
    pub fn look_for_peaks(&mut self) {
        for &index in self.open.values() {
            if let State::Open(account) = &mut self.accounts[index] {
                account.look_closely_for_peak();
            }
        }
    }

    /// What the open accounts hold, and the `stacks` that changed since they were last asked for.
    pub fn sample(&mut self, stacks: bool) -> ShardSample {
        let mut indexes: Vec<usize> = self.open.values().copied().collect();
        indexes.sort_unstable();
        let mut accounts = Vec::with_capacity(indexes.len());
        for index in indexes {
            if let State::Open(account) = &mut self.accounts[index] {
                accounts.push(account.sample(stacks));
            }
        }
        ShardSample { accounts, events: self.events, cost: Duration::ZERO }
    }

    /// Begins to look at the ages of all blocks.
    #[must_use]
    pub fn begin_age_scan(&self, now: Moment) -> AgeScan {
        let open = self.open.values().filter_map(|&index| match &self.accounts[index] {
            State::Open(account) => Some((index, account.key)),
            State::Closed(_) => None,
        });
        AgeScan { now, accounts: open.collect(), part: 0, ages: FxHashMap::default() }
    }

    /// Looks at the next part of the blocks; gives the ages when it was the last.
    pub fn scan_ages(&self, scan: &mut AgeScan) -> Option<AgesOf> {
        let Some(&(index, key)) = scan.accounts.last() else { return Some(self.ages_of(scan)) };
        let mut ages = scan.ages.remove(&key).unwrap_or_default();
        let is_done = match &self.accounts[index] {
            State::Open(account) if account.key == key => account.scan_ages(scan.part, scan, &mut ages),
            _ => true,
        };
        scan.ages.insert(key, ages);
        scan.part += 1;
        if is_done {
            scan.accounts.pop();
            scan.part = 0;
        }
        scan.accounts.is_empty().then(|| self.ages_of(scan))
    }

    fn ages_of(&self, scan: &mut AgeScan) -> AgesOf {
        let rounded = |(key, ages): (Key, Vec<[u64; 5]>)| match self.account_of(key) {
            Some(account) => (key, ages.into_iter().map(|bytes| account.rounded_ages(bytes)).collect()),
            None => (key, Vec::new()),
        };
        std::mem::take(&mut scan.ages).into_iter().map(rounded).collect()
    }

    fn account_of(&self, key: Key) -> Option<&Account> {
        match &self.accounts[*self.open.get(&key.pid)?] {
            State::Open(account) if account.key == key => Some(account),
            _ => None,
        }
    }

    /// What is known at `now`, with what living threads have done, recorded or not, and with how old it is if `ages` are
    /// wanted.
    #[must_use]
    pub fn summary(&self, now: Moment, counts: &[(u32, Counts)], ages: bool) -> Summary {
        let look = Look { now, older: self.older, marks: &self.marks, ages };
        let accounts = self.accounts.iter().map(|state| match state {
            State::Open(account) => account.summary(look, None),
            State::Closed(summary) => (**summary).clone(),
        });
        let mut accounts: Vec<AccountSummary> = accounts.collect();
        for &(pid, counts) in counts {
            let pid = self.guests.get(&pid).unwrap_or(&pid);
            if let Some(&index) = self.newest.get(pid) {
                accounts[index].counts += counts;
            }
        }
        Summary { accounts, unmatched: self.tally.unmatched, refused: self.tally.refused, events: self.events }
    }

    /// The last word, at `now`: calls that had not returned have not succeeded.
    #[must_use]
    pub fn finish(mut self, now: Moment, counts: &[(u32, Counts)]) -> Summary {
        for state in &mut self.accounts {
            if let State::Open(account) = state {
                account.settle(&mut self.tally);
            }
        }
        self.look_for_peaks();
        self.summary(now, counts, true)
    }

    fn account(&self, key: Key, forked_from: Option<u32>) -> Account {
        Account::new(key, forked_from, self.limits.sampled, self.limits.growth)
    }

    fn with(&mut self, head: &Head, change: impl FnOnce(&mut Account, &mut Tally)) {
        let pid = if self.guests.is_empty() { head.pid } else { *self.guests.get(&head.pid).unwrap_or(&head.pid) };
        match self.open.get(&pid).map(|&index| &mut self.accounts[index]) {
            Some(State::Open(account)) => change(account, &mut self.tally),
            _ => self.tally.unmatched.processes += 1,
        }
    }

    fn fork(&mut self, fork: &Fork) -> Option<Notice> {
        let parent = *self.guests.get(&fork.head.pid).unwrap_or(&fork.head.pid);
        if fork.head.flags & flag::SHARES_MEMORY != 0 {
            self.guests.insert(fork.child, parent);
            self.tally.unmatched.guests += 1;
            return None;
        }
        if !self.limits.follow {
            return None;
        }
        let key = self.next_key(fork.child);
        let child = match self.open.get(&parent).map(|&index| &self.accounts[index]) {
            Some(State::Open(account)) => account.fork(key, &mut self.tally),
            _ => self.account(key, Some(parent)),
        };
        self.add(child, &fork.head);
        Some(Notice::Forked { parent, child: key })
    }

    fn exec(&mut self, head: &Head) -> Option<Notice> {
        if let Some(parent) = self.guests.remove(&head.pid) {
            if !self.limits.follow {
                return None;
            }
            let key = self.next_key(head.pid);
            self.add(self.account(key, Some(parent)), head);
            return Some(Notice::Program(key));
        }
        let index = *self.open.get(&head.pid)?;
        let State::Open(account) = &mut self.accounts[index] else { return None };
        if account.is_launcher {
            account.close(&mut self.tally);
            **account = Account::new(account.key, None, self.limits.sampled, self.limits.growth);
            return Some(Notice::Program(account.key));
        }
        self.close(index, Moment::from_nanoseconds(head.time), End::Replaced);
        let key = self.next_key(head.pid);
        self.add(self.account(key, None), head);
        Some(Notice::Program(key))
    }

    /// A process has ended, `now`: a record has told, or it ended before records told of its life.
    pub fn exit(&mut self, pid: u32, now: Moment) -> Option<Notice> {
        self.guests.remove(&pid);
        let index = self.open.remove(&pid)?;
        self.close(index, now, End::Exited);
        Some(Notice::Exited(pid))
    }

    fn close(&mut self, index: usize, now: Moment, end: End) {
        let State::Open(account) = &mut self.accounts[index] else { return };
        account.look_closely_for_peak();
        let look = Look { now, older: self.older, marks: &self.marks, ages: true };
        let summary = account.summary(look, Some(end));
        account.close(&mut self.tally);
        self.accounts[index] = State::Closed(Box::new(summary));
    }

    /// Opens an account that begins with `head`. One that is open still under the same pid has ended: its exit was lost.
    fn add(&mut self, account: Account, head: &Head) {
        self.guests.remove(&account.key.pid);
        if let Some(&forgotten) = self.open.get(&account.key.pid) {
            self.close(forgotten, Moment::from_nanoseconds(head.time), End::Exited);
        }
        self.push(account);
    }

    fn push(&mut self, account: Account) {
        self.open.insert(account.key.pid, self.accounts.len());
        self.newest.insert(account.key.pid, self.accounts.len());
        self.accounts.push(State::Open(Box::new(account)));
    }

    fn next_key(&mut self, pid: u32) -> Key {
        let next = self.generations.entry(pid).or_insert(0);
        let key = Key { pid, generation: *next };
        *next += 1;
        key
    }
}
