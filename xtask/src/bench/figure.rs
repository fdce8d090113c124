//! What a bench gives: rows of figures, each with the reach that it is held against, if any.

use std::borrow::Cow;

use serde::Serialize;

use super::machine::Machine;

/// Version of the JSON form. It grows by one when a field changes its meaning or goes.
const SCHEMA: u32 = 1;

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Bench {
    schema: u32,
    /// heaptide's version.
    version: &'static str,
    /// Whether the shorter form was asked for.
    quick: bool,
    machine: Machine,
    pub(crate) rows: Vec<Row>,
}

impl Bench {
    pub(crate) fn new(machine: Machine, quick: bool) -> Self {
        Self { schema: SCHEMA, version: env!("CARGO_PKG_VERSION"), quick, machine, rows: Vec::new() }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The names of the rows that could not be measured.
    pub(crate) fn failed(&self) -> Vec<&'static str> {
        let failed = self.rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_)));
        failed.map(|row| row.name).collect()
    }
}

/// One thing that was done, and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What was done, in words.
    pub(crate) what: String,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Figures(Vec<Figure>),
    /// It needs something that cannot be had here: the reason.
    Skipped(String),
    /// It could not be measured: the reason.
    Failed(String),
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) reach: Option<Reach>,
}

/// What a figure should reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Reach {
    pub(crate) at_most: f64,
    pub(crate) met: bool,
}

impl Figure {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, reach: None }
    }

    /// A whole number.
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    pub(crate) fn count(name: impl Into<Cow<'static, str>>, value: u64, unit: &'static str) -> Self {
        Self::new(name, value as f64, unit)
    }

    /// Holds it against a reach.
    pub(crate) fn at_most(mut self, at_most: f64) -> Self {
        self.reach = Some(Reach { at_most, met: self.value <= at_most });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_is_met_by_its_own_value_and_missed_above_it() {
        let met = |value| Figure::new("cost", value, "ns").at_most(250.0).reach.map(|reach| reach.met);
        assert_eq!([met(250.0), met(250.1)], [Some(true), Some(false)]);
    }

    #[test]
    fn the_json_of_a_row_says_how_it_ended_by_the_name_of_a_field() {
        let row = |outcome| Row { name: "live", what: String::new(), outcome };
        let json = |outcome| serde_json::to_value(row(outcome)).unwrap();
        let measured = json(Outcome::Figures(vec![Figure::count("blocks", 3, "blocks").at_most(5.0)]));
        assert_eq!(measured["figures"][0]["reach"]["met"], true);
        assert_eq!(json(Outcome::Skipped("no package".to_owned()))["skipped"], "no package");
    }
}
