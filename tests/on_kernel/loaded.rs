//! Which BPF programs the kernel holds: heaptide must leave none behind.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::programs::{ProgramError, ProgramInfo, loaded_programs};
use heaptide_tests::pace;

/// The ids of the programs that the kernel holds.
#[derive(Debug)]
pub(crate) struct Loaded(BTreeSet<u32>);

impl Loaded {
    /// As it is now.
    pub(crate) fn now() -> Result<Self> {
        let deadline = Instant::now() + pace::deadline();
        loop {
            match ids() {
                Ok(ids) => return Ok(Self(ids)),
                // A program that goes while they are listed.
                Err(_) if Instant::now() < deadline => {}
                Err(error) => return Err(error).context("cannot list the loaded BPF programs"),
            }
        }
    }

    /// How many programs were loaded since.
    pub(crate) fn added(&self) -> Result<usize> {
        Ok(Self::now()?.0.difference(&self.0).count())
    }

    /// The programs that were loaded since.
    pub(crate) fn new_programs(&self) -> Vec<ProgramInfo> {
        // One that goes while they are listed, somebody else's, is none of them.
        loaded_programs().filter_map(Result::ok).filter(|program| !self.0.contains(&program.id())).collect()
    }

    /// Fails when programs loaded since do not go. (The kernel frees them some time after the last descriptor is
    /// closed, and tells nobody: so this has to ask again.)
    pub(crate) fn nothing_added(&self) -> Result<()> {
        let deadline = Instant::now() + pace::deadline();
        loop {
            let added = self.added()?;
            if added == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{added} BPF programs were left behind");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn ids() -> Result<BTreeSet<u32>, ProgramError> {
    loaded_programs().map(|program| program.map(|program| program.id())).collect()
}
