//! Rust as it is built for release, without frame pointers: random walks through generics, closures, trait objects,
//! iterators, sorting, panics that are caught, and threads. The program's global allocator asks the C library for the
//! stack of each block, in the function that calls `malloc`.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

unsafe extern "C" {
    fn backtrace(addresses: *mut *mut c_void, size: c_int) -> c_int;
    fn malloc(size: usize) -> *mut c_void;
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    fn read(file: c_int, bytes: *mut u8, size: usize) -> isize;
    fn write(file: c_int, bytes: *const u8, size: usize) -> isize;
}

const MOST: usize = 1 << 15;
const DEPTH: usize = 254;
const DEEPEST: u32 = 25;
const THREADS: u64 = 4;
/// What `malloc` aligns to.
const ALIGNED: usize = 16;

#[derive(Clone, Copy)]
struct Entry {
    depth: usize,
    addresses: [usize; DEPTH],
}

/// Each entry is written by whoever took its number, and read when all threads have ended.
struct Entries(UnsafeCell<[Entry; MOST]>);
// SAFETY: see above.
unsafe impl Sync for Entries {}

static ENTRIES: Entries = Entries(UnsafeCell::new([Entry { depth: 0, addresses: [0; DEPTH] }; MOST]));
static USED: AtomicUsize = AtomicUsize::new(0);
static RECORDING: AtomicBool = AtomicBool::new(false);

struct Recording;

/// Keeps the stack of whoever calls this; inlined, so that this is the function that allocates.
#[inline(always)]
fn keep_stack() {
    if !RECORDING.load(Ordering::Relaxed) {
        return;
    }
    let index = USED.fetch_add(1, Ordering::Relaxed);
    assert!(index < MOST, "too many stacks");
    // SAFETY: the index is this thread's alone, and within the array.
    unsafe {
        let entry = ENTRIES.0.get().cast::<Entry>().add(index);
        let addresses = (&raw mut (*entry).addresses).cast();
        (*entry).depth = backtrace(addresses, DEPTH as c_int) as usize;
        if (*entry).depth == DEPTH {
            std::process::abort();
        }
    }
}

// SAFETY: every call is handed on to the C library.
unsafe impl GlobalAlloc for Recording {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        keep_stack();
        // SAFETY: as the C library documents.
        black_box(unsafe {
            if layout.align() <= ALIGNED {
                malloc(layout.size())
            } else {
                aligned_alloc(layout.align(), layout.size().next_multiple_of(layout.align()))
            }
        })
        .cast()
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        keep_stack();
        // SAFETY: as above; nothing here wants zeroed blocks of a larger alignment.
        black_box(unsafe { calloc(1, layout.size()) }).cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from the C library.
        unsafe { free(block.cast()) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, _: Layout, size: usize) -> *mut u8 {
        keep_stack();
        // SAFETY: as above; nothing here resizes blocks of a larger alignment.
        black_box(unsafe { realloc(block.cast(), size) }).cast()
    }
}

#[global_allocator]
static ALLOCATOR: Recording = Recording;

struct Walk {
    random: u64,
    left: u32,
}

type Step = fn(&mut Walk) -> u64;

impl Walk {
    fn below(&mut self, limit: u32) -> u32 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) as u32) % limit
    }

    #[inline(never)]
    fn onward(&mut self) -> u64 {
        const LEAVES: [Step; 7] = [boxed, aligned, grown, collected, hashed, formatted, zeroed];
        const STEPS: [Step; 10] = [
            by_generic, by_closure, by_object, by_iterator, by_sort, by_caught_panic, by_drop, by_large_frame, by_boxed_closure,
            by_option,
        ];
        if self.left == 0 {
            let leaf = LEAVES[self.below(LEAVES.len() as u32) as usize];
            return black_box(leaf(self)) + 1;
        }
        self.left -= 1;
        let step = STEPS[self.below(STEPS.len() as u32) as usize];
        black_box(step(self)) + 1
    }
}

fn boxed(walk: &mut Walk) -> u64 {
    *black_box(Box::new(u64::from(walk.below(9))))
}

#[repr(align(64))]
struct Line([u8; 64]);

fn aligned(walk: &mut Walk) -> u64 {
    let line = black_box(Box::new(Line([walk.below(9) as u8; 64])));
    u64::from(line.0[5])
}

fn grown(walk: &mut Walk) -> u64 {
    let mut numbers = Vec::new();
    for _ in 0..walk.below(40) + 1 {
        numbers.push(u64::from(walk.below(9)));
    }
    black_box(&numbers)[0]
}

fn collected(walk: &mut Walk) -> u64 {
    let words: Vec<String> = (0..4).map(|_| "word".repeat(walk.below(5) as usize + 1)).collect();
    words.join(" ").len() as u64
}

fn hashed(walk: &mut Walk) -> u64 {
    let mut map = HashMap::new();
    let mut sorted = BTreeMap::new();
    for _ in 0..6 {
        *map.entry(walk.below(50)).or_insert(0_u64) += 1;
        sorted.insert(walk.below(50), 1);
    }
    black_box(map).len() as u64 + black_box(sorted).len() as u64
}

fn formatted(walk: &mut Walk) -> u64 {
    format!("{:>width$} {:?}", walk.below(100), Some(walk.below(9)), width = walk.below(30) as usize).len() as u64
}

fn zeroed(walk: &mut Walk) -> u64 {
    u64::from(black_box(vec![0_u8; walk.below(300) as usize + 1])[0])
}

#[inline(never)]
fn generic<T: Into<u64> + Copy>(walk: &mut Walk, value: T) -> u64 {
    walk.onward() + value.into()
}

