//! Rust: growing vectors, boxes, strings, maps, and threads that hand blocks to each other.

#[path = "truth.rs"]
mod truth;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::mpsc;

#[global_allocator]
static ALLOCATOR: truth::Counting = truth::Counting;

/// Aligned more than `malloc` promises: the standard library uses `posix_memalign` for it.
#[repr(align(256))]
struct Wide {
    bytes: [u8; 256],
}

#[inline(never)]
fn grow_vector(length: u32) -> Vec<u32> {
    let _at = truth::at("vectors::grow_vector");
    let mut vector = Vec::new();
    for number in 0..length {
        vector.push(number);
    }
    vector
}

#[inline(never)]
fn shrink_vector(mut vector: Vec<u32>) -> Vec<u32> {
    let _at = truth::at("vectors::shrink_vector");
    vector.truncate(vector.len() / 3);
    vector.shrink_to_fit();
    vector
}

#[inline(never)]
fn zeroed(length: usize) -> Vec<u8> {
    let _at = truth::at("vectors::zeroed");
    vec![0; length]
}

#[inline(never)]
fn wide_boxes(count: usize) -> Vec<Box<Wide>> {
    let _at = truth::at("vectors::wide_boxes");
    (0..count).map(|index| Box::new(Wide { bytes: [index as u8; 256] })).collect()
}

#[inline(never)]
fn write_string(words: usize) -> String {
    let _at = truth::at("vectors::write_string");
    let mut text = String::new();
    for word in 0..words {
        write!(text, "{word} and ").expect("a string takes all");
    }
    text
}

#[inline(never)]
fn fill_map(count: u64) -> HashMap<u64, String> {
    let _at = truth::at("vectors::fill_map");
    (0..count).map(|key| (key, key.to_string())).collect()
}

#[inline(never)]
fn fill_tree(count: u64) -> BTreeMap<u64, Vec<u8>> {
    let _at = truth::at("vectors::fill_tree");
    (0..count).map(|key| (key, vec![1; key as usize])).collect()
}

#[inline(never)]
fn in_thread(index: usize) -> Vec<u8> {
    let _at = truth::at("vectors::in_thread");
    vec![7; 100 + index]
}

/// Half of what the threads allocate is freed here, on another thread; the rest is returned.
fn threads() -> Vec<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let sender = sender.clone();
            std::thread::spawn(move || (0..1000).for_each(|index| drop(sender.send((index, in_thread(index))))))
        })
        .collect();
    drop(sender);
    let kept = receiver.iter().filter(|(index, _)| index % 2 == 0).map(|(_, block)| block).collect();
    workers.into_iter().for_each(|worker| worker.join().expect("a worker ends well"));
    kept
}

fn main() {
    truth::begin();
    let vectors: Vec<_> = (0..50).map(|index| grow_vector(index * 100)).collect();
    let (small, large): (Vec<_>, Vec<_>) = vectors.into_iter().partition(|vector| vector.len() < 2000);
    drop(small);
    let large: Vec<_> = large.into_iter().map(shrink_vector).collect();
    let mut boxes = wide_boxes(100);
    boxes.truncate(30);
    assert!(boxes[29].bytes.iter().all(|&byte| byte == 29));
    let mut map = fill_map(2000);
    map.retain(|key, _| key % 3 == 0);
    drop(fill_tree(200));
    let kept = (large, boxes, map, fill_tree(150), zeroed(500_000), write_string(1000), threads());
    truth::end();
    // The account is told: nothing in it may be freed any more.
    std::mem::forget(kept);
}
