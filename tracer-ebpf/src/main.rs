//! heaptide's kernel part: probes that turn the calls of allocators into records.
//!
//! A probe keeps the arguments of a call until it returns ([`calls`]), takes the stack ([`stack`]) and puts a record into
//! the ring of the block's address ([`emit`]). Whatever could not be reported is counted ([`count`]).

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod calls;
mod count;
mod emit;
mod maps;
mod page;
mod probes;
mod sampling;
mod stack;
mod unwind;
mod verify;

// The kernel hands helpers such as bpf_get_stack and bpf_probe_read_user to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program from which this could be reached.
    loop {}
}
