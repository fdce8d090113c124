//! Where the probes of a recording are: allocators found, attached to, and looked for again.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Attached, Session, SessionError};
use crate::{
    allocator::{DiscoverError, Family, Found, GO, discover_loader},
    kernel::{AttachError, Probes, Scope, Tally},
    live::{Key, Notice},
    process::Target,
};

/// How long an allocator is looked for in a process that has just begun to run a program.
const DISCOVERY: Duration = Duration::from_secs(2);

/// How long after the loader has told of libraries it is looked for allocators: it tells of each twice, and a program
/// that begins loads many.
pub(super) const LIBRARIES_SETTLE: Duration = Duration::from_millis(20);

/// Device and inode of a file, and whose functions in it: of the users' allocators, the name.
pub(super) type FileId = (u64, u64, Family, Option<Arc<str>>);

/// Where probes are.
#[derive(Default)]
pub(super) struct Probed {
    /// Files whose probes see every process that maps them, and what counts the calls.
    pub(super) everywhere: FxHashMap<FileId, Option<Tally>>,
    /// Programs in Go that the user has been told of.
    pub(super) go: FxHashSet<String>,
    /// Processes whose loader tells of libraries.
    pub(super) loaders: FxHashSet<(u32, FileId)>,
    /// Files with probes of one process, and what counts the calls.
    pub(super) by_process: FxHashMap<u32, FxHashMap<FileId, Option<Tally>>>,
    /// Processes whose allocator is still looked for, and until when.
    pub(super) wanted: FxHashMap<u32, Instant>,
    /// Processes that have loaded libraries, and when to look for allocators in those.
    pub(super) changed: FxHashMap<u32, Instant>,
    /// Processes whose probes went in after they had begun.
    pub(super) late: u64,
    /// Files whose probes went in after their process had loaded them.
    pub(super) late_libraries: u64,
}

impl Session {
    /// The named allocators of which nothing was found, each with its files.
    pub(super) fn missing(&self, found: &[Found]) -> Vec<(String, String)> {
        let missing = self.config.named.missing(found);
        missing.map(|allocator| (allocator.name.to_string(), allocator.files_text())).collect()
    }

    /// Attaches to a process while the recording goes on: it has an account once all of its probes are in.
    pub async fn attach_more(&mut self, target: &Target) -> Result<Attached, SessionError> {
        let pid = target.pid;
        let found = self.discover(pid)?;
        let (attached, tallies) = self.attach_files(pid, &found).inspect_err(|_| self.detach(pid))?;
        self.kernel.watch_faults(pid).inspect_err(|_| self.detach(pid))?;
        let mut key = None;
        for reader in &self.readers {
            key = Some(reader.begin(pid).await.ok_or(SessionError::ThreadDied)?);
        }
        let key = key.ok_or(SessionError::ThreadDied)?;
        self.known.processes.begin(key);
        self.tables.want_all(&self.known.processes.get(key).mappings);
        self.probes_are_in(key, &found, tallies);
        // At one instant for all of its probes.
        self.kernel.trace(pid)?;
        if target.has_ended().unwrap_or(true) {
            // Perhaps before its life was watched: then no record will tell.
            self.kernel.forget(pid);
            self.readers.iter().for_each(|reader| reader.exited(pid));
            self.take_in(Notice::Exited(pid));
            return Err(SessionError::Gone(pid));
        }
        Ok(Attached { missing: self.missing(&found), ..attached })
    }

    /// Takes out the probes of a process, and does not look for more.
    pub(super) fn detach(&mut self, pid: u32) {
        self.kernel.detach(pid);
        self.probed.by_process.remove(&pid);
        self.probed.loaders.retain(|&(other, _)| other != pid);
        self.probed.wanted.remove(&pid);
        self.probed.changed.remove(&pid);
    }

    pub(super) fn attach_found(&mut self, key: Key, found: &[Found]) -> Result<Attached, SessionError> {
        let (attached, tallies) = self.attach_files(key.pid, found)?;
        self.probes_are_in(key, found, tallies);
        Ok(attached)
    }

    /// Attaches to the allocators of a process; gives what counts the calls of each.
    fn attach_files(&mut self, pid: u32, found: &[Found]) -> Result<(Attached, Vec<Option<Tally>>), SessionError> {
        let mut attached = Attached { pid, files: Vec::new(), missing: Vec::new() };
        self.kernel.know_allocators(found)?;
        let mut tallies = Vec::with_capacity(found.len());
        for found in found {
            tallies.push(match file_id(found) {
                Some(id) => self.attach_file(pid, id, found, &mut attached.files)?,
                None => None,
            });
        }
        Ok((attached, tallies))
    }

