//! Profiles that are kept in a directory: of the peak, of moments at which something began to hold, and of the end.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    cli::{config::Destination, output::Output},
    profile::Profile,
    report::{folded, json, text},
};

/// A directory for profiles. Each is kept three times: as JSON, as folded stacks, and as text.
pub(super) struct Keep {
    directory: PathBuf,
    triggers: u32,
}

impl Keep {
    /// Makes the directory, unless it is there; fails when nothing can be written there.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        let shown = crate::process::printable(&directory.to_string_lossy());
        let failed = || format!("cannot keep profiles in {shown} (name a directory that can be written to)");
        fs::create_dir_all(directory).with_context(failed)?;
        drop(tempfile::tempfile_in(directory).with_context(failed)?);
        Ok(Self { directory: directory.to_owned(), triggers: 0 })
    }

    /// Keeps the profile of a moment at which something began to hold; gives the name of its JSON file.
    pub(super) fn trigger(&mut self, profile: &Profile) -> anyhow::Result<String> {
        self.triggers += 1;
        self.write(&format!("trigger-{}", self.triggers), profile)
    }

    /// Keeps the profile of the end, and that of the peak.
    pub(super) fn end(&self, profile: &Profile) -> anyhow::Result<()> {
        self.write("end", profile)?;
        self.write("peak", &profile.at_peak())?;
        Ok(())
    }

    fn write(&self, name: &str, profile: &Profile) -> anyhow::Result<String> {
        let place = |ending: &str| self.directory.join(format!("{name}.{ending}"));
        let open = |ending: &str| Output::open(&Destination::File(place(ending)));
        open("folded")?.write(|out| folded::write(out, profile))?;
        open("txt")?.write(|out| text::write(out, profile, &text::TextOptions::default()))?;
        open("json")?.write(|out| json::write(out, profile))?;
        Ok(place("json").to_string_lossy().into_owned())
    }
}
