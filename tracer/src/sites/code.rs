//! The bytes of code, by their place in the file.

use std::{cell::RefCell, collections::HashMap, fs::File, os::unix::fs::FileExt};

use iced_x86::{Decoder, DecoderOptions, Instruction};

/// Longest instruction, in bytes.
pub(super) const LONGEST: usize = 15;

const PAGE: usize = 4096;

/// Most pages that are kept: the code of some hundred functions.
const MOST_PAGES: usize = 4096;

/// Where instructions are read from. Addresses are bytes from the begin of the file: within a segment they are as far
/// from each other as in memory, so jumps to fixed places lead where they lead.
pub trait Code {
    /// Copies bytes from `offset` on; gives how many there were.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> usize;
}

/// The code of a file, read a page at a time.
pub struct FileCode<'a> {
    file: &'a File,
    pages: RefCell<HashMap<u64, Box<[u8]>>>,
}

impl<'a> FileCode<'a> {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(file: &'a File) -> Self {
        Self { file, pages: RefCell::default() }
    }
}

impl Code for FileCode<'_> {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let mut pages = self.pages.borrow_mut();
        let mut done = 0;
        while done < bytes.len() {
            let Some(at) = offset.checked_add(done as u64) else { break };
            let (number, within) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            if pages.len() >= MOST_PAGES {
                pages.clear();
            }
            let page = pages.entry(number).or_insert_with(|| read_page(self.file, number));
            let rest = page.get(within..).unwrap_or_default();
            let count = rest.len().min(bytes.len() - done);
            if count == 0 {
                break;
            }
            bytes[done..done + count].copy_from_slice(&rest[..count]);
            done += count;
        }
        done
    }
}

/// A page of the file; shorter at its end, and empty where it cannot be read.
fn read_page(file: &File, number: u64) -> Box<[u8]> {
    let mut page = vec![0; PAGE];
    let mut length = 0;
    while length < PAGE {
        match file.read_at(&mut page[length..], number * PAGE as u64 + length as u64) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
    }
    page.truncate(length);
    page.into_boxed_slice()
}

impl Code for [u8] {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        count
    }
}

/// The instruction at `offset`; `None` where there is none.
pub(super) fn decode(code: &(impl Code + ?Sized), offset: u64) -> Option<Instruction> {
    let mut bytes = [0; LONGEST];
    let length = code.read(offset, &mut bytes);
    let instruction = Decoder::with_ip(64, &bytes[..length], offset, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}
