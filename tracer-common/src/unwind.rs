//! How the kernel part gets from one frame to the next: rows made of a file's call frame information (CFI), and where
//! in a process each file's rows hold.
//!
//! Only x86-64: the registers are `rsp`, `rbp` and `rip`. A *pc* in here is a place in the file, less
//! [`FileTable::code_offset`], so that one table serves every process that maps the file.
//!
//! To unwind one frame: ask the kernel which file is mapped at the instruction pointer and at which place, find the last
//! [`Row`] with a `pc` that is not larger, do what its [`Rule`] says. For a return address look one byte before it (the
//! call may be the last instruction of its function); for the leaf's own instruction pointer, and for the one behind a
//! [`Kind::Signal`] frame, look at the address itself.

/// A table of one file holds at most this many rows, a power of two: a search takes [`ROW_SEARCH_STEPS`].
pub const MAX_ROWS: usize = 1 << 24;

/// Halvings until one row is left of [`MAX_ROWS`].
pub const ROW_SEARCH_STEPS: u32 = MAX_ROWS.trailing_zeros();

/// From here up to the next row's `pc`, frames are unwound by this rule. Rows are sorted by `pc`, each `pc` once.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// The first address that the rule holds for, relative to the file's base.
    pub pc: u32,
    /// What to do there.
    pub rule: Rule,
}

/// What a frame's CFA (the value of `rsp` before the return address was pushed) is computed from, or why it cannot be.
///
/// Unless the kind says otherwise, the return address is at CFA - 8, and the caller's `rsp` is the CFA.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The code has no CFI: hand-written or made at run time. The only way on is a guess, the frame-pointer step
    /// (return address at `rbp` + 8, caller's `rbp` at `rbp`, caller's `rsp` is `rbp` + 16).
    NoCfi = 0,
    /// CFA = `rsp` + offset.
    Rsp = 1,
    /// CFA = `rbp` + offset.
    Rbp = 2,
    /// CFA = the word at `rbp` + offset: functions that realign their stack. Here the slot counts from `rbp` + 8
    /// instead of the CFA.
    DerefRbp = 3,
    /// A stub of the procedure linkage table, which pushes a word in its middle: CFA = `rsp` + 8, and 8 more when the
    /// low four bits of `rip` reach [`Rule::plt_threshold`].
    Plt = 4,
    /// The frame that the kernel builds for a signal handler: `rip`, `rsp` and `rbp` of the interrupted code are at
    /// `rsp` + [`signal::RIP`], [`signal::RSP`] and [`signal::RBP`]. That `rip` is no return address.
    Signal = 5,
    /// The outermost frame: nobody called this code. Also the padding between functions, to which no call returns: an
    /// address there was put at the bottom of a stack (`makecontext` does so).
    End = 6,
    /// There is CFI, but no rule says the same.
    NotExpressible = 7,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 8;

    /// The kind with this number; of larger numbers the low three bits count.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number & KIND_MASK {
            0 => Self::NoCfi,
            1 => Self::Rsp,
            2 => Self::Rbp,
            3 => Self::DerefRbp,
            4 => Self::Plt,
            5 => Self::Signal,
            6 => Self::End,
            _ => Self::NotExpressible,
        }
    }
}

/// Where the registers of the interrupted code are, in bytes from `rsp` in a [`Kind::Signal`] frame: within the
/// `ucontext` that lies there once the handler has returned.
pub mod signal {
    /// `rbp`.
    pub const RBP: u64 = 120;
    /// `rsp`.
    pub const RSP: u64 = 160;
    /// `rip`.
    pub const RIP: u64 = 168;
}

/// One step, packed into the low 27 bits:
///
/// ```text
/// 26            8 7     3 2    0
/// |    offset    |  slot  | kind |
///    19, signed       5      3
/// ```
///
/// *offset* counts words of 8 bytes: -2 MiB to 2 MiB less one word. *slot* says where the caller's `rbp` is saved: 0 for
/// "it is still in `rbp`", else so many words below the CFA (or below `rbp` + 8, see [`Kind::DerefRbp`]). The five high
/// bits are 0, so that the kernel part's cache can keep the rule and 37 bits of address in one word.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule(u32);

const KIND_BITS: u32 = 3;
const KIND_MASK: u32 = (1 << KIND_BITS) - 1;
const SLOT_BITS: u32 = 5;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
const OFFSET_SHIFT: u32 = KIND_BITS + SLOT_BITS;
const OFFSET_BITS: u32 = Rule::BITS - OFFSET_SHIFT;
const WORD: i64 = 8;

