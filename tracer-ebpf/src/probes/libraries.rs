//! Libraries that come and go.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use crate::unwind;

/// The loader's `_dl_debug_state`, which it calls before and after it changes what is loaded.
#[uprobe]
pub fn libraries_change(_ctx: ProbeContext) -> u32 {
    unwind::forget_rules();
    0
}
