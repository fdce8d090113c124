//! One row of call frame information as a [`Rule`].

use gimli::{
    CfaRule, EndianSlice, Expression, LittleEndian, Operation, Register, RegisterRule, UnwindContextStorage,
    UnwindSection, UnwindTableRow, X86_64,
};

use super::{Kind, Rule};
use heaptide_common::unwind::signal;

/// How sections are read.
pub(super) type Bytes<'data> = EndianSlice<'data, LittleEndian>;

const RSP: Register = X86_64::RSP;
const RBP: Register = X86_64::RBP;
const RIP: Register = X86_64::RA;

/// Room for what a row says. Compilers describe the seven registers that calls preserve, and the return address;
/// signal frames describe all seventeen.
pub(super) struct Storage;

impl UnwindContextStorage<usize> for Storage {
    type Rules = [(Register, RegisterRule<usize>); 24];
    type Stack = [UnwindTableRow<usize, Self>; 8];
}

/// What an expression computes, of those that occur in unwinding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// A register plus an offset.
    Sum(Register, i64),
    /// The word in memory at a register plus an offset.
    Word(Register, i64),
    /// The CFA of a linkage stub: see [`Kind::Plt`].
    Plt(u8),
    Other,
}

/// The rule that says what `row` does, for what it says about `rsp`, `rbp` and `rip`.
pub(super) fn rule<'data, S: UnwindSection<Bytes<'data>>>(
    row: &UnwindTableRow<usize, Storage>,
    section: &S,
    encoding: gimli::Encoding,
) -> Rule {
    let meaning = |expression: &gimli::UnwindExpression<usize>| {
        expression.get(section).map_or(Meaning::Other, |expression| meaning(expression, encoding))
    };
    let address = row.register(RIP);
    if address == Some(RegisterRule::Undefined) {
        return Rule::END;
    }
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => Meaning::Sum(*register, *offset),
        CfaRule::Expression(expression) => meaning(expression),
    };
    if let Some(RegisterRule::Expression(address)) = &address {
        return signal_frame(cfa, meaning(address), row.register(RBP).as_ref(), meaning);
    }
    let stack_pointer_is_cfa = matches!(row.register(RSP), None | Some(RegisterRule::ValOffset(0)));
    if address != Some(RegisterRule::Offset(-8)) || !stack_pointer_is_cfa {
        return Rule::NOT_EXPRESSIBLE;
    }
    let saved = match row.register(RBP) {
        None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => Saved::No,
        Some(RegisterRule::Offset(offset)) => Saved::AtCfa(offset),
        Some(RegisterRule::Expression(expression)) => match meaning(&expression) {
            Meaning::Sum(RBP, offset) => Saved::AtRbp(offset),
            _ => return Rule::NOT_EXPRESSIBLE,
        },
        Some(_) => return Rule::NOT_EXPRESSIBLE,
    };
    frame(cfa, saved).unwrap_or(Rule::NOT_EXPRESSIBLE)
}

/// Where the caller's `rbp` is.
#[derive(Clone, Copy)]
enum Saved {
    No,
    AtCfa(i64),
    AtRbp(i64),
}

fn frame(cfa: Meaning, saved: Saved) -> Option<Rule> {
    let (kind, offset) = match (cfa, saved) {
        (Meaning::Plt(threshold), Saved::No) => return Some(Rule::plt(threshold)),
        (Meaning::Sum(RSP, offset), _) => (Kind::Rsp, offset),
        (Meaning::Sum(RBP, offset), _) => (Kind::Rbp, offset),
        (Meaning::Word(RBP, offset), _) => (Kind::DerefRbp, offset),
        _ => return None,
    };
    let slot = match (kind, saved) {
        (_, Saved::No) => 0,
        // A slot of 0 would mean that nothing is saved.
        (Kind::Rsp | Kind::Rbp, Saved::AtCfa(saved)) if saved < 0 => saved.checked_neg()?,
        (Kind::Rbp, Saved::AtRbp(saved)) => offset.checked_sub(saved).filter(|&slot| slot > 0)?,
        (Kind::DerefRbp, Saved::AtRbp(saved)) => 8_i64.checked_sub(saved).filter(|&slot| slot > 0)?,
        _ => return None,
    };
    Rule::frame(kind, offset, slot)
}

/// The rule of a frame whose return address is found by an expression: a signal frame in the kernel's own layout, or
/// nothing that is known.
fn signal_frame(
    cfa: Meaning,
    address: Meaning,
    saved: Option<&RegisterRule<usize>>,
    meaning: impl Fn(&gimli::UnwindExpression<usize>) -> Meaning,
) -> Rule {
    let at = |place: u64| Meaning::Sum(RSP, place.cast_signed());
    let Some(RegisterRule::Expression(saved)) = saved else { return Rule::NOT_EXPRESSIBLE };
    let cfa_is_interrupted_rsp = cfa == Meaning::Word(RSP, signal::RSP.cast_signed());
    if cfa_is_interrupted_rsp && address == at(signal::RIP) && meaning(saved) == at(signal::RBP) {
        Rule::SIGNAL
    } else {
        Rule::NOT_EXPRESSIBLE
    }
}

fn meaning(expression: Expression<Bytes<'_>>, encoding: gimli::Encoding) -> Meaning {
    if let Some(threshold) = plt_threshold(expression.0.slice()) {
        return Meaning::Plt(threshold);
    }
    let mut operations = expression.operations(encoding);
    let Ok(Some(Operation::RegisterOffset { register, offset, .. })) = operations.next() else {
        return Meaning::Other;
    };
    match (operations.next(), operations.next()) {
        (Ok(None), _) => Meaning::Sum(register, offset),
        (Ok(Some(Operation::Deref { size: 8, space: false, .. })), Ok(None)) => Meaning::Word(register, offset),
        _ => Meaning::Other,
    }
}

/// Linkers write `rsp + 8 + ((rip & 15) >= threshold) * 8` in this one way.
fn plt_threshold(expression: &[u8]) -> Option<u8> {
    use gimli::constants as dw;
    const BEGIN: [u8; 6] = [dw::DW_OP_breg7.0, 8, dw::DW_OP_breg16.0, 0, dw::DW_OP_lit15.0, dw::DW_OP_and.0];
    const END: [u8; 4] = [dw::DW_OP_ge.0, dw::DW_OP_lit3.0, dw::DW_OP_shl.0, dw::DW_OP_plus.0];
    let [threshold] = expression.strip_prefix(&BEGIN)?.strip_suffix(&END)? else { return None };
    (dw::DW_OP_lit0.0..=dw::DW_OP_lit15.0).contains(threshold).then(|| threshold - dw::DW_OP_lit0.0)
}