    fn probes_are_in(&mut self, key: Key, found: &[Found], tallies: Vec<Option<Tally>>) {
        for (found, tally) in found.iter().zip(tallies) {
            self.known.processes.traced(key, found, tally);
        }
        self.attach_loader(key.pid);
    }

    /// Attaches to an allocator of a process, unless its probes are in; gives what counts the calls.
    fn attach_file(
        &mut self,
        pid: u32,
        id: FileId,
        found: &Found,
        attached: &mut Vec<(String, Probes)>,
    ) -> Result<Option<Tally>, AttachError> {
        let its = self.probed.by_process.entry(pid).or_default();
        if let Some(&tally) = self.probed.everywhere.get(&id).or_else(|| its.get(&id)) {
            return Ok(tally);
        }
        its.insert(id.clone(), None);
        let probes = self.kernel.attach(found, &self.planner.sites_in(pid, found), Scope::Process(pid))?;
        self.probed.by_process.entry(pid).or_default().insert(id, probes.tally);
        attached.push((file_name(found), probes));
        Ok(probes.tally)
    }

    /// The allocators that a process has mapped.
    pub(super) fn discover(&mut self, pid: u32) -> Result<Vec<Found>, DiscoverError> {
        let discovery = match self.config.named.join(pid, self.finder.discover(pid)) {
            // Page faults tell of its memory all the same.
            Err(error @ DiscoverError::NoAllocator { .. }) if self.config.kernel.growth => {
                log::info!("process {pid}: {error}");
                return Ok(Vec::new());
            }
            discovery => discovery?,
        };
        for file in discovery.go {
            if !self.config.kernel.growth && self.probed.go.insert(file.clone()) {
                log::warn!("process {pid}: {file} is {GO}");
            }
        }
        Ok(discovery.found)
    }

    /// Has the loader tell when libraries come and go: they may bring an allocator, and what was known of addresses does
    /// not hold any more.
    pub(super) fn attach_loader(&mut self, pid: u32) {
        let Some(loader) = discover_loader(pid) else { return };
        if !file_id(&loader).is_some_and(|id| self.probed.loaders.insert((pid, id))) {
            return;
        }
        let sites = self.planner.sites_in(pid, &loader);
        match self.kernel.attach(&loader, &sites, Scope::Process(pid)) {
            // What was loaded after the last look and before this probe, nobody tells of.
            Ok(_) => _ = self.probed.changed.insert(pid, Instant::now() + LIBRARIES_SETTLE),
            Err(error) => log::info!("process {pid}: libraries that come and go are not seen: {error}"),
        }
    }

    /// Attaches to the allocators that a process has loaded since it was last looked at.
    pub(super) fn attach_libraries(&mut self, pid: u32) -> Option<Attached> {
        if self.probed.wanted.contains_key(&pid) {
            return None; // it begins only now
        }
        let key = self.known.processes.current(pid)?;
        let attached = self.discover(pid).map_err(SessionError::from).and_then(|found| self.attach_found(key, &found));
        match attached {
            Ok(attached) if attached.files.is_empty() => None,
            Ok(attached) => {
                self.probed.late_libraries += attached.files.len() as u64;
                Some(attached)
            }
            Err(error) => {
                log::info!("process {pid}: libraries that it has loaded are not traced: {error}");
                None
            }
        }
    }

    pub(super) fn want(&mut self, pid: u32) -> Option<Attached> {
        self.probed.wanted.insert(pid, Instant::now() + DISCOVERY);
        self.try_attach(pid)
    }

    pub(super) fn try_attach(&mut self, pid: u32) -> Option<Attached> {
        let key = self.known.processes.current(pid)?;
        let attached = self.discover(pid).map_err(SessionError::from).and_then(|found| self.attach_found(key, &found));
        match attached {
            Ok(attached) => {
                self.probed.wanted.remove(&pid);
                if attached.files.is_empty() {
                    return None; // its probes were in before it began
                }
                self.probed.late += 1;
                Some(attached)
            }
            Err(error) => {
                let is_over = self.probed.wanted.get(&pid).is_none_or(|&until| Instant::now() > until);
                let is_gone = matches!(&error, SessionError::Attach(error) if error.is_process_gone());
                if is_over || is_gone {
                    self.probed.wanted.remove(&pid);
                    log::warn!("process {pid} is not traced: {error}");
                }
                None
            }
        }
    }
}

pub(super) fn file_id(found: &Found) -> Option<FileId> {
    let metadata = fs::metadata(&found.path_to_attach).ok()?;
    Some((metadata.dev(), metadata.ino(), found.family, found.named.clone()))
}

pub(super) fn file_name(found: &Found) -> String {
    Path::new(&found.display).file_name().map_or_else(|| found.display.clone(), |name| name.to_string_lossy().into())
}
