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

/// A function of an allocator that a user has named. It usually stands on another allocator, so what it takes from that
/// one and gives back to it is its own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// Hands out a block, and ends the one that the signature's `old` names.
    Allocate {
        /// Its arguments and its result.
        signature: Signature,
        /// Whether the size (and the count) is an `int`: 32 bits, of which negative ones ask for nothing.
        int: bool,
    },
    /// Ends the block that the argument names.
    Release(Argument),
}

impl Signature {
    /// The arguments that are read, in the order of the cookie's fields: size, count, old, out.
    #[must_use]
    pub const fn arguments(self) -> [Option<Argument>; 4] {
        [Some(self.size), self.count, self.old, self.out]
    }
}

impl Named {
    /// The arguments that are read, in the order of the cookie's fields.
    #[must_use]
    pub const fn arguments(self) -> [Option<Argument>; 4] {
        match self {
            Self::Allocate { signature, .. } => signature.arguments(),
            Self::Release(block) => [None, None, Some(block), None],
        }
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
const TALLY_SHIFT: u32 = 24;
const TALLY_FIELD: u64 = 0xff;
const BLOCK_SHIFT: u32 = 32;
const SAVED_SHIFT: u32 = 36;
const CONDITION_SHIFT: u32 = 44;
const CONDITIONAL: u64 = 1 << 48;
const FAILS_ELSE: u64 = 1 << 49;

// From the upper end, so that the fields above can grow.
const NAMED: u64 = 1 << 63;
const RELEASE: u64 = 1 << 62;
const INT: u64 = 1 << 61;
const STEPPED: u64 = 1 << 60;

/// Bytes of a word on the stack.
const WORD: u64 = 8;
const DEPTH_FIELD: u64 = 0xff;

const fn pack(register: Option<Register>) -> u64 {
    match register {
        Some(register) => register.0 as u64,
        None => Register::RSP as u64,
    }
}

/// A site at which a call is about to return a block: what is there besides the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The register with the block.
    pub block: Register,
    /// Where the caller's frame pointer was saved: bytes below the return address, whole words and at most
    /// [`Cookie::DEEPEST`]; 0 when it is in its register.
    pub saved: u32,
    /// The number of the condition that must hold (as in instructions: 4 for equal), and whether the call fails where it
    /// does not; `None` when the site counts always.
    pub condition: Option<(u8, bool)>,
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

    /// The same for a function that a user has named.
    #[must_use]
    pub const fn of_named(self, named: Named) -> Self {
        let bits = match named {
            Named::Allocate { int, .. } => {
                if int {
                    INT
                } else {
                    0
                }
            }
            Named::Release(_) => RELEASE,
        };
        Self(self.0 | NAMED | bits)
    }

    /// The same for a function whose calls are counted in the tally `index`: see [`crate::tally`].
    #[must_use]
    pub const fn counted(self, index: u8) -> Self {
        Self(self.0 & !(TALLY_FIELD << TALLY_SHIFT) | (index as u64) << TALLY_SHIFT)
    }

    /// The cookie of the same probe where a call is about to return.
    #[must_use]
    pub const fn done(self, done: Done) -> Self {
        let condition = match done.condition {
            Some((number, fails_else)) => {
                (number as u64 & FIELD) << CONDITION_SHIFT | CONDITIONAL | if fails_else { FAILS_ELSE } else { 0 }
            }
            None => 0,
        };
        let words = (done.saved as u64 / WORD) & DEPTH_FIELD;
        Self(self.0 | (done.block.0 as u64) << BLOCK_SHIFT | words << SAVED_SHIFT | condition)
    }

    /// The register with the block that is about to be returned.
    #[inline(always)]
    #[must_use]
    pub const fn block(self) -> u64 {
        self.0 >> BLOCK_SHIFT & FIELD
    }

    /// Where the caller's frame pointer was saved, in bytes below the return address; 0 when it is in its register.
    #[inline(always)]
    #[must_use]
    pub const fn saved(self) -> u64 {
        (self.0 >> SAVED_SHIFT & DEPTH_FIELD) * WORD
    }

    /// Whether the site counts, with these flags of the processor: Intel's manual, volume 1, appendix B.
    #[inline(always)]
    #[must_use]
    pub const fn counts(self, flags: u64) -> bool {
        let (carry, parity, zero) = (flags & 1, flags >> 2 & 1, flags >> 6 & 1);
        let (sign, overflow) = (flags >> 7 & 1, flags >> 11 & 1);
        let number = self.0 >> CONDITION_SHIFT & FIELD;
        let holds = match number >> 1 {
            0 => overflow,
            1 => carry,
            2 => zero,
            3 => carry | zero,
            4 => sign,
            5 => parity,
            6 => sign ^ overflow,
            _ => zero | (sign ^ overflow),
        };
        self.0 & CONDITIONAL == 0 || holds != number & 1
    }

    /// Whether the call fails where the site does not count.
    #[inline(always)]
    #[must_use]
    pub const fn fails_else(self) -> bool {
        self.0 & FAILS_ELSE != 0
    }

    /// The tally that counts the function's calls.
    #[inline(always)]
    #[must_use]
    pub const fn tally(self) -> u32 {
        (self.0 >> TALLY_SHIFT & TALLY_FIELD) as u32
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

    /// Whether the function is one of a [`Named`] allocator.
    #[inline(always)]
    #[must_use]
    pub const fn is_named(self) -> bool {
        self.0 & NAMED != 0
    }

    /// Whether the function only ends the block that [`Cookie::old`] tells.
    #[inline(always)]
    #[must_use]
    pub const fn is_release(self) -> bool {
        self.0 & RELEASE != 0
    }

    /// The cookie of the same probe at an instruction that the kernel steps over, if it does.
    #[must_use]
    pub const fn at_stepped(self, is_stepped: bool) -> Self {
        if is_stepped { Self(self.0 | STEPPED) } else { self }
    }

    /// Whether the kernel steps over the probed instruction.
    #[inline(always)]
    #[must_use]
    pub const fn is_stepped(self) -> bool {
        self.0 & STEPPED != 0
    }

    /// Whether the size and the count are of type `int`.
    #[inline(always)]
    #[must_use]
    pub const fn is_int(self) -> bool {
        self.0 & INT != 0
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
    fn a_named_function_s_cookie_keeps_every_field_as_well() {
        let argument = |index| Argument::new(index).unwrap();
        let signature = Signature { size: argument(1), count: None, old: None, out: Some(argument(0)) };
        let place = Cookie::new([Register::new(6), None, None, Register::new(7)], 16);
        let cookie = place.of_named(Named::Allocate { signature, int: true });
        assert_eq!((cookie.size(), cookie.out(), cookie.depth()), (6, 7, 16));
        assert!(cookie.is_named() && cookie.is_int() && !cookie.is_release() && !Cookie::named(cookie.old()));
        let cookie = Cookie::new([None, None, Register::new(6), None], 0).of_named(Named::Release(argument(1)));
        assert_eq!(cookie.old(), 6);
        assert!(cookie.is_named() && cookie.is_release() && !cookie.is_int() && !Cookie::named(cookie.out()));
        assert!(!place.is_named() && !place.is_stepped());
        let stepped = place.at_stepped(true);
        assert!(stepped.is_stepped() && !stepped.is_named() && place.at_stepped(false) == place);
        assert_eq!((stepped.size(), stepped.depth()), (place.size(), place.depth()));
    }

    #[test]
    fn a_tally_leaves_the_other_fields_as_they_are() {
        let argument = Argument::new(1).unwrap();
        let release =
            Cookie::new([None, None, Register::new(6), None], Cookie::DEEPEST).of_named(Named::Release(argument));
        let counted = release.counted(u8::MAX).counted(200);
        assert_eq!((release.tally(), counted.tally()), (0, 200));
        assert_eq!((counted.old(), counted.depth()), (6, u64::from(Cookie::DEEPEST)));
        assert!(counted.is_named() && counted.is_release() && !counted.is_int());
    }

    #[test]
    fn a_done_site_s_cookie_keeps_every_field_as_well() {
        let register = |number| Register::new(number).unwrap();
        let place = Cookie::new([Register::new(3), None, None, None], 40);
        let done = Done { block: register(0), saved: 16, condition: Some((5, true)) };
        let cookie = place.done(done).counted(200).at_stepped(true);
        assert_eq!(
            (cookie.size(), cookie.depth(), cookie.block(), cookie.saved(), cookie.tally()),
            (3, 40, 0, 16, 200)
        );
        assert!(cookie.fails_else() && cookie.is_stepped() && !cookie.is_named() && !Cookie::named(cookie.old()));
        let cookie = place.done(Done { block: register(15), saved: Cookie::DEEPEST, condition: None });
        assert_eq!((cookie.block(), cookie.saved()), (15, u64::from(Cookie::DEEPEST)));
        assert!(cookie.counts(0) && cookie.counts(u64::MAX) && !cookie.fails_else());
    }

    #[test]
    fn a_condition_counts_as_the_processor_has_it() {
        let place = Cookie::new([None; 4], 0);
        let block = Register::new(0).unwrap();
        let counts =
            |number, flags| place.done(Done { block, saved: 0, condition: Some((number, false)) }).counts(flags);
        let (carry, parity, zero, sign, overflow) = (1, 1 << 2, 1 << 6, 1 << 7, 1 << 11);
        // Each condition with flags for which it holds.
        let holding = [
            (0, overflow),
            (2, carry),
            (4, zero),
            (6, carry),
            (6, zero),
            (8, sign),
            (10, parity),
            (12, sign),
            (12, overflow),
            (14, zero),
            (14, zero | sign | overflow),
            (14, overflow),
        ];
        for (number, flags) in holding {
            assert!(counts(number, flags) && !counts(number + 1, flags), "{number} with {flags:#x}");
        }
        for number in (0..16).step_by(2) {
            // Interrupts and the reserved bit are always on.
            assert!(!counts(number, 0x202) && counts(number + 1, 0x202), "{number} with nothing");
        }
        assert!(!counts(12, sign | overflow) && !counts(14, sign | overflow));
    }

    #[test]
    fn an_argument_on_the_stack_cannot_be_named() {
        assert_eq!(Argument::new(6), None);
        assert_eq!(Register::new(4), None);
        assert_eq!(Register::new(16), None);
    }
}
