//! The perf maps of traced processes: found while they live, read when names are asked for or when they end.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::{
    live::Key,
    process::{PerfMap, PerfMapPlace, Roots},
};

/// Most bytes of maps that are kept for processes that have ended.
const MOST_KEPT: usize = 256 << 20;

/// Most processes that one map is followed through, from child to parent.
const MOST_FORKS: usize = 16;

/// What tells one state of a map from a later one: device, inode, size, and time of the last change.
type Stamp = (u64, u64, u64, i64, i64);

/// All that is known of perf maps.
#[derive(Default)]
pub(super) struct PerfMaps {
    roots: Roots,
    living: FxHashMap<Key, Living>,
    /// Of processes that have ended. Empty ones are not kept.
    ended: FxHashMap<Key, Arc<PerfMap>>,
    kept_bytes: usize,
    /// Who was forked from whom.
    parents: FxHashMap<Key, Key>,
}

/// A process that may still write its map.
struct Living {
    place: PerfMapPlace,
    /// Open, so that it can be read also when the process's file systems went with it.
    file: Option<File>,
    read: Option<(Stamp, Arc<PerfMap>)>,
}

impl PerfMaps {
    /// A process, or a program that it runs, is traced from now on.
    pub(super) fn begin(&mut self, key: Key) {
        if let Some(place) = PerfMapPlace::of(key.pid, &mut self.roots) {
            self.living.insert(key, Living { place, file: None, read: None });
        }
    }

    /// A process was forked: the code that its parent has made is its own, too.
    pub(super) fn forked(&mut self, parent: Key, child: Key) {
        self.parents.insert(child, parent);
        self.begin(child);
    }

    /// Looks whether a living process has a map by now.
    pub(super) fn look(&mut self, key: Key) {
        if let Some(living) = self.living.get_mut(&key)
            && living.file.is_none()
        {
            living.open(key);
        }
    }

    /// A process has ended, or runs another program: what its map says now stays.
    pub(super) fn end(&mut self, key: Key) {
        let Some(mut living) = self.living.remove(&key) else { return };
        let Some(map) = living.map(key) else { return };
        if self.kept_bytes + map.size() > MOST_KEPT {
            log::warn!("the perf map of process {} is not kept: there are too many; its code has no names", key.pid);
            return;
        }
        self.kept_bytes += map.size();
        self.ended.insert(key, map);
    }

    /// The maps with names for code that process `key` runs, best first.
    pub(super) fn of(&mut self, key: Key) -> Vec<Arc<PerfMap>> {
        let family = std::iter::successors(Some(key), |key| self.parents.get(key).copied());
        let family: Vec<Key> = family.take(MOST_FORKS).collect();
        family.into_iter().filter_map(|key| self.own(key)).collect()
    }

    fn own(&mut self, key: Key) -> Option<Arc<PerfMap>> {
        match self.living.get_mut(&key) {
            Some(living) => living.map(key),
            None => self.ended.get(&key).cloned(),
        }
    }
}

impl Living {
    /// Opens the map that the process has now. One that was opened before stays when there is none any more.
    fn open(&mut self, key: Key) {
        match self.place.open() {
            Ok(file) => self.file = Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => log::debug!("the perf map of process {} is not used: {error}", key.pid),
        }
    }

    fn map(&mut self, key: Key) -> Option<Arc<PerfMap>> {
        self.open(key);
        let file = self.file.as_ref()?;
        let metadata = file.metadata().ok()?;
        let stamp = (metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        if let Some((read, map)) = &self.read
            && *read == stamp
        {
            return Some(Arc::clone(map));
        }
        let map = PerfMap::read(file).inspect_err(|error| {
            log::warn!("the perf map of process {} cannot be read: {error}; its code has no names", key.pid);
        });
        let map = Arc::new(map.ok()?);
        self.read = Some((stamp, Arc::clone(&map)));
        Some(map)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::{Child, Command};

    use super::*;

    /// A process, and the map that it could have written. Removed with it.
    struct Writer {
        child: Child,
        path: PathBuf,
    }

    impl Writer {
        fn new() -> Self {
            let child = Command::new("sleep").arg("100").spawn().unwrap();
            let path = PathBuf::from(format!("/tmp/perf-{}.map", child.id()));
            Self { child, path }
        }

        fn key(&self) -> Key {
            Key { pid: self.child.id(), generation: 0 }
        }

        fn end(&mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }

    impl Drop for Writer {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = fs::remove_file(&self.path);
        }
    }

    fn name(maps: &mut PerfMaps, key: Key, address: u64) -> Option<String> {
        maps.of(key).iter().find_map(|map| map.find(address).map(|(name, _)| name.to_owned()))
    }

    #[test]
    fn a_map_that_grows_is_read_again() {
        let writer = Writer::new();
        let mut maps = PerfMaps::default();
        maps.begin(writer.key());
        assert_eq!(name(&mut maps, writer.key(), 0x1000), None);
        fs::write(&writer.path, "1000 10 first\n").unwrap();
        assert_eq!(name(&mut maps, writer.key(), 0x1000).as_deref(), Some("first"));
        fs::write(&writer.path, "1000 10 first\n1000 10 second\n").unwrap();
        assert_eq!(name(&mut maps, writer.key(), 0x1000).as_deref(), Some("second"));
    }

    #[test]
    fn the_map_of_a_process_that_has_ended_stays_as_it_was() {
        let mut writer = Writer::new();
        let mut maps = PerfMaps::default();
        maps.begin(writer.key());
        fs::write(&writer.path, "1000 10 first\n").unwrap();
        writer.end();
        maps.end(writer.key());
        fs::write(&writer.path, "1000 10 another\n").unwrap();
        assert_eq!(name(&mut maps, writer.key(), 0x1000).as_deref(), Some("first"));
    }

    #[test]
    fn a_map_that_was_seen_is_read_when_it_is_deleted() {
        let mut writer = Writer::new();
        let mut maps = PerfMaps::default();
        maps.begin(writer.key());
        fs::write(&writer.path, "1000 10 first\n").unwrap();
        maps.look(writer.key());
        fs::remove_file(&writer.path).unwrap();
        writer.end();
        maps.end(writer.key());
        assert_eq!(name(&mut maps, writer.key(), 0x1000).as_deref(), Some("first"));
    }

    #[test]
    fn a_child_has_the_names_of_its_parent_behind_its_own() {
        let (parent, child) = (Writer::new(), Writer::new());
        let mut maps = PerfMaps::default();
        maps.begin(parent.key());
        maps.forked(parent.key(), child.key());
        fs::write(&parent.path, "1000 10 parent\n2000 10 parent\n").unwrap();
        fs::write(&child.path, "2000 10 child\n").unwrap();
        let names = [0x1000, 0x2000].map(|address| name(&mut maps, child.key(), address));
        assert_eq!(names.map(Option::unwrap), ["parent", "child"]);
    }
}
