//! How often an allocator was called.

use serde::Serialize;

/// Calls of an allocator's functions, also of those that failed or were made by another one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Calls {
    /// How many came to a probe.
    pub count: u64,
    /// For how long that was counted.
    pub seconds: f64,
    /// Whether calls of other programs of this recording are among them: of those that have the same probes.
    pub shared: bool,
}