fn by_generic(walk: &mut Walk) -> u64 {
    match walk.below(3) {
        0 => generic(walk, 1_u8),
        1 => generic(walk, 1_u32) + 1,
        _ => generic(walk, true) + 2,
    }
}

#[inline(never)]
fn apply(walk: &mut Walk, function: impl Fn(&mut Walk) -> u64) -> u64 {
    function(walk) + 1
}

fn by_closure(walk: &mut Walk) -> u64 {
    let (a, b) = (u64::from(walk.below(5)), u64::from(walk.below(5)));
    apply(walk, |walk| walk.onward() + a * b)
}

fn by_boxed_closure(walk: &mut Walk) -> u64 {
    let kept = [u64::from(walk.below(5)); 4];
    let function: Box<dyn Fn(&mut Walk) -> u64> = Box::new(move |walk| walk.onward() + kept[2]);
    black_box(&function)(walk) + 1
}

trait Stepping {
    fn step(&self, walk: &mut Walk) -> u64;
}

struct Left(u64);
struct Right;

impl Stepping for Left {
    fn step(&self, walk: &mut Walk) -> u64 {
        walk.onward() + self.0
    }
}

impl Stepping for Right {
    fn step(&self, walk: &mut Walk) -> u64 {
        walk.onward() * 3
    }
}

fn by_object(walk: &mut Walk) -> u64 {
    let object: &dyn Stepping = if walk.below(2) == 0 { &Left(4) } else { &Right };
    black_box(object).step(walk) + 1
}

fn by_iterator(walk: &mut Walk) -> u64 {
    let at = walk.below(6);
    (0..6).filter(|number| number % 2 == at % 2).map(|number| if number == at { walk.onward() } else { 1 }).sum()
}

fn by_sort(walk: &mut Walk) -> u64 {
    let mut numbers: [u32; 30] = std::array::from_fn(|_| walk.below(1000));
    let mut calls = walk.below(60);
    numbers.sort_unstable_by(|left, right| {
        if calls == 0 {
            black_box(walk.onward());
        }
        calls = calls.wrapping_sub(1);
        left.cmp(right)
    });
    u64::from(numbers[0])
}

struct OnDrop<'a>(&'a mut Walk);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        black_box(self.0.onward());
    }
}

/// Walks on in a destructor, while a panic is on its way.
fn by_drop(walk: &mut Walk) -> u64 {
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let _walks = OnDrop(walk);
        panic::resume_unwind(Box::new(7_u64));
    }));
    result.map_err(|payload| payload.downcast_ref().copied().unwrap_or(0)).unwrap_or_else(|number: u64| number)
}

fn by_caught_panic(walk: &mut Walk) -> u64 {
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        if walk.below(2) == 0 {
            panic::resume_unwind(Box::new(1_u8));
        }
        walk.onward()
    }));
    match result {
        Ok(number) => number + 1,
        Err(_) => walk.onward() + 2,
    }
}

fn by_large_frame(walk: &mut Walk) -> u64 {
    let mut buffer = [0_u8; 20_000];
    buffer[walk.below(20_000) as usize] = 1;
    black_box(&mut buffer);
    walk.onward() + u64::from(buffer[7])
}

fn by_option(walk: &mut Walk) -> u64 {
    let number = (walk.below(2) == 0).then(|| walk.onward());
    number.or_else(|| Some(walk.onward())).map_or(0, |number| number + 1)
}

fn walks(seed: u64, count: u32) {
    let mut walk = Walk { random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), left: 0 };
    for _ in 0..count {
        walk.left = walk.below(DEEPEST);
        black_box(walk.onward());
    }
}

/// Waits for a line, or the end of the input, without an allocation.
fn listen() {
    let mut byte = 0_u8;
    // SAFETY: there is room for one byte.
    while unsafe { read(0, &raw mut byte, 1) } == 1 && byte != b'\n' {}
}

/// Says a line without an allocation.
fn say(line: std::fmt::Arguments<'_>) {
    let mut text = [0_u8; 32 + 20 * DEPTH];
    let mut rest = &mut text[..];
    writeln!(rest, "{line}").expect("there is room for the longest line");
    let left = rest.len();
    let mut said = &text[..text.len() - left];
    while !said.is_empty() {
        // SAFETY: the bytes are there.
        let written = unsafe { write(1, said.as_ptr(), said.len()) };
        said = &said[usize::try_from(written).expect("stdout can be written")..];
    }
}

/// The addresses of a stack, as they are said.
struct Addresses<'a>(&'a [usize]);

impl std::fmt::Display for Addresses<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|address| write!(formatter, " {address:x}"))
    }
}

/// The argument: the number of walks of each thread.
fn main() {
    let count = std::env::args().nth(2).map_or(20, |count| count.parse().expect("a number"));
    // The first walk of a stack loads libgcc.
    let mut first = [std::ptr::null_mut(); 4];
    // SAFETY: the array has room for so many.
    black_box(unsafe { backtrace(first.as_mut_ptr(), 4) });
    say(format_args!("ready {}", std::process::id()));
    listen();
    RECORDING.store(true, Ordering::SeqCst);
    // Alone first: while one thread changes the mappings, the kernel does not tell another what is mapped where.
    walks(17, count);
    let threads: Vec<_> = (1..=THREADS).map(|seed| thread::spawn(move || walks(seed, count))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic leaves a walk"));
    RECORDING.store(false, Ordering::SeqCst);
    for index in 0..USED.load(Ordering::SeqCst) {
        // SAFETY: all who wrote have ended.
        let entry = unsafe { &*ENTRIES.0.get().cast::<Entry>().add(index) };
        say(format_args!("stack heap {}{}", entry.depth, Addresses(&entry.addresses[..entry.depth])));
    }
    say(format_args!("done"));
    listen();
}
