//! A reader of the kernel's type information (BTF) for the few questions that heaptide has.
//!
//! The crates that read BTF build a value for each of the kernel's 150,000 types, which takes longer and more memory than
//! all else at the start. This one looks at the bytes where they are. The format is told by
//! `Documentation/bpf/btf.rst` of the kernel.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The number of a type, from 1; 0 is `void`.
pub(super) type Id = u32;

const MAGIC: u16 = 0xeb9f;

/// Kinds of types, by their numbers.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const ENUM64: u32 = 19;
    /// The largest that is known: the size of others is not.
    pub(super) const LAST: u32 = ENUM64;
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: u16,
    version: u8,
    flags: u8,
    length: u32,
    types_offset: u32,
    types_length: u32,
    names_offset: u32,
    names_length: u32,
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Type {
    name: u32,
    /// Bits 0 to 15: how many entries follow; bits 24 to 28: the kind; bit 31: the kind's own.
    info: u32,
    /// Of a structure, its size; of others, the type that they refer to.
    extent: u32,
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Member {
    name: u32,
    id: Id,
    /// In bits; with [`Type::has_bit_fields`] the upper eight bits are the size of a bit field.
    offset: u32,
}

impl Type {
    const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    const fn entries(self) -> usize {
        (self.info & 0xffff) as usize
    }

    const fn has_bit_fields(self) -> bool {
        self.info >> 31 != 0
    }

    /// Bytes of what follows; `None` for a kind that is not known.
    const fn rest(self) -> Option<usize> {
        Some(match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * self.entries(),
            kind::ENUM | kind::FUNC_PROTO => 8 * self.entries(),
            1..=kind::LAST => 0,
            _ => return None,
        })
    }
}

/// The types of a kernel.
pub(super) struct Types<'a> {
    entries: &'a [u8],
    names: &'a [u8],
    /// Where each type begins in `types`; the first has the id 1.
    places: Vec<u32>,
}

/// How deep a field can lie within structures without a name.
const MAX_DEPTH: u32 = 8;

impl<'a> Types<'a> {
    /// Finds where each type begins; on failure, says what is wrong with the bytes.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| "they are too short")?;
        if header.magic != MAGIC {
            return Err("they do not begin as they should");
        }
        if header.version != 1 {
            return Err("they are of another version than 1");
        }
        let part = |offset: u32, length: u32| {
            let begin = header.length as usize + offset as usize;
            bytes.get(begin..begin + length as usize).ok_or("they end early")
        };
        let types = part(header.types_offset, header.types_length)?;
        let names = part(header.names_offset, header.names_length)?;
        let mut places = Vec::with_capacity(types.len() / 24);
        let mut place = 0;
        while place < types.len() {
            places.push(place as u32);
            let found: Type = at(types, place).ok_or("a type is cut off")?;
            place += size_of::<Type>() + found.rest().ok_or("a type is of an unknown kind")?;
        }
        Ok(Self { entries: types, names, places })
    }

    /// The structure of this name.
    pub(super) fn structure(&self, name: &str) -> Option<Id> {
        self.find(kind::STRUCT, name)
    }

    /// The typedef of this name.
    pub(super) fn typedef(&self, name: &str) -> Option<Id> {
        self.find(kind::TYPEDEF, name)
    }

    /// The byte offset of a field in a structure, also of one in a part that has no name (as where the kernel's
    /// structures are shuffled, `CONFIG_RANDSTRUCT`).
    pub(super) fn offset(&self, structure: Id, field: &str) -> Option<u32> {
        let bits = self.bit_offset(structure, field, MAX_DEPTH)?;
        (bits % 8 == 0).then_some(bits / 8)
    }

    fn bit_offset(&self, structure: Id, field: &str, depth: u32) -> Option<u32> {
        let place = *self.places.get(structure.checked_sub(1)? as usize)? as usize;
        let outer: Type = at(self.entries, place)?;
        if !matches!(outer.kind(), kind::STRUCT | kind::UNION) {
            return None;
        }
        let members = place + size_of::<Type>();
        let members =
            (0..outer.entries()).map(|index| at::<Member>(self.entries, members + index * size_of::<Member>()));
        members.flatten().find_map(|member| {
            let is_bit_field = outer.has_bit_fields() && member.offset >> 24 != 0;
            let begin = if outer.has_bit_fields() { member.offset & 0xff_ffff } else { member.offset };
            if self.is_called(member.name, field) {
                return (!is_bit_field).then_some(begin);
            }
            let is_part = self.is_called(member.name, "") && depth > 0;
            begin.checked_add(is_part.then(|| self.bit_offset(member.id, field, depth - 1))??)
        })
    }

    fn find(&self, kind: u32, name: &str) -> Option<Id> {
        let is_found = |&place: &u32| {
            at::<Type>(self.entries, place as usize)
                .is_some_and(|found| found.kind() == kind && self.is_called(found.name, name))
        };
        self.places.iter().position(is_found).map(|index| index as u32 + 1)
    }

    fn is_called(&self, at: u32, name: &str) -> bool {
        let rest = self.names.get(at as usize..).and_then(|rest| rest.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }
}

fn at<T: FromBytes>(bytes: &[u8], place: usize) -> Option<T> {
    T::read_from_prefix(bytes.get(place..)?).ok().map(|(found, _)| found)
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
