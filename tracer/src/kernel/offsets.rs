//! Where the kernel keeps the few fields that the kernel part reads, from the kernel's own type information (BTF).

use btf_rs::{Btf, Type};
use thiserror::Error;

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
#[derive(Debug, Error)]
pub enum OffsetError {
    /// The type information cannot be read.
    #[error(
        "the kernel's type information cannot be read from {BTF_PATH}: {0}; a kernel built with CONFIG_DEBUG_INFO_BTF has it"
    )]
    Unreadable(btf_rs::Error),
    /// A field is missing.
    #[error("this kernel's `{structure}` has no field `{field}`; heaptide does not know this kernel yet")]
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
        let btf = Btf::from_file(BTF_PATH).map_err(OffsetError::Unreadable)?;
        let task = |field| offset(&btf, "task_struct", field);
        Ok(Self {
            task_tgid: task("tgid")?,
            task_mm: task("mm")?,
            task_signal: task("signal")?,
            signal_live: offset(&btf, "signal_struct", "live")?,
        })
    }
}

fn offset(btf: &Btf, structure: &'static str, field: &'static str) -> Result<u32, OffsetError> {
    let types = btf.resolve_types_by_name(structure).unwrap_or_default();
    types
        .iter()
        .find_map(|found| if let Type::Struct(members) = found { bit_offset(btf, members, field) } else { None })
        .map(|bits| bits / 8)
        .ok_or(OffsetError::Missing { structure, field })
}

/// Looks into members without a name as well: kernels with a randomised layout keep the fields in one.
fn bit_offset(btf: &Btf, members: &btf_rs::Struct, field: &str) -> Option<u32> {
    members.members.iter().find_map(|member| {
        let name = btf.resolve_name(member).unwrap_or_default();
        if name == field {
            return Some(member.bit_offset());
        }
        if !name.is_empty() {
            return None;
        }
        match btf.resolve_chained_type(member).ok()? {
            Type::Struct(inner) | Type::Union(inner) => Some(member.bit_offset() + bit_offset(btf, &inner, field)?),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_of_no_known_structure_is_named_in_the_error() {
        let error = OffsetError::Missing { structure: "task_struct", field: "tgid" };
        assert!(error.to_string().contains("`task_struct` has no field `tgid`"));
    }
}
