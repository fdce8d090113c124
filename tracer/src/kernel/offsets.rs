//! Where the kernel keeps the few fields that the kernel part reads, from the kernel's own type information (BTF).

use std::{fs, io};

use btfparse::{Error, ErrorKind, Offset, Readable, TypeInformation, TypeVariant};

/// Where the kernel publishes its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Byte offsets of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.mm`
    pub task_mm: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `signal_struct.live`
    pub signal_live: u32,
}

/// Why the offsets are not known.
#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    /// The kernel publishes no types.
    #[error("cannot read {BTF_PATH}: {0} (a kernel built with CONFIG_DEBUG_INFO_BTF has it)")]
    Unreadable(#[source] io::Error),
    /// The types are of a form that is not known.
    #[error("cannot understand the kernel's type information in {BTF_PATH}: {0}")]
    Malformed(String),
    /// A field is missing.
    #[error("this kernel's `{structure}` has no field `{field}`: heaptide does not know this kernel yet")]
    Missing {
        /// The structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
    },
}

impl Offsets {
    /// Of the running kernel.
    pub fn of_running_kernel() -> Result<Self, OffsetError> {
        Self::read(&fs::read(BTF_PATH).map_err(OffsetError::Unreadable)?)
    }

    fn read(bytes: &[u8]) -> Result<Self, OffsetError> {
        let types =
            TypeInformation::new(&Bytes(bytes)).map_err(|error| OffsetError::Malformed(format!("{error:?}")))?;
        let find = |structure, field| offset(&types, structure, field).ok_or(OffsetError::Missing { structure, field });
        Ok(Self {
            task_tgid: find("task_struct", "tgid")?,
            task_mm: find("task_struct", "mm")?,
            task_signal: find("task_struct", "signal")?,
            signal_live: find("signal_struct", "live")?,
        })
    }
}

/// The types' bytes, for their reader.
struct Bytes<'a>(&'a [u8]);

impl Readable for Bytes<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..));
        let found = rest.and_then(|rest| rest.get(..buffer.len()));
        let found = found.ok_or_else(|| Error::new(ErrorKind::EOF, "the types end early"))?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

fn offset(types: &TypeInformation, structure: &str, field: &str) -> Option<u32> {
    // Other kinds of types may bear the same name.
    let candidates = types.get().iter().filter(|(_, found)| matches!(found, TypeVariant::Struct(_)));
    let id = candidates.map(|(&id, _)| id).find(|&id| types.name_of(id).as_deref() == Some(structure))?;
    match types.offset_of(id, field).ok()?.1 {
        Offset::ByteOffset(bytes) => Some(bytes),
        Offset::BitOffsetAndSize(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_type_information_are_an_error() {
        assert!(matches!(Offsets::read(b"not BTF at all"), Err(OffsetError::Malformed(_))));
    }
}
