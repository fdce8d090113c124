//! Conditions as users write them: `rss>90%limit && growth>1MiB/min`.
//!
//! ```text
//! condition = comparison { "&&" comparison }
//! comparison = METRIC ( ">" | ">=" | "<" | "<=" ) value
//! value = SIZE | COUNT | SIZE "/" ( "s" | "min" | "h" | "d" ) | PERCENT "%" [ "of" ] OTHER | [ FACTOR "*" ] OTHER
//! OTHER = METRIC | "limit"
//! ```
//!
//! Blanks may stand anywhere between. A count (of `blocks`) has no unit of bytes; only `growth` has a unit of time.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Facts;
use crate::numbers::float;
use crate::profile::Whose;
use crate::timeline::Metric;
use crate::units;

/// Comparisons that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    comparisons: Vec<Comparison>,
}

/// Why a condition cannot be understood: one line that names what is accepted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConditionError(String);

/// A value that a condition needs is not known, so that it does not hold.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{0} is not known")]
pub struct Unknown(pub &'static str);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Comparison {
    left: Quantity,
    operator: Operator,
    factor: f64,
    /// What is multiplied by the factor; `None` is 1.
    right: Option<Quantity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    More,
    AtLeast,
    Less,
    AtMost,
}

/// Something that has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Sampled(Metric, &'static str),
    Allocator,
    Cgroup,
    Growth,
    Limit,
}

/// What the value of a quantity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Blocks,
    BytesPerSecond,
}

const QUANTITIES: [Quantity; 13] = [
    Quantity::Sampled(Metric::OutstandingBytes, "outstanding"),
    Quantity::Sampled(Metric::OutstandingBlocks, "blocks"),
    Quantity::Sampled(Metric::Rss, "rss"),
    Quantity::Sampled(Metric::Pss, "pss"),
    Quantity::Sampled(Metric::Uss, "uss"),
    Quantity::Sampled(Metric::Anonymous, "anonymous"),
    Quantity::Sampled(Metric::File, "file"),
    Quantity::Sampled(Metric::Shmem, "shmem"),
    Quantity::Sampled(Metric::Swap, "swap"),
    Quantity::Cgroup,
    Quantity::Allocator,
    Quantity::Growth,
    Quantity::Limit,
];

/// The longer ones first: `>` begins `>=`, too.
const OPERATORS: [(&str, Operator); 4] =
    [(">=", Operator::AtLeast), ("<=", Operator::AtMost), (">", Operator::More), ("<", Operator::Less)];

/// Times that a rate may be given for, in seconds.
const TIMES: [(&[&str], f64); 4] = [
    (&["s", "sec", "second"], 1.0),
    (&["m", "min", "minute"], 60.0),
    (&["h", "hour"], 3600.0),
    (&["d", "day"], 86_400.0),
];

impl Condition {
    /// Whether it holds. When a value is not known that could decide it, it does not hold, and the value is named.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, Unknown> {
        let mut unknown = None;
        for comparison in &self.comparisons {
            match comparison.holds(facts) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(name) => unknown = unknown.or(Some(name)),
            }
        }
        unknown.map_or(Ok(true), Err)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let comparisons = text.split("&&").map(Comparison::parse).collect::<Result<_, _>>().map_err(ConditionError)?;
        Ok(Self { text: text.trim().to_owned(), comparisons })
    }
}

impl Comparison {
    fn parse(text: &str) -> Result<Self, String> {
        const ACCEPTED: &str = "expected METRIC OP VALUE (joined by &&), such as rss>90%limit, outstanding>=500MiB or \
                                growth>1MiB/min";
        let at = text.find(['<', '>']).ok_or(ACCEPTED)?;
        let (left, rest) = text.split_at(at);
        let found = OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
        let (operator, value) = found.ok_or(ACCEPTED)?;
        let left = Quantity::parse(left).filter(|left| *left != Quantity::Limit);
        let left = left.ok_or_else(|| format!("expected one of {} before the comparison", names(false)))?;
        let (factor, right) = parse_value(value.trim(), left.unit())?;
        Ok(Self { left, operator, factor, right })
    }

