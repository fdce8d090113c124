//! Ctrl-C and SIGTERM: the first ends the recording, the second leaves at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// The signals to come.
pub(super) struct Signals(UnboundedReceiver<()>);

impl Signals {
    /// Catches signals from now on. They are heard on a thread of their own, so that the second one is obeyed while a
    /// report is being written; the kernel takes probes and programs out with the process.
    pub(super) fn catch() -> anyhow::Result<Self> {
        let (sender, receiver) = unbounded_channel();
        let is_first = AtomicBool::new(true);
        ctrlc::set_handler(move || {
            if !is_first.swap(false, Ordering::Relaxed) || sender.send(()).is_err() {
                std::process::exit(INTERRUPTED);
            }
        })
        .context("cannot catch signals")?;
        Ok(Self(receiver))
    }

    /// Waits for the first.
    pub(super) async fn first(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
