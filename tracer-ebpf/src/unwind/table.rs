//! The rule of an address that is not in the cache: which file is mapped there, and what its table says.
//!
//! The kernel itself is asked for the mapping (`bpf_find_vma`), so a library is known from the moment when it is mapped,
//! and no copy of a process's mappings can be out of date.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{
        bpf_probe_read_kernel,
        generated::{bpf_find_vma, bpf_get_current_task_btf},
    },
};
use heaptide_common::{
    Counter, Settings,
    record::{Kind, Wanted},
    unwind::{File, ROW_SEARCH_STEPS, Rule},
};

use crate::{
    emit::{MAPPING_SHARD, Task, send_urgently},
    maps::{FILES, ROWS, WANTED, running},
};

/// What the tables know of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Its rule.
    Rule(Rule),
    /// No file is mapped there, but other memory: code made at run time.
    Anonymous,
    /// Nothing is mapped there.
    Unmapped,
    /// The file that is mapped there has no table yet.
    NoTable(File),
    /// The process is just changing its mappings.
    Busy,
}

/// A mapping, as the kernel tells it.
#[repr(C)]
struct Vma {
    settings: *const Settings,
    file: File,
    /// 1 when a file is mapped, 2 when something else is, 0 when nothing was found.
    what: u64,
    /// The address's place in the file, in bytes.
    offset: u64,
    at: u64,
}

const ENOENT: i64 = -2;

/// The rule of the address `at` of the current process.
#[inline(always)]
pub fn find(at: u64) -> Found {
    let Some(settings) = running() else { return Found::Busy };
    let mut vma = Vma { settings, file: File::default(), what: 0, offset: 0, at };
    // SAFETY: the callback has the type that the helper expects, and `vma` outlives the call.
    let status = unsafe { bpf_find_vma(bpf_get_current_task_btf(), at, look as *mut c_void, (&raw mut vma).cast(), 0) };
    match (status, vma.what) {
        (0, 1) => {}
        (0, 2) => return Found::Anonymous,
        (ENOENT, _) => return Found::Unmapped,
        _ => return Found::Busy,
    }
    // SAFETY: entries are replaced as a whole, and never reused while programs run.
    let Some(table) = (unsafe { FILES.get(vma.file) }) else {
        // Asked for once; where the map is full, the file stays without a table.
        if WANTED.insert(vma.file, 1, u64::from(BPF_NOEXIST)).is_ok() {
            let head = Task::current().head(Kind::Wanted, 0);
            send_urgently(MAPPING_SHARD, Wanted { head, file: vma.file, address: at }, Counter::LostStack);
        }
        return Found::NoTable(vma.file);
    };
    let (first, rows) = (table.first_row, table.rows);
    let pc = vma.offset.wrapping_sub(table.code_offset);
    if rows == 0 || pc > u64::from(u32::MAX) {
        return Found::Rule(Rule::NO_CFI);
    }
    Found::Rule(search(first, rows, pc as u32))
}

/// The file that the current process has mapped at the address `at`; no file has the number 0.
#[inline(always)]
pub fn file_at(settings: &'static Settings, at: u64) -> File {
    let mut vma = Vma { settings, file: File::default(), what: 0, offset: 0, at };
    // SAFETY: as in `find`.
    unsafe { bpf_find_vma(bpf_get_current_task_btf(), at, look as *mut c_void, (&raw mut vma).cast(), 0) };
    vma.file
}

/// The rule of the last row that does not begin after `pc`.
#[inline(always)]
fn search(first: u32, rows: u32, pc: u32) -> Rule {
    let (mut low, mut count) = (first, rows);
    let mut rule = Rule::NO_CFI;
    for _ in 0..ROW_SEARCH_STEPS + 1 {
        if count == 0 {
            break;
        }
        let half = count >> 1;
        // SAFETY: the value is read once, and the rows of a table do not change while it is in `FILES`.
        let Some(row) = ROWS.get(low.wrapping_add(half)) else { break };
        let begins = *row as u32;
        if begins <= pc {
            rule = Rule::from_bits((*row >> 32) as u32);
            low = low.wrapping_add(half + 1);
            count -= half + 1;
        } else {
            count = half;
        }
    }
    rule
}

/// Called by the kernel with the mapping that holds the address.
unsafe extern "C" fn look(_task: *mut c_void, mapping: *mut c_void, vma: *mut Vma) -> i64 {
    // SAFETY: the kernel hands on what `find` gave it; the helpers check every other address.
    unsafe {
        let settings = (*vma).settings;
        let at = (*vma).at;
        let start: u64 = field(mapping.cast(), (*settings).offsets.vma_start);
        let pages: u64 = field(mapping.cast(), (*settings).offsets.vma_page_offset);
        let file: u64 = field(mapping.cast(), (*settings).offsets.vma_file);
        (*vma).what = 2;
        if file == 0 {
            if is_vdso(settings, mapping.cast()) {
                (*vma).file = File::VDSO;
                (*vma).offset = at.wrapping_sub(start);
                (*vma).what = 1;
            }
        } else {
            let inode: u64 = field(file as *const u8, (*settings).offsets.file_inode);
            let super_block: u64 = field(inode as *const u8, (*settings).offsets.inode_super);
            let device: u32 = field(super_block as *const u8, (*settings).offsets.super_device);
            let number: u64 = field(inode as *const u8, (*settings).offsets.inode_number);
            (*vma).file = File { device: u64::from(device), inode: number };
            (*vma).offset = at.wrapping_sub(start).wrapping_add(pages << 12);
            (*vma).what = 1;
        }
    }
    0
}

/// Whether a mapping of no file is the vDSO, by the name that the kernel gives to mappings of its own.
#[inline(always)]
unsafe fn is_vdso(settings: *const Settings, mapping: *const u8) -> bool {
    const NAME: u64 = u64::from_le_bytes(*b"[vdso]\0\0");
    const SEVEN_BYTES: u64 = u64::MAX >> 8;
    // SAFETY: `field` checks every address.
    unsafe {
        let special: u64 = field(mapping, (*settings).offsets.vma_private);
        if special == 0 {
            return false;
        }
        let name: u64 = field(special as *const u8, (*settings).offsets.special_name);
        field::<u64>(name as *const u8, 0) & SEVEN_BYTES == NAME
    }
}

/// A field of a kernel structure; 0 where it cannot be read.
#[inline(always)]
pub unsafe fn field<T: Default>(structure: *const u8, offset: u32) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(structure.wrapping_add(offset as usize).cast()) }.unwrap_or_default()
}