    fn holds(&self, facts: &Facts<'_>) -> Result<bool, Unknown> {
        let value = |quantity: Quantity| quantity.value(facts).ok_or(Unknown(quantity.name()));
        let left = value(self.left)?;
        let right = self.factor * self.right.map_or(Ok(1.0), value)?;
        Ok(match self.operator {
            Operator::More => left > right,
            Operator::AtLeast => left >= right,
            Operator::Less => left < right,
            Operator::AtMost => left <= right,
        })
    }
}

impl Quantity {
    fn parse(text: &str) -> Option<Self> {
        QUANTITIES.into_iter().find(|quantity| quantity.name().eq_ignore_ascii_case(text.trim()))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sampled(_, name) => name,
            Self::Allocator => "allocator",
            Self::Cgroup => "cgroup",
            Self::Growth => "growth",
            Self::Limit => "limit",
        }
    }

    const fn unit(self) -> Unit {
        match self {
            Self::Sampled(Metric::OutstandingBlocks, _) => Unit::Blocks,
            Self::Growth => Unit::BytesPerSecond,
            _ => Unit::Bytes,
        }
    }

    fn value(self, facts: &Facts<'_>) -> Option<f64> {
        match self {
            Self::Sampled(metric, _) => facts.sample.get(metric).map(float),
            Self::Allocator => facts.sample.allocator().map(float),
            Self::Cgroup => {
                let limit = facts.limit.filter(|limit| limit.whose == Whose::ControlGroup);
                limit.map(|limit| float(limit.used))
            }
            Self::Growth => facts.growth(),
            Self::Limit => facts.limit.map(|limit| float(limit.bytes)),
        }
    }
}

/// The names of all that has a value.
fn names(with_limit: bool) -> String {
    let named = QUANTITIES.iter().filter(|quantity| with_limit || **quantity != Quantity::Limit);
    named.map(|quantity| quantity.name()).collect::<Vec<_>>().join(", ")
}

/// A factor, and what it is of.
fn parse_value(text: &str, unit: Unit) -> Result<(f64, Option<Quantity>), String> {
    let share = |number: &str, of: &str, whole: f64| {
        let of = of.trim();
        let of = of.strip_prefix("of ").unwrap_or(of);
        Some((parse_factor(number)? / whole, Quantity::parse(of)?))
    };
    let relative = if let Some((percent, of)) = text.split_once('%') {
        share(percent, of, 100.0)
    } else if let Some((factor, of)) = text.split_once('*') {
        share(factor, of, 1.0)
    } else {
        Quantity::parse(text).map(|of| (1.0, of))
    };
    match relative {
        Some(_) if unit == Unit::BytesPerSecond => Err(unit.accepted().to_owned()),
        Some((factor, of)) if of.unit() == unit => Ok((factor, Some(of))),
        Some((_, of)) => Err(format!("{} is not comparable with {}: {}", of.name(), unit.counted(), unit.accepted())),
        None if text.contains(['%', '*']) => {
            Err(format!("expected a share such as 90%limit or 2*outstanding, of one of {}", names(true)))
        }
        None => parse_number(text, unit).map(|number| (number, None)).ok_or_else(|| unit.accepted().to_owned()),
    }
}

fn parse_factor(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|factor: &f64| factor.is_finite() && *factor >= 0.0)
}

fn parse_number(text: &str, unit: Unit) -> Option<f64> {
    match unit {
        Unit::Bytes => units::size(text).ok().map(float),
        Unit::Blocks => units::number(text).map(float),
        Unit::BytesPerSecond => match text.split_once('/') {
            Some((size, time)) => {
                let (_, seconds) = TIMES.iter().find(|(names, _)| names.contains(&time.trim()))?;
                Some(float(units::size(size).ok()?) / seconds)
            }
            // Nothing is nothing in any time.
            None => units::size(text).ok().filter(|size| *size == 0).map(float),
        },
    }
}

impl Unit {
    const fn counted(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Blocks => "blocks",
            Self::BytesPerSecond => "growth",
        }
    }

    const fn accepted(self) -> &'static str {
        match self {
            Self::Bytes => {
                "expected a size such as 500MiB, a share such as 90%limit, or another metric such as 2*outstanding"
            }
            Self::Blocks => "expected a number of blocks such as 1000000 or 1M",
            Self::BytesPerSecond => "expected a growth such as 100KiB/s, 1MiB/min or 5MiB/h",
        }
    }
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