impl Rule {
    /// Bits of a rule.
    pub const BITS: u32 = 27;
    /// The largest offset of the CFA, in bytes.
    pub const MAX_OFFSET: i64 = ((1 << (OFFSET_BITS - 1)) - 1) * WORD;
    /// The smallest offset of the CFA, in bytes.
    pub const MIN_OFFSET: i64 = -(1 << (OFFSET_BITS - 1)) * WORD;
    /// The farthest place of a saved `rbp`, in bytes below the CFA.
    pub const MAX_SLOT: i64 = SLOT_MASK as i64 * WORD;

    /// See [`Kind::NoCfi`].
    pub const NO_CFI: Self = Self(Kind::NoCfi as u32);
    /// See [`Kind::Signal`].
    pub const SIGNAL: Self = Self(Kind::Signal as u32);
    /// See [`Kind::End`].
    pub const END: Self = Self(Kind::End as u32);
    /// See [`Kind::NotExpressible`].
    pub const NOT_EXPRESSIBLE: Self = Self(Kind::NotExpressible as u32);

    /// A rule of the kinds [`Kind::Rsp`], [`Kind::Rbp`] and [`Kind::DerefRbp`].
    ///
    /// `offset` and `slot` are bytes; `slot` is how far below the CFA the caller's `rbp` is saved (for
    /// [`Kind::DerefRbp`]: below `rbp` + 8), 0 when it is not. `None` when one of them does not fit.
    #[must_use]
    pub const fn frame(kind: Kind, offset: i64, slot: i64) -> Option<Self> {
        if !matches!(kind, Kind::Rsp | Kind::Rbp | Kind::DerefRbp) {
            return None;
        }
        let offset_fits = offset >= Self::MIN_OFFSET && offset <= Self::MAX_OFFSET && offset & (WORD - 1) == 0;
        let slot_fits = slot >= 0 && slot <= Self::MAX_SLOT && slot & (WORD - 1) == 0;
        if !offset_fits || !slot_fits {
            return None;
        }
        // Shifts instead of divisions: the kernel part compiles this too, and both are multiples of a word.
        Some(Self::pack(kind, (offset >> 3).cast_unsigned() as u32, (slot >> 3).cast_unsigned() as u32))
    }

    /// A rule of the kind [`Kind::Plt`]; of `threshold` the low four bits count.
    #[must_use]
    pub const fn plt(threshold: u8) -> Self {
        Self::pack(Kind::Plt, threshold as u32 & 0xf, 0)
    }

    const fn pack(kind: Kind, offset: u32, slot: u32) -> Self {
        Self((offset & ((1 << OFFSET_BITS) - 1)) << OFFSET_SHIFT | slot << KIND_BITS | kind as u32)
    }

    /// The rule that [`Self::bits`] gave; of other values the low 27 bits count.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    /// The rule as a number below 2^27.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// What the CFA is computed from.
    #[must_use]
    pub const fn kind(self) -> Kind {
        Kind::from_number(self.0)
    }

    /// Whether it is one of the two kinds of nearly all frames, whose CFA needs no memory: [`Kind::Rsp`], [`Kind::Rbp`].
    #[must_use]
    pub const fn is_plain(self) -> bool {
        (self.0 & KIND_MASK).wrapping_sub(Kind::Rsp as u32) < 2
    }

    /// The CFA's offset in bytes.
    #[must_use]
    pub const fn offset(self) -> i64 {
        // Moved to the top first, so that the way back down carries the sign.
        let words = (self.0 << (u32::BITS - Self::BITS)).cast_signed() >> (u32::BITS - OFFSET_BITS);
        words as i64 * WORD
    }

    /// How many bytes below the CFA (for [`Kind::DerefRbp`]: below `rbp` + 8) the caller's `rbp` is saved; 0 when it is
    /// still in `rbp`.
    #[must_use]
    pub const fn slot(self) -> u64 {
        (self.0 >> KIND_BITS & SLOT_MASK) as u64 * WORD as u64
    }

    /// Of a [`Kind::Plt`] rule: the low four bits of `rip` from which on the pushed word is on the stack.
    #[must_use]
    pub const fn plt_threshold(self) -> u64 {
        (self.0 >> OFFSET_SHIFT & 0xf) as u64
    }
}

