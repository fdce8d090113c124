//! How far the looking up of names has come, for whoever waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Written by a [`super::Symbolizer`], read by another thread.
#[derive(Debug, Default)]
pub struct Progress {
    files: AtomicUsize,
    done: AtomicUsize,
    current: Mutex<Option<Arc<str>>>,
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The file that is looked into.
    pub file: Arc<str>,
    /// How many were looked into before.
    pub done: usize,
    /// How many are known of that have to be.
    pub files: usize,
}

impl Progress {
    /// Where it stands; `None` while nothing is looked up.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let file = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(Standing { file, done: self.done.load(Ordering::Relaxed), files: self.files.load(Ordering::Relaxed) })
    }

    /// How many files are done, and how many there are.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.done.load(Ordering::Relaxed), self.files.load(Ordering::Relaxed))
    }

    pub(super) fn expect(&self, files: usize) {
        self.files.fetch_add(files, Ordering::Relaxed);
    }

    pub(super) fn begin(&self, file: &Arc<str>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(file));
    }

    pub(super) fn end(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
