//! Libraries that come and go.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};
use heaptide_common::{Counter, record::Kind};

use crate::{
    emit::{MAPPING_SHARD, Task, send},
    maps::running,
    unwind,
};

/// The loader's `_dl_debug_state`, which it calls before and after it changes what is loaded. The user side looks for
/// allocators then.
#[uprobe]
pub fn libraries_change(_ctx: ProbeContext) -> u32 {
    unwind::forget_rules();
    if running().is_some() {
        send(MAPPING_SHARD, Task::current().head(Kind::Libraries, 0), Counter::LostProcess);
    }
    0
}
