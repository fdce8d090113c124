//! Where the kernel keeps what the kernel part reads of it: byte offsets of fields, which differ from kernel to kernel.

/// What every recording needs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.mm`
    pub task_mm: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `signal_struct.live`
    pub signal_live: u32,
    /// `vm_area_struct.vm_start`
    pub vma_start: u32,
    /// `vm_area_struct.vm_pgoff`
    pub vma_page_offset: u32,
    /// `vm_area_struct.vm_file`
    pub vma_file: u32,
    /// `vm_area_struct.vm_private_data`
    pub vma_private: u32,
    /// `vm_special_mapping.name`
    pub special_name: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `inode.i_ino`
    pub inode_number: u32,
    /// `inode.i_sb`
    pub inode_super: u32,
    /// `super_block.s_dev`
    pub super_device: u32,
    /// `task_struct.utask`
    pub task_uprobes: u32,
    /// `uprobe_task.return_instances`
    pub uprobes_returns: u32,
    /// `return_instance.stack`
    pub return_stack: u32,
    /// `return_instance.orig_ret_vaddr`
    pub return_address: u32,
    /// `return_instance.next`
    pub return_next: u32,
}

/// What tells whose touched memory is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrowthOffsets {
    /// `vm_area_struct.vm_flags`
    pub vma_flags: u32,
    /// `super_block.s_magic`
    pub super_magic: u32,
    /// `mm_struct.start_brk`
    pub mm_start_brk: u32,
    /// `mm_struct.brk`
    pub mm_brk: u32,
    /// `mm_struct.pgd`
    pub mm_pgd: u32,
}

const _: () = {
    assert!(size_of::<Offsets>() == 72);
    assert!(size_of::<GrowthOffsets>() == 20);
};
