//! Where the probes of each function go, found once a file; and whether a process runs the code that they are planned for.

use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
};

use nix::sys::stat::{major, minor};
use rustc_hash::FxHashMap;

use crate::{
    allocator::{Found, FoundFunction, Role},
    process::{
        Mapping, Mappings,
        text::{self, Text},
    },
    sites::{Code, FileCode, Prices, Site},
};

/// Most sites that are kept: those of some hundred allocators.
const MOST: usize = 1 << 14;

/// Longest code from a function's begin to behind its probe that is compared with a process's, in bytes.
const COMPARED: usize = 4096;

/// A function of a file as it is now.
type Key = (u64, u64, i64, i64, u64, Role);

/// Chooses sites, and remembers them.
pub struct Planner {
    prices: Prices,
    known: FxHashMap<Key, Site>,
}

impl Planner {
    /// Chooses by these prices.
    #[must_use]
    pub fn new(prices: Prices) -> Self {
        Self { prices, known: FxHashMap::default() }
    }

    /// What traps cost here.
    #[must_use]
    pub const fn prices(&self) -> &Prices {
        &self.prices
    }

    /// Seconds that the traps of so many hits take here, of which some are at instructions that the kernel steps over, and
    /// others at returns.
    #[must_use]
    pub fn seconds_of(&self, hits: u64, stepped: u64, returns: u64) -> f64 {
        self.prices.of_hits(hits.saturating_sub(stepped + returns), stepped, returns) * 1e-9
    }

    /// The sites of the functions in `found`, in their order.
    pub fn sites(&mut self, found: &Found) -> Vec<Option<Site>> {
        let Ok((file, metadata)) = open(found) else {
            // Each at its begin: what is in the way of the file, the kernel will say.
            let at_begin = |function| Some(Site::choose([].as_slice(), function, &self.prices));
            return found.functions.iter().map(at_begin).collect();
        };
        let code = FileCode::new(&file);
        found.functions.iter().map(|function| Some(self.site(&code, &metadata, found, function))).collect()
    }

    /// The same for process `pid`, without those of functions that it has changed in its memory.
    pub fn sites_in(&mut self, pid: u32, found: &Found) -> Vec<Option<Site>> {
        let mut sites = self.sites(found);
        if let (Ok((file, metadata)), Ok(mappings)) = (open(found), Mappings::read(pid)) {
            let code = FileCode::new(&file);
            for (function, site) in found.functions.iter().zip(&mut sites) {
                site.take_if(|site| is_changed(pid, &mappings, &metadata, &code, function, site));
                if site.is_none() {
                    log::warn!(
                        "process {pid} runs another `{}` than is in {}: it was changed in memory, and is not traced",
                        function.name,
                        found.display
                    );
                }
            }
        }
        sites
    }

    fn site(&mut self, code: &FileCode<'_>, metadata: &Metadata, found: &Found, function: &FoundFunction) -> Site {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let file = (metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
        let key = (file.0, file.1, file.2, file.3, function.file_offset, function.role);
        let choose = || {
            let site = Site::choose(code, function, &self.prices);
            let throws = found.throwing.iter().any(|&(begin, _)| begin == function.file_offset);
            if throws { site.throwing() } else { site }
        };
        self.known.entry(key).or_insert_with(choose).clone()
    }
}

fn open(found: &Found) -> std::io::Result<(File, Metadata)> {
    let file = File::open(&found.path_to_attach)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Whether a process runs other code than the file has, from the function's begin to behind its last probe.
fn is_changed(
    pid: u32,
    mappings: &Mappings,
    metadata: &Metadata,
    code: &FileCode<'_>,
    function: &FoundFunction,
    site: &Site,
) -> bool {
    let length = site.length() as usize;
    let mut bytes = vec![0; length.min(COMPARED)];
    let count = code.read(function.file_offset, &mut bytes);
    let device = (major(metadata.dev()) as u32, minor(metadata.dev()) as u32);
    let is_file = |mapping: &Mapping| {
        let identity = mapping.file.identity();
        identity.inode == metadata.ino() && identity.device == device
    };
    text::compare(pid, mappings, is_file, function.file_offset, &bytes[..count]) == Text::Changed
}
