//! Files in memory, for what lies in no file and is looked into as one.

use std::ffi::CStr;
use std::fs::File;
use std::io;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// An empty one; its memory is free when it is closed.
pub(super) fn file(name: &CStr) -> io::Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?.into())
}
