//! How an allocator's function takes its arguments and hands out its result, packed into the 64-bit cookie of its probe.
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

const NONE: u64 = 0xf;
const COUNT_SHIFT: u32 = 4;
const OLD_SHIFT: u32 = 8;
const OUT_SHIFT: u32 = 12;
const FIELD: u64 = 0xf;

const fn pack(argument: Option<Argument>) -> u64 {
    match argument {
        Some(argument) => argument.0 as u64,
        None => NONE,
    }
}

impl Signature {
    /// The cookie of the function's probes.
    #[must_use]
    pub const fn cookie(self) -> u64 {
        self.size.0 as u64 | pack(self.count) << COUNT_SHIFT | pack(self.old) << OLD_SHIFT | pack(self.out) << OUT_SHIFT
    }
}

/// The fields of a cookie, as the kernel part reads them: an argument's number, or a number past [`Argument::LAST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie(pub u64);

impl Cookie {
    /// Number of the argument with the size.
    #[inline(always)]
    #[must_use]
    pub const fn size(self) -> u64 {
        self.0 & FIELD
    }

    /// Number of the argument with the count.
    #[inline(always)]
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 >> COUNT_SHIFT & FIELD
    }

    /// Number of the argument with the block to be resized.
    #[inline(always)]
    #[must_use]
    pub const fn old(self) -> u64 {
        self.0 >> OLD_SHIFT & FIELD
    }

    /// Number of the argument that says where the result is stored.
    #[inline(always)]
    #[must_use]
    pub const fn out(self) -> u64 {
        self.0 >> OUT_SHIFT & FIELD
    }

    /// Whether a field names an argument.
    #[inline(always)]
    #[must_use]
    pub const fn named(field: u64) -> bool {
        field <= Argument::LAST as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_keeps_every_field() {
        let argument = |index| Argument::new(index).unwrap();
        let signature = Signature { size: argument(2), count: Some(argument(1)), old: Some(argument(0)), out: None };
        let cookie = Cookie(signature.cookie());
        assert_eq!((cookie.size(), cookie.count(), cookie.old()), (2, 1, 0));
        assert!(!Cookie::named(cookie.out()));
        assert!(Cookie::named(cookie.old()));
    }

    #[test]
    fn an_argument_on_the_stack_cannot_be_named() {
        assert_eq!(Argument::new(6), None);
    }
}
