//! What a session does about what the rings tell of stacks and processes.

use std::time::{Duration, Instant};

use super::{Attached, Session, probing::LIBRARIES_SETTLE};
use crate::live::Notice;

/// How often at most a process is read again because a stack has an unknown address: code made at run time never
/// becomes known.
const REREAD: Duration = Duration::from_millis(200);

impl Session {
    /// Takes in a notice; gives what was attached because of it.
    pub fn take_in(&mut self, notice: Notice) -> Option<Attached> {
        match notice {
            Notice::Stack { pid, ref frames, .. } => {
                let unknown = frames.iter().any(|&address| !self.known.processes.is_mapped(pid, address));
                self.known.is_stale |= unknown;
                self.reread_stale();
                self.known.take_in(notice);
                None
            }
            Notice::Forked { child: key, .. } | Notice::Program(key) => {
                self.known.take_in(notice);
                // What is mapped already need not wait until a stack leads there.
                self.tables.want_all(&self.known.processes.get(key).mappings);
                self.want(key.pid)
            }
            Notice::Libraries(pid) => {
                self.probed.changed.entry(pid).or_insert_with(|| Instant::now() + LIBRARIES_SETTLE);
                None
            }
            Notice::Wanted { pid, file, address } => {
                log::debug!("process {pid} runs {file:?} at {address:#x}, which has no table yet");
                self.known.processes.refresh();
                self.unseen.push((pid, file));
                self.want_tables();
                None
            }
            Notice::Remains(remains) => {
                if self.known.keep_unfinished(*remains) {
                    self.refresh();
                }
                None
            }
            Notice::Exited(pid) => {
                // It may be the last moment at which its mappings can be read.
                self.known.finish_stacks(&self.tables);
                self.known.take_in(notice);
                self.detach(pid);
                None
            }
        }
    }

    /// Looks at what is mapped where a stack has led, but not too often.
    fn reread_stale(&mut self) {
        if self.known.is_stale && self.known.reread.elapsed() > REREAD {
            self.known.processes.refresh();
            self.known.reread = Instant::now();
            self.known.is_stale = false;
        }
    }

    /// Looks again for what was not there: the allocators of processes that have just begun, and what is mapped where a
    /// stack has led. Gives what was attached.
    pub fn look_again(&mut self) -> Vec<Attached> {
        self.reread_stale();
        let wanted: Vec<u32> = self.probed.wanted.keys().copied().collect();
        let mut attached: Vec<Attached> = wanted.into_iter().filter_map(|pid| self.try_attach(pid)).collect();
        let now = Instant::now();
        let due: Vec<u32> = self.probed.changed.extract_if(|_, &mut due| due <= now).map(|(pid, _)| pid).collect();
        attached.extend(due.into_iter().filter_map(|pid| self.attach_libraries(pid)));
        attached
    }

    /// Reads again what the processes have mapped.
    pub fn refresh(&mut self) {
        self.known.processes.refresh();
        self.want_tables();
        self.known.finish_stacks(&self.tables);
        if self.tables.is_tight() {
            self.tables.drop_unused(self.known.processes.used_files());
        }
    }

    /// Asks for the tables of files that stacks have led to.
    fn want_tables(&mut self) {
        let Self { unseen, known, tables, .. } = self;
        unseen.retain(|&(pid, file)| match known.processes.file(file) {
            Some(mapped) => {
                tables.want(file, mapped);
                false
            }
            None => known.processes.current(pid).is_some(),
        });
    }
}
