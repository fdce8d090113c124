//! How fast the machine is that the tests run on.
//!
//! An emulated one is ten to fifty times slower. There the tests that do something often do it less often, and every step
//! may take longer; what they demand of each stack and each number stays the same.

use std::env;
use std::sync::LazyLock;
use std::time::Duration;

/// The environment variable that says how many times slower the machine is than a usual one; 1 where it is not set.
pub const SLOWNESS: &str = "HEAPTIDE_SLOWNESS";

/// How long any single step may take on a usual machine.
const USUAL_DEADLINE: Duration = Duration::from_secs(40);

static SLOWER: LazyLock<u32> = LazyLock::new(|| {
    let said = env::var(SLOWNESS).ok().and_then(|said| said.parse().ok());
    said.unwrap_or(1).max(1)
});

/// How long any single step may take before it counts as hanging.
#[must_use]
pub fn deadline() -> Duration {
    USUAL_DEADLINE * *SLOWER
}

/// How often to do here what is done `usual` times on a usual machine.
#[must_use]
pub fn times(usual: usize) -> usize {
    (usual / *SLOWER as usize).max(1)
}
