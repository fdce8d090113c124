//! What a Rust workload knows of its own memory: `truth.h` for Rust, as the program's global allocator.
//!
//! The account lives in statics behind locks that do not allocate.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{BufRead, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SITES: usize = 32;
const BLOCKS: usize = 1 << 16;

/// Hands every call on to the C library, and keeps the account of what the thread's current site allocates.
pub struct Counting;

#[derive(Clone, Copy)]
struct Site {
    name: &'static str,
    allocated: [u64; 2],
    freed: [u64; 2],
}

#[derive(Clone, Copy)]
struct Block {
    address: usize,
    size: usize,
    site: usize,
}

const NO_SITE: usize = usize::MAX;
const NO_BLOCK: Block = Block { address: 0, size: 0, site: NO_SITE };

struct Account {
    sites: [Site; SITES],
    used: usize,
    /// Open addressing, linear probing; a free entry has the address 0.
    blocks: [Block; BLOCKS],
}

static ACCOUNT: Mutex<Account> = Mutex::new(Account {
    sites: [Site { name: "", allocated: [0; 2], freed: [0; 2] }; SITES],
    used: 0,
    blocks: [NO_BLOCK; BLOCKS],
});

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(NO_SITE) };
}

fn account() -> MutexGuard<'static, Account> {
    ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn home(address: usize) -> usize {
    (address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48
}

impl Account {
    fn put(&mut self, block: Block) {
        let mut index = home(block.address);
        while self.blocks[index].address != 0 {
            index = (index + 1) % BLOCKS;
        }
        self.blocks[index] = block;
    }

    fn take(&mut self, address: usize) -> Option<Block> {
        let mut index = home(address);
        while self.blocks[index].address != address {
            if self.blocks[index].address == 0 {
                return None;
            }
            index = (index + 1) % BLOCKS;
        }
        let block = std::mem::replace(&mut self.blocks[index], NO_BLOCK);
        // What had been pushed past this entry must be found without it.
        loop {
            index = (index + 1) % BLOCKS;
            if self.blocks[index].address == 0 {
                return Some(block);
            }
            let next = std::mem::replace(&mut self.blocks[index], NO_BLOCK);
            self.put(next);
        }
    }

    fn allocated(&mut self, address: *mut u8, size: usize) {
        let site = CURRENT.get();
        if site == NO_SITE || address.is_null() {
            return;
        }
        self.sites[site].allocated[0] += size as u64;
        self.sites[site].allocated[1] += 1;
        self.put(Block { address: address as usize, size, site });
    }

    fn freed(&mut self, block: Option<Block>) {
        if let Some(block) = block {
            self.sites[block.site].freed[0] += block.size as u64;
            self.sites[block.site].freed[1] += 1;
        }
    }
}

// SAFETY: every call is handed on to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the same.
        let address = unsafe { System.alloc(layout) };
        account().allocated(address, layout.size());
        address
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the same.
        let address = unsafe { System.alloc_zeroed(layout) };
        account().allocated(address, layout.size());
        address
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        let mut account = account();
        let block = account.take(address as usize);
        account.freed(block);
        drop(account);
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let was = account().take(address as usize);
        // SAFETY: the caller's contract is the same.
        let now = unsafe { System.realloc(address, layout, size) };
        let mut account = account();
        if !now.is_null() {
            account.freed(was);
            account.allocated(now, size);
        } else if let Some(block) = was {
            account.put(block);
        }
        now
    }
}

/// The site of what the thread allocates while this lives.
pub struct At(usize);

/// Enters the site `name`: the function's path.
pub fn at(name: &'static str) -> At {
    let mut account = account();
    let used = account.used;
    let site = account.sites[..used].iter().position(|site| site.name == name).unwrap_or_else(|| {
        account.sites[used].name = name;
        account.used += 1;
        used
    });
    At(CURRENT.replace(site))
}

impl Drop for At {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

fn waits() -> bool {
    std::env::args().any(|argument| argument == "wait")
}

fn listen() {
    // A closed input is as good as a line.
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("stdout can be written");
}

/// With the argument `wait`: says `ready PID`, and goes on when told to. Nothing may have been counted before.
pub fn begin() {
    if waits() {
        say(&format!("ready {}", std::process::id()));
        listen();
    }
}

/// Says the account and, in a program that was told to wait, `done`; then waits to be let go.
pub fn end() {
    // A copy: what is printed from must not change while it is printed.
    let (sites, used) = {
        let account = account();
        (account.sites, account.used)
    };
    say(&format!("process {} 0", std::process::id()));
    for site in &sites[..used] {
        let ([bytes, blocks], [freed_bytes, freed_blocks]) = (site.allocated, site.freed);
        let (left_bytes, left_blocks) = (bytes - freed_bytes, blocks - freed_blocks);
        let name = site.name;
        say(&format!(
            "truth {name} heap {bytes} {blocks} {freed_bytes} {freed_blocks} {left_bytes} {left_blocks}"
        ));
    }
    if waits() {
        say("done");
        listen();
    }
}
