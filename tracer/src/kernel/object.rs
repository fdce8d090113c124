//! The compiled kernel part, as `cargo xtask build` left it in the program.

use aya::{Ebpf, EbpfError, EbpfLoader};

/// Empty when the program was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HEAPTIDE_BPF_OBJECT"));

/// Whether the program was built with its kernel part.
#[must_use]
pub const fn is_built_in() -> bool {
    !OBJECT.is_empty()
}

/// Loads the maps and programs; kernel-side diagnostics up to `log_level` (0 none, 5 all) are compiled in.
pub(super) fn load(log_level: u8) -> Result<Ebpf, EbpfError> {
    EbpfLoader::new().override_global(aya_log::LEVEL, &log_level, false).load(OBJECT)
}
