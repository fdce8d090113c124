//! The few calls of `bpf(2)` that aya has no door to, each behind a safe function.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use aya_obj::{
    Function,
    generated::{
        BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type,
        bpf_attach_type::BPF_TRACE_UPROBE_MULTI,
        bpf_attr, bpf_cmd,
        bpf_cmd::{BPF_BTF_LOAD, BPF_LINK_CREATE, BPF_PROG_LOAD, BPF_RAW_TRACEPOINT_OPEN},
        bpf_insn, bpf_prog_type,
    },
};
use nix::libc;

/// What the kernel is to know of a program.
pub(super) struct Load<'a> {
    /// Its name; the kernel keeps the first 15 bytes.
    pub(super) name: &'a str,
    /// Its kind.
    pub(super) kind: bpf_prog_type,
    /// What it will be attached to.
    pub(super) attach_type: bpf_attach_type,
    /// The kernel's BTF id of what it will be attached to, or 0.
    pub(super) attach_id: u32,
    /// Its instructions, relocated.
    pub(super) instructions: &'a [bpf_insn],
    /// Its licence.
    pub(super) license: &'a CStr,
    /// The types of its object, and where its functions and source lines are.
    pub(super) debug: Option<(BorrowedFd<'a>, &'a Function)>,
}

/// Where a program is to be attached by one link.
pub(super) struct MultiProbe<'a> {
    /// A path to the file.
    pub(super) path: &'a CStr,
    /// Bytes from the begin of the file.
    pub(super) offsets: &'a [u64],
    /// What the program is told at each offset.
    pub(super) cookies: &'a [u64],
    /// Whether the program is to see returns instead of entries.
    pub(super) returns: bool,
    /// The only process whose calls it sees; 0: every process's.
    pub(super) pid: u32,
}

/// Bits of `log_level`: the verifier's path, and its sums at the end.
const LOG_LEVEL: u32 = 1 | 4;

/// Loads a program. With a `log`, the verifier writes its words there, ended by a NUL; that takes longer.
pub(super) fn load_program(load: &Load<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let (functions, lines) = load.debug.map_or_else(Default::default, |(_, function)| {
        (function.func_info.func_info_bytes(), function.line_info.line_info_bytes())
    });
    let mut attr = zeroed();
    // SAFETY: all bytes of the union are zero, which is a value of every member.
    let program = unsafe { &mut attr.__bindgen_anon_3 };
    let bytes = load.name.as_bytes();
    for (to, &from) in program.prog_name.iter_mut().take(15).zip(bytes) {
        *to = from.cast_signed();
    }
    program.prog_type = load.kind as u32;
    program.expected_attach_type = load.attach_type as u32;
    program.attach_btf_id = load.attach_id;
    program.insns = address(load.instructions.as_ptr());
    program.insn_cnt = load.instructions.len() as u32;
    program.license = address(load.license.as_ptr());
    if let Some((types, function)) = load.debug {
        program.prog_btf_fd = types.as_raw_fd().cast_unsigned();
        if function.func_info_rec_size > 0 {
            program.func_info = address(functions.as_ptr());
            program.func_info_cnt = function.func_info.len() as u32;
            program.func_info_rec_size = function.func_info_rec_size as u32;
        }
        if function.line_info_rec_size > 0 {
            program.line_info = address(lines.as_ptr());
            program.line_info_cnt = function.line_info.len() as u32;
            program.line_info_rec_size = function.line_info_rec_size as u32;
        }
    }
    if !log.is_empty() {
        program.log_level = LOG_LEVEL;
        program.log_buf = log.as_mut_ptr().expose_provenance() as u64;
        program.log_size = log.len() as u32;
    }
    // SAFETY: the instructions, the licence, the functions, the lines and the log outlive the call, and are as long as
    // `attr` says (the licence ends with its NUL).
    unsafe { call(BPF_PROG_LOAD, &mut attr) }
}

/// Gives the kernel the types of an object (`.BTF`).
pub(super) fn load_types(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.__bindgen_anon_7.btf = address(bytes.as_ptr());
    attr.__bindgen_anon_7.btf_size = bytes.len() as u32;
    // SAFETY: the bytes outlive the call, and are as long as `attr` says.
    unsafe { call(BPF_BTF_LOAD, &mut attr) }
}

/// Attaches a program to the tracepoint that it was loaded for, until the descriptor is closed.
pub(super) fn attach_tracepoint(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.raw_tracepoint.prog_fd = program.as_raw_fd().cast_unsigned();
    // SAFETY: no pointer is passed: the name is null, since the program knows its tracepoint.
    unsafe { call(BPF_RAW_TRACEPOINT_OPEN, &mut attr) }
}

/// Attaches a program at all offsets of a file at once, until the descriptor is closed.
pub(super) fn attach_multi(program: BorrowedFd<'_>, probe: &MultiProbe<'_>) -> io::Result<OwnedFd> {
    if probe.offsets.len() != probe.cookies.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    attr.link_create.attach_type = BPF_TRACE_UPROBE_MULTI as u32;
    // SAFETY: all bytes of the union are zero, which is a value of every member.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
    multi.path = address(probe.path.as_ptr());
    multi.offsets = address(probe.offsets.as_ptr());
    multi.cookies = address(probe.cookies.as_ptr());
    multi.cnt = probe.offsets.len() as u32;
    multi.flags = if probe.returns { BPF_F_UPROBE_MULTI_RETURN } else { 0 };
    multi.pid = probe.pid;
    // SAFETY: the path ends with its NUL; the offsets and the cookies are `cnt` each; all outlive the call.
    unsafe { call(BPF_LINK_CREATE, &mut attr) }
}

fn zeroed() -> bpf_attr {
    // SAFETY: the union's members are made of integers and arrays of integers.
    unsafe { std::mem::zeroed() }
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// # Safety
///
/// Every pointer in `attr` must be good for what `command` does with it, and `command` must give a descriptor.
unsafe fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is as large as is said; the rest is the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attr, size_of::<bpf_attr>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
}
