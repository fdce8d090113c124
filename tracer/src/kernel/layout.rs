//! Where the kernel keeps what the kernel part reads and attaches to, from the kernel's own type information (BTF).

use std::{fs, io, sync::OnceLock};

use heaptide_common::offsets::{GrowthOffsets, Offsets};

use super::types::Types;

/// Where the kernel publishes its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Byte offsets of fields, and the ids of types, in the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What every recording needs.
    pub offsets: Offsets,
    /// What only the growth of memory needs, where the kernel has it.
    pub growth: Option<GrowthOffsets>,
    /// The tracepoints of [`TRACEPOINTS`], in their order.
    pub tracepoints: [u32; TRACEPOINTS.len()],
}

/// The tracepoints that tell of processes: the program of the kernel part, and the tracepoint's type in BTF.
pub(super) const TRACEPOINTS: [(&str, &str); 3] = [
    ("process_fork", "btf_trace_sched_process_fork"),
    ("process_exec", "btf_trace_sched_process_exec"),
    ("process_exit", "btf_trace_sched_process_exit"),
];

/// Why the layout is not known.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The kernel publishes no types.
    #[error("cannot read {BTF_PATH}: {0} (a kernel built with CONFIG_DEBUG_INFO_BTF has it)")]
    Unreadable(#[source] io::Error),
    /// The types are of a form that is not known.
    #[error("cannot understand the kernel's types in {BTF_PATH}: {0}")]
    Malformed(&'static str),
    /// A field is missing.
    #[error("this kernel's `{structure}` has no field `{field}`: heaptide does not know this kernel yet")]
    Missing {
        /// The structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A tracepoint is missing.
    #[error("this kernel has no `{0}`: use one built with CONFIG_DEBUG_INFO_BTF and CONFIG_TRACEPOINTS")]
    NoTracepoint(&'static str),
}

impl Layout {
    /// Of the running kernel, which is read at the first call.
    pub fn of_running_kernel() -> Result<Self, LayoutError> {
        static KNOWN: OnceLock<Layout> = OnceLock::new();
        if let Some(&known) = KNOWN.get() {
            return Ok(known);
        }
        let read = Self::read(&fs::read(BTF_PATH).map_err(LayoutError::Unreadable)?)?;
        Ok(*KNOWN.get_or_init(|| read))
    }

    fn read(bytes: &[u8]) -> Result<Self, LayoutError> {
        let types = Types::read(bytes).map_err(LayoutError::Malformed)?;
        let find = |structure, field| {
            let found = types.structure(structure).and_then(|id| types.offset(id, field));
            found.ok_or(LayoutError::Missing { structure, field })
        };
        let mut tracepoints = [0; TRACEPOINTS.len()];
        for (id, (_, name)) in tracepoints.iter_mut().zip(TRACEPOINTS) {
            *id = types.typedef(name).ok_or(LayoutError::NoTracepoint(name))?;
        }
        let offsets = Offsets {
            task_tgid: find("task_struct", "tgid")?,
            task_mm: find("task_struct", "mm")?,
            task_signal: find("task_struct", "signal")?,
            signal_live: find("signal_struct", "live")?,
            vma_start: find("vm_area_struct", "vm_start")?,
            vma_page_offset: find("vm_area_struct", "vm_pgoff")?,
            vma_file: find("vm_area_struct", "vm_file")?,
            vma_private: find("vm_area_struct", "vm_private_data")?,
            special_name: find("vm_special_mapping", "name")?,
            file_inode: find("file", "f_inode")?,
            inode_number: find("inode", "i_ino")?,
            inode_super: find("inode", "i_sb")?,
            super_device: find("super_block", "s_dev")?,
            task_uprobes: find("task_struct", "utask")?,
            uprobes_returns: find("uprobe_task", "return_instances")?,
            return_stack: find("return_instance", "stack")?,
            return_address: find("return_instance", "orig_ret_vaddr")?,
            return_next: find("return_instance", "next")?,
        };
        Ok(Self { offsets, growth: growth(find).ok(), tracepoints })
    }
}

fn growth(find: impl Fn(&'static str, &'static str) -> Result<u32, LayoutError>) -> Result<GrowthOffsets, LayoutError> {
    Ok(GrowthOffsets {
        vma_flags: find("vm_area_struct", "vm_flags")?,
        super_magic: find("super_block", "s_magic")?,
        mm_start_brk: find("mm_struct", "start_brk")?,
        mm_brk: find("mm_struct", "brk")?,
        mm_pgd: find("mm_struct", "pgd")?,
    })
}

#[cfg(test)]
mod tests {
    use aya_obj::btf::BtfKind;

    use super::*;

    #[test]
    fn bytes_that_are_no_type_information_are_an_error() {
        assert!(matches!(Layout::read(b"not BTF at all, but long enough"), Err(LayoutError::Malformed(_))));
        assert!(matches!(Layout::read(b"short"), Err(LayoutError::Malformed(_))));
    }

    #[test]
    fn another_reader_finds_the_same_tracepoints_in_the_running_kernel() {
        // A kernel without types has nothing to compare.
        let Ok(types) = aya::Btf::from_sys_fs() else { return };
        let found = Layout::of_running_kernel().unwrap();
        let theirs = TRACEPOINTS.map(|(_, name)| types.id_by_type_name_kind(name, BtfKind::Typedef).unwrap());
        assert_eq!(found.tracepoints, theirs);
        // `task_struct` begins with other fields in every kernel so far.
        assert!(found.offsets.task_mm != found.offsets.task_signal && found.offsets.task_tgid != 0, "{found:?}");
    }
}
