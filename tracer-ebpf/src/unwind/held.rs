//! Return addresses that the kernel holds.
//!
//! While a function with a return probe runs, its return address on the stack is one of the kernel's own, and the true one
//! is kept in a list of the thread (`struct return_instance` of the kernel's `linux/uprobes.h`).

use aya_ebpf::helpers::generated::bpf_get_current_task;

use heaptide_common::record::HELD;

use super::table::field;
use crate::maps::running;

/// The true return address whose place on the stack is `slot`; 0 when the kernel holds none for it.
#[inline(always)]
pub fn return_address(slot: u64) -> u64 {
    let Some(settings) = running() else { return 0 };
    // SAFETY: `field` checks every address.
    unsafe {
        let task = bpf_get_current_task() as *const u8;
        let uprobes: u64 = field(task, settings.offsets.task_uprobes);
        let mut instance: u64 = field(uprobes as *const u8, settings.offsets.uprobes_returns);
        for _ in 0..HELD {
            if instance == 0 {
                break;
            }
            let stack: u64 = field(instance as *const u8, settings.offsets.return_stack);
            if stack == slot {
                return field(instance as *const u8, settings.offsets.return_address);
            }
            instance = field(instance as *const u8, settings.offsets.return_next);
        }
    }
    0
}

/// Writes each place on the stack whose return address the kernel holds, and the address, to `pairs`; 0 where there are
/// no more.
///
/// # Safety
/// `pairs` has room for [`HELD`].
#[inline(always)]
pub unsafe fn all(pairs: *mut [u64; 2]) {
    // SAFETY: `field` checks every address; the caller vouches for the room.
    unsafe {
        let mut instance: u64 = 0;
        if let Some(settings) = running() {
            let uprobes: u64 = field(bpf_get_current_task() as *const u8, settings.offsets.task_uprobes);
            instance = field(uprobes as *const u8, settings.offsets.uprobes_returns);
        }
        for index in 0..HELD {
            let mut pair = [0; 2];
            if let Some(settings) = running()
                && instance != 0
            {
                pair = [
                    field(instance as *const u8, settings.offsets.return_stack),
                    field(instance as *const u8, settings.offsets.return_address),
                ];
                instance = field(instance as *const u8, settings.offsets.return_next);
            }
            pairs.add(index).write(pair);
        }
    }
}
