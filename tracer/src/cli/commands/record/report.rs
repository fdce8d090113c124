//! Where a recording's reports go.

use std::time::SystemTime;

use anyhow::Context;

use crate::{
    cli::{
        config::{Destination, Recording},
        output::Output,
    },
    profile::Profile,
    report::{folded, interim, json, text},
};

/// The opened places.
pub(super) struct Reports {
    text: Option<Output>,
    folded: Option<Output>,
    json: Option<Output>,
}

impl Reports {
    /// Opens them all, so that a place that cannot be written fails before anything is attached.
    pub(super) fn open(recording: &Recording) -> anyhow::Result<Self> {
        let open = |place: &Option<Destination>| place.as_ref().map(Output::open).transpose();
        Ok(Self {
            text: recording.outputs.is_text_shown().then(|| Output::open(&Destination::Stdout)).transpose()?,
            folded: open(&recording.outputs.folded)?,
            json: open(&recording.outputs.json)?,
        })
    }

    /// Writes them. One that fails does not keep the others from being written.
    pub(super) fn write(self, profile: &Profile, recording: &Recording) -> anyhow::Result<()> {
        let options = text::TextOptions {
            top: recording.top,
            show_files: recording.show.files,
            show_thread_stacks: recording.show.thread_stacks,
            ..text::TextOptions::default()
        };
        let text = self.text.map(|output| output.write(|out| text::write(out, profile, &options)));
        let folded = self.folded.map(|output| output.write(|out| folded::write(out, profile)));
        let json = self.json.map(|output| output.write(|out| json::write(out, profile)));
        for written in [folded, json, text].into_iter().flatten() {
            written?;
        }
        Ok(())
    }
}

/// Prints a report of now.
pub(super) fn print_interim(profile: &Profile, top: usize) -> anyhow::Result<()> {
    Output::open(&Destination::Stdout)?
        .write(|out| interim::write(out, profile, top, SystemTime::now()))
        .context("cannot print the interim report")
}
