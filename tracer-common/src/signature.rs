//! How an allocator's function takes its arguments and hands out its result; and where they are at the place of its probe,
//! packed into the 64-bit cookie of the probe.
//!
//! One pair of kernel programs serves every allocation function; the cookie tells it what to read.

/// Which argument of a function, counted from 0; at most the six that travel in registers on x86-64 (System V ABI).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Argument(u8);

impl Argument {
    /// The largest argument that travels in a register.
    pub const LAST: u8 = 5;

    /// The argument number `index`; `None` when it would travel on the stack.
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index <= Self::LAST { Some(Self(index)) } else { None }
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }
}

/// The arguments and the result of an allocation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The size, or one factor of it.
    pub size: Argument,
    /// The other factor, for functions that multiply (`calloc`, `reallocarray`).
    pub count: Option<Argument>,
    /// The block to be resized, for functions that end one (`realloc`).
    pub old: Option<Argument>,
    /// Where the function stores its result, for those that return a status instead (`posix_memalign`).
    pub out: Option<Argument>,
}

impl Signature {
    /// The arguments that are read, in the order of the cookie's fields: size, count, old, out.
    #[must_use]
    pub const fn arguments(self) -> [Option<Argument>; 4] {
        [Some(self.size), self.count, self.old, self.out]
    }
}

/// A general register of x86-64, by its number in instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(u8);

impl Register {
    /// The stack pointer, which holds no argument.
    const RSP: u8 = 4;

    /// The register with a number; `None` for the stack pointer and for numbers that no register has.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 16 && number != Self::RSP { Some(Self(number)) } else { None }
    }
}

const FIELD: u64 = 0xf;
const COUNT_SHIFT: u32 = 4;
const OLD_SHIFT: u32 = 8;
const OUT_SHIFT: u32 = 12;
const DEPTH_SHIFT: u32 = 16;

/// Bytes of a word on the stack.
const WORD: u64 = 8;
const DEPTH_FIELD: u64 = 0xff;

const fn pack(register: Option<Register>) -> u64 {
    match register {
        Some(register) => register.0 as u64,
        None => Register::RSP as u64,
    }
}

/// Where a probe finds the arguments: each a register's number, or the stack pointer's for an argument that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie(pub u64);

impl Cookie {
    /// Most bytes that can have been pushed between a function's begin and its probe.
    pub const DEEPEST: u32 = (DEPTH_FIELD * WORD) as u32;

    /// The cookie of a probe before which `depth` bytes were pushed, whole words and at most [`Cookie::DEEPEST`]. The
    /// registers are those with the size, the count, the block that ends, and the result's place.
    #[must_use]
    pub const fn new(registers: [Option<Register>; 4], depth: u32) -> Self {
        let [size, count, old, out] = registers;
        let words = (depth as u64 / WORD) & DEPTH_FIELD;
        Self(
            pack(size)
                | pack(count) << COUNT_SHIFT
                | pack(old) << OLD_SHIFT
                | pack(out) << OUT_SHIFT
                | words << DEPTH_SHIFT,
        )
    }

    /// The register with the size.
    #[inline(always)]
    #[must_use]
    pub const fn size(self) -> u64 {
        self.0 & FIELD
    }

    /// The register with the count.
    #[inline(always)]
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 >> COUNT_SHIFT & FIELD
    }

    /// The register with the block that ends: to be resized, or to be freed.
    #[inline(always)]
    #[must_use]
    pub const fn old(self) -> u64 {
        self.0 >> OLD_SHIFT & FIELD
    }

    /// The register that says where the result is stored.
    #[inline(always)]
    #[must_use]
    pub const fn out(self) -> u64 {
        self.0 >> OUT_SHIFT & FIELD
    }

    /// Bytes pushed between the function's begin and the probe.
    #[inline(always)]
    #[must_use]
    pub const fn depth(self) -> u64 {
        (self.0 >> DEPTH_SHIFT & DEPTH_FIELD) * WORD
    }

    /// Whether a field names a register.
    #[inline(always)]
    #[must_use]
    pub const fn named(field: u64) -> bool {
        field != Register::RSP as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_keeps_every_field() {
        let (rdx, r15) = (Register::new(2), Register::new(15));
        let cookie = Cookie::new([rdx, r15, None, Register::new(0)], 0x28);
        assert_eq!((cookie.size(), cookie.count(), cookie.out(), cookie.depth()), (2, 15, 0, 0x28));
        assert!(!Cookie::named(cookie.old()));
        assert!(Cookie::named(cookie.out()));
        assert_eq!(Cookie::new([None; 4], Cookie::DEEPEST).depth(), u64::from(Cookie::DEEPEST));
    }

    #[test]
    fn an_argument_on_the_stack_cannot_be_named() {
        assert_eq!(Argument::new(6), None);
        assert_eq!(Register::new(4), None);
        assert_eq!(Register::new(16), None);
    }
}