const _: () = {
    assert!(size_of::<Row>() == 8);
    assert!(MAX_ROWS.is_power_of_two());
    assert!(Kind::NotExpressible as usize == Kind::COUNT - 1 && Kind::COUNT == 1 << KIND_BITS);
    assert!(Rule::NO_CFI.bits() == 0, "zeroed memory means that nothing is known");
    assert!(Rule::MAX_OFFSET == (2 << 20) - 8 && Rule::MIN_OFFSET == -(2 << 20));
    let kinds = [Kind::Rsp, Kind::Rbp, Kind::DerefRbp];
    let offsets = [Rule::MIN_OFFSET, -8, 0, 8, Rule::MAX_OFFSET];
    let slots = [0, 8, Rule::MAX_SLOT];
    let mut case = 0;
    while case < kinds.len() * offsets.len() * slots.len() {
        let (kind, offset, slot) = (kinds[case % 3], offsets[case / 3 % 5], slots[case / 15]);
        let Some(rule) = Rule::frame(kind, offset, slot) else { panic!("it fits") };
        assert!(rule.bits() < 1 << Rule::BITS);
        assert!(rule.kind() as u32 == kind as u32 && rule.offset() == offset && rule.slot() == slot.cast_unsigned());
        assert!(rule.is_plain() == !matches!(kind, Kind::DerefRbp));
        case += 1;
    }
    assert!(Rule::frame(Kind::Rsp, Rule::MAX_OFFSET + 8, 0).is_none());
    assert!(Rule::frame(Kind::Rsp, 12, 0).is_none());
    assert!(Rule::frame(Kind::Rsp, 16, Rule::MAX_SLOT + 8).is_none());
    assert!(Rule::frame(Kind::Rsp, 16, -8).is_none());
    assert!(Rule::frame(Kind::End, 16, 0).is_none());
    assert!(Rule::plt(11).plt_threshold() == 11 && !Rule::plt(11).is_plain());
};

/// What tells one file from all others, as the kernel numbers them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct File {
    /// `s_dev` of its file system: major number << 20 | minor number.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

impl File {
    /// The vDSO, which the kernel maps into every process from no file.
    pub const VDSO: Self = Self { device: u64::MAX, inode: 0 };

    /// The file with this inode on the device with these numbers.
    #[must_use]
    pub const fn new((major, minor): (u32, u32), inode: u64) -> Self {
        // `MKDEV` of the kernel's `linux/kdev_t.h`.
        Self { device: (major as u64) << 20 | minor as u64, inode }
    }
}

/// Where the rows of a file are, in the hash map `FILES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTable {
    /// The first one in the array `ROWS`.
    pub first_row: u32,
    /// How many there are, at most [`MAX_ROWS`]. 0: no CFI at all, [`Rule::NO_CFI`] throughout.
    pub rows: u32,
    /// Place in the file where a row's pc is 0, in bytes.
    pub code_offset: u64,
}

/// How a walk ended. A number is never given to another meaning.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// At the outermost frame, by call frame information alone.
    Complete = 1,
    /// At the largest depth: the outer frames are missing.
    TooDeep = 2,
    /// At code with CFI that no rule can say.
    NotExpressible = 3,
    /// At code without CFI that kept no frame pointer either.
    NoCfi = 4,
    /// At a word of the stack that could not be read.
    BadRead = 5,
    /// At a frame that does not lie above the one that it called: the rules or the stack are not what they seem.
    BadFrame = 6,
    /// At an address where nothing is mapped.
    Unmapped = 7,
    /// At a file whose table is not made yet.
    NoTable = 8,
    /// While the process was changing its mappings.
    Busy = 9,
    /// At the outermost frame, with guesses by the frame pointer through code without CFI.
    Guessed = 10,
}

impl Outcome {
    /// How many there are, and one more for 0.
    pub const COUNT: usize = 11;

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT - 1] = [
        Self::Complete,
        Self::TooDeep,
        Self::NotExpressible,
        Self::NoCfi,
        Self::BadRead,
        Self::BadFrame,
        Self::Unmapped,
        Self::NoTable,
        Self::Busy,
        Self::Guessed,
    ];

    /// The outcome with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        if number == 0 || number >= Self::COUNT as u64 { None } else { Some(Self::ALL[number as usize - 1]) }
    }
}

// SAFETY: repr(C), made of integers only, without padding: any bytes are a valid value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for File {}

// SAFETY: repr(C), made of integers only, without padding: any bytes are a valid value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for FileTable {}

const _: () = {
    let mut number = 0;
    while number < Outcome::ALL.len() {
        assert!(Outcome::ALL[number] as usize == number + 1);
        number += 1;
    }
    assert!(size_of::<File>() == 16);
    assert!(size_of::<FileTable>() == 16);
};
