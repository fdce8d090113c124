//! The reader, on types that were put together by hand.

use super::*;

/// Types as bytes, in the format of the kernel.
struct Writer {
    types: Vec<u32>,
    names: Vec<u8>,
}

impl Writer {
    fn new() -> Self {
        // Offset 0 is the empty name.
        Self { types: Vec::new(), names: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.names.len() as u32;
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
        at
    }

    fn add(&mut self, kind: u32, name: &str, entries: u32, rest: &[u32]) {
        let name = self.name(name);
        self.types.extend([name, kind << 24 | entries, 0]);
        self.types.extend(rest);
    }

    /// Members are name, type, offset.
    fn structure(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) {
        let rest: Vec<u32> = members.iter().flat_map(|&(name, id, offset)| [self.name(name), id, offset]).collect();
        self.add(kind, name, members.len() as u32, &rest);
    }

    fn bytes(&self) -> Vec<u8> {
        let types: Vec<u8> = self.types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = [MAGIC.to_ne_bytes().as_slice(), &[1, 0]].concat();
        for word in [24, 0, types.len() as u32, types.len() as u32, self.names.len() as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        [bytes, types, self.names.clone()].concat()
    }
}

/// An integer (1), a part without a name (2), `task` (3), `task` as a typedef (4), and one of each other kind before it.
fn sample() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.add(kind::INT, "int", 0, &[32]);
    writer.structure(kind::UNION, "", &[("low", 1, 0), ("high", 1, 64)]);
    writer.structure(kind::STRUCT, "task", &[("first", 1, 0), ("", 2, 128), ("last", 1, 256), ("odd", 1, 260)]);
    writer.add(kind::ARRAY, "", 0, &[1, 1, 4]);
    writer.add(kind::ENUM, "colour", 2, &[0; 4]);
    writer.add(kind::ENUM64, "long colour", 2, &[0; 6]);
    writer.add(kind::FUNC_PROTO, "", 3, &[0; 6]);
    writer.add(kind::VAR, "variable", 0, &[1]);
    writer.add(kind::DATASEC, ".data", 1, &[0; 3]);
    writer.add(kind::DECL_TAG, "tag", 0, &[0]);
    writer.add(kind::TYPEDEF, "task", 0, &[]);
    writer.bytes()
}

#[test]
fn a_field_is_found_also_in_a_part_without_a_name() {
    let bytes = sample();
    let types = Types::read(&bytes).unwrap();
    let task = types.structure("task").unwrap();
    assert_eq!(task, 3);
    assert_eq!(types.offset(task, "first"), Some(0));
    assert_eq!(types.offset(task, "high"), Some((128 + 64) / 8));
    assert_eq!(types.offset(task, "last"), Some(32));
    assert_eq!(types.offset(task, "odd"), None, "it does not begin at a byte");
    assert_eq!(types.offset(task, "las"), None);
    assert_eq!(types.offset(0, "first"), None);
    assert_eq!(types.offset(99, "first"), None);
}

#[test]
fn every_known_kind_is_stepped_over_and_a_kind_is_part_of_a_name() {
    let bytes = sample();
    let types = Types::read(&bytes).unwrap();
    assert_eq!(types.typedef("task"), Some(11));
    assert_eq!(types.typedef("int"), None);
    assert_eq!(types.structure("tas"), None);
}

#[test]
fn a_structure_that_holds_itself_ends_the_search() {
    let mut writer = Writer::new();
    writer.structure(kind::STRUCT, "loop", &[("", 1, 8)]);
    let bytes = writer.bytes();
    let types = Types::read(&bytes).unwrap();
    assert_eq!(types.offset(1, "field"), None);
}

#[test]
fn damaged_bytes_are_an_error_or_have_nothing_and_never_a_panic() {
    let whole = sample();
    for length in 0..whole.len() {
        assert!(Types::read(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        if let Ok(types) = Types::read(&damaged) {
            let task = types.structure("task").unwrap_or(3);
            for field in ["first", "low", "last"] {
                // An offset that does not fit the structure is still an offset.
                assert!(types.offset(task, field).is_none_or(|offset| offset <= u32::MAX / 8));
            }
        }
    }
}

#[test]
fn a_kind_that_is_not_known_is_an_error() {
    let mut writer = Writer::new();
    writer.add(kind::LAST + 1, "new", 0, &[]);
    assert_eq!(Types::read(&writer.bytes()).err(), Some("a type is of an unknown kind"));
}
