//! What one curve does, without any facts beside it.

use super::cycles::{Cycles, cycles};
use super::levels::Levels;
use super::phases::{Phase, last_phase};
use super::statistics::{Bend, Slope, Trend, bend, mann_kendall, median, number, over, spread, theil_sen};
use super::steps::{Steps, may_go_on, steps};
use super::{Growth, Kind, Reason};
use crate::timeline::Curve;

/// What a curve does. Of kinds it has neither [`Kind::Retention`] nor [`Kind::NotTheHeap`], which need more than a curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// What it does.
    pub kind: Kind,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// Its growth, where there are enough samples.
    pub growth: Option<Growth>,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Where it grows by steps: seconds since the last one, at least.
    pub since_step: Option<f64>,
}

/// Samples without which nothing is said.
const SAMPLES: usize = 16;

/// Levels without which nothing is said of a phase.
pub(super) const LEVELS: usize = 6;

/// A trend that is less likely than this by chance is one.
const CHANCE: f64 = 0.01;

/// And its slope is so many standard errors from 0.
const ERRORS: f64 = 3.0;

/// The same for a phase that does not begin with the curve.
const ERRORS_OF_PHASE: f64 = 5.0;

/// Growth goes on if no more time constants than these can have passed: the slope is then at least 0.4 of its mean.
const ON: f64 = 1.5;

/// It slows down if at least these have passed, for sure.
const SLOWS: f64 = 1.5;

/// By so much must a saturating curve be the better model (Burnham and Anderson, "Model selection and multimodel
/// inference", 2002: the other one has essentially no support).
const SURELY: f64 = 10.0;

/// By so much, in units of a parameter's price by Schwarz's criterion, may a rise that is over be the worse model for a rise
/// to be doubted.
const OVER: f64 = 1.0;

/// And it must have risen by this share of its level.
const ROSE: f64 = 0.15;

/// A curve that was at its plateau after a tenth of the time had a start-up, and is no bloat.
const STARTUP: f64 = 10.0;

/// A saturating curve has leveled off enough to tell the plateau when this share of its rise is over.
const REACHED: f64 = 0.88;

/// What could have grown unseen, as a share of the level, for a curve to be called steady.
const UNSEEN: f64 = 0.2;

/// And this much, in bytes: a page. Of a process that holds next to nothing, 20 % are less than a block that is there for a
/// moment, when it is looked.
pub(super) const LEAST: f64 = 4096.0;

/// By so many standard errors more than what was seen could it have grown: one in 160.
const BEYOND: f64 = 2.5;

/// And, unless it would be less than half of that, its slope must be less than so many standard errors: more is a hint of
/// growth, though no proof.
const HINT: f64 = 2.0;

/// The same as a share of its own noise.
const UNSEEN_NOISE: f64 = 1.0;

/// Growth of less than this share of the level is none worth speaking of, however sure.
const MATERIAL: f64 = 0.01;

/// The last values are higher than those before if they are by so many standard errors.
const JUST: f64 = 3.5;

/// A fall of less than this share of the level is a steady curve's.
const FALLS: f64 = 0.15;

/// Steps that make a pattern.
const STEPS: usize = 3;

/// A step is overdue after so many times the wait for it.
const LATE: f64 = 1.5;

/// A curve and what was measured of it.
struct Measured {
    cycles: Option<Cycles>,
    levels: Levels,
    phase: Phase,
    bend: Bend,
    trend: Trend,
    slope: Slope,
    level: f64,
    noise: f64,
    reasons: Vec<Reason>,
}

/// What a curve does.
#[must_use]
pub fn shape(curve: &Curve) -> Shape {
    let seconds = curve.seconds();
    if curve.points.len() < SAMPLES {
        return too_early(vec![Reason::FewSamples { samples: curve.points.len() }], until_enough(curve));
    }
    let (cycles, few) = match cycles(curve) {
        // Of these the low points say nothing yet.
        Some(cycles) if cycles.bottoms.len() <= LEVELS => (None, true),
        cycles => (cycles, false),
    };
    let levels = Levels::of(curve, cycles.as_ref());
    if cycles.is_none()
        && let Some(steps) = steps(&levels)
        && let Some(shape) = by_steps(&levels, &steps)
    {
        return shape;
    }
    match measured(curve, cycles, levels) {
        Some(measured) if few => {
            // A part of a cycle can look like growth.
            let shape = by_trend(measured);
            if shape.kind == Kind::Growing { too_early(vec![Reason::JustRose], seconds) } else { shape }
        }
        Some(measured) => by_trend(measured),
        None => too_early(vec![Reason::FewSamples { samples: curve.points.len() }], seconds),
    }
}

/// Seconds until there are enough samples, if they go on to come as they did.
fn until_enough(curve: &Curve) -> f64 {
    let missing = number(SAMPLES.saturating_sub(curve.points.len()));
    match curve.points.len() {
        0 | 1 => 30.0,
        samples => missing * curve.seconds() / number(samples - 1),
    }
}

fn too_early(reasons: Vec<Reason>, watch_longer: f64) -> Shape {
    Shape { kind: Kind::TooEarly { watch_longer }, confidence: 0.5, growth: None, reasons, since_step: None }
}

fn measured(curve: &Curve, cycles: Option<Cycles>, levels: Levels) -> Option<Measured> {
    let phase = last_phase(&levels.values);
    let values = &levels.values[phase.from..];
    let pairs = levels.pairs(phase.from);
    let (bend, trend) = (bend(values)?, mann_kendall(&pairs)?);
    let slope = theil_sen(&pairs, trend.inflation)?;
    let level = median(values).abs();
    let noise = noise(curve, levels.begin_of(phase.from), &slope);
    let mut reasons = Vec::new();
    if let Some(Cycles { count, period, .. }) = &cycles {
        reasons.push(Reason::Cycles { count: *count, period: *period });
    }
    if phase.from > phase.skipped {
        reasons.push(Reason::PhaseEnded { seconds: levels.begin_of(phase.from) });
    }
    Some(Measured { cycles, levels, phase, bend, trend, slope, level, noise, reasons })
}

/// How far points of a phase are from its line, usually.
fn noise(curve: &Curve, begin: f64, slope: &Slope) -> f64 {
    let points = curve.points.iter().filter(|point| point.seconds >= begin);
    spread(&points.map(|point| point.mean - slope.slope * point.seconds).collect::<Vec<_>>())
}

impl Measured {
    fn growth(&self) -> Growth {
        let Slope { slope, low, high, .. } = self.slope;
        Growth { bytes_per_second: slope, low, high }
    }

    /// How many standard errors the straight line's rise is from 0.
    fn errors(&self) -> f64 {
        let (rise, error) = self.bend.line;
        if error > 0.0 { rise / error } else { 0.0 }
    }

    fn says(mut self, kind: Kind, confidence: f64, reasons: &[Reason]) -> Shape {
        let growth = Some(self.growth());
        self.reasons.splice(0..0, reasons.iter().copied());
        Shape { kind, confidence: confidence.clamp(0.0, 1.0), growth, reasons: self.reasons, since_step: None }
    }

    fn too_early(self, reasons: &[Reason]) -> Shape {
        let watch_longer = self.levels.seconds();
        self.says(Kind::TooEarly { watch_longer }, 0.5, reasons)
    }

    /// How likely it is that the line's rise lies beyond a bound, as standard errors.
    fn beyond(&self, bound: f64) -> f64 {
        (self.bend.line.0 - bound) / self.bend.line.1.max(f64::MIN_POSITIVE)
    }
}

/// By the trend of the last phase.
fn by_trend(measured: Measured) -> Shape {
    let (errors, trend) = (measured.errors(), measured.trend);
    if let Some(plateau) = measured.saturates() {
        if measured.quiet_for_now() {
            return measured.too_early(&[Reason::JustSlowed]);
        }
        let reasons = [Reason::SlowsDown { bend: measured.bend.least }];
        let reached = 1.0 - (-measured.bend.bend).exp();
        return measured.says(Kind::LevelingOff { plateau }, 0.95 * reached, &reasons);
    }
    // A phase was chosen for being different, so that some of its trend is the choice.
    let least = if measured.phase.from > measured.phase.skipped { ERRORS_OF_PHASE } else { ERRORS };
    let significant = trend.p <= CHANCE && errors.abs() >= least;
    let material = measured.bend.line.0 >= MATERIAL * measured.level;
    if significant && material && errors > 0.0 && trend.s > 0.0 {
        return rising(measured);
    }
    if significant && errors < 0.0 && trend.s < 0.0 && -measured.bend.line.0 >= FALLS * measured.level {
        return falling(measured);
    }
    flat(measured)
}

fn falling(measured: Measured) -> Shape {
    let p = measured.trend.p;
    if measured.cycles.is_some() {
        return measured.too_early(&[Reason::Trend { p }]);
    }
    measured.says(Kind::Shrinking, 1.0 - p, &[Reason::Trend { p }])
}

fn rising(measured: Measured) -> Shape {
    let Bend { low, high, .. } = measured.bend;
    let p = measured.trend.p;
    if high <= ON {
        return if measured.slowed() || measured.stopped() {
            measured.too_early(&[Reason::JustSlowed])
        } else if measured.phase.short_for_growth() {
            measured.too_early(&[Reason::JustRose])
        } else if measured.returned() {
            measured.too_early(&[Reason::CameBack])
        } else {
            let confidence = (1.0 - p) * (1.0 - 0.05 * ((high + 1.0) / (ON + 1.0)).max(0.0));
            measured.says(Kind::Growing, confidence, &[Reason::Trend { p }, Reason::NotLevelingOff { bend: high }])
        };
    }
    measured.too_early(&[Reason::BendUnknown { low, high }])
}

fn flat(measured: Measured) -> Shape {
    let (rise, error) = measured.bend.line;
    let at_most = (rise + BEYOND * error).max(0.0);
    let height = measured.cycles.as_ref().map_or(0.0, |cycles| 0.15 * cycles.height);
    let bound = (UNSEEN * measured.level).max(UNSEEN_NOISE * measured.noise).max(height).max(LEAST);
    let hint = measured.errors() > HINT && at_most > 0.5 * bound;
    if at_most > bound.min(measured.went_on()) || hint {
        return measured.too_early(&[Reason::Uncertain { at_most }]);
    }
    if measured.just_rose() || measured.phase.short() {
        return measured.too_early(&[Reason::JustRose]);
    }
    if measured.quiet_for_now() {
        return measured.too_early(&[Reason::JustSlowed]);
    }
    // The chance that the rise is beyond the bound after all.
    let confidence = 0.5 * (1.0 + libm::erf(-measured.beyond(bound) / std::f64::consts::SQRT_2));
    let reasons = [Reason::NoTrend { at_most }];
    if measured.cycles.is_some() {
        return measured.says(Kind::Sawtooth, confidence, &reasons);
    }
    match measured.phase.rose_late(&measured.levels.values) {
        Some(plateau) => measured.says(Kind::LevelingOff { plateau }, confidence, &reasons),
        None => measured.says(Kind::Steady, confidence, &reasons),
    }
}

impl Measured {
    /// Whether it rose by steps that may go on.
    fn quiet_for_now(&self) -> bool {
        let values = &self.levels.values[self.phase.skipped..];
        let tenth = (values.len() / 10).max(1);
        let rise = median(&values[values.len() - tenth..]) - median(&values[..tenth]);
        self.cycles.is_none() && rise >= ROSE * self.level && may_go_on(&self.levels)
    }

    /// Whether the last eighth lies above what was before it by more than its noise explains.
    fn just_rose(&self) -> bool {
        let values = &self.levels.values[self.phase.from..];
        let tail = (values.len() / 8).max(2);
        let (before, last) = values.split_at(values.len() - tail);
        let error = spread(before).max(1e-3 * self.level) * (1.0 + self.bend.share) / (1.0 - self.bend.share);
        median(last) - median(before) > JUST * error / number(tail).sqrt()
    }

    /// Half of what this phase would have risen by if it went on as what was before it, where that rose for sure. A rest that
    /// is shorter than that is none.
    fn went_on(&self) -> f64 {
        let Phase { skipped, from, .. } = self.phase;
        let pairs = self.levels.pairs(skipped);
        let before = &pairs[..from.saturating_sub(skipped)];
        let rose = mann_kendall(before).is_some_and(|trend| trend.p <= CHANCE && trend.s > 0.0);
        let slope = theil_sen(before, 1.0).filter(|_| rose);
        let seconds = self.levels.width * number(self.levels.values.len() - from);
        slope.map_or(f64::INFINITY, |slope| 0.5 * slope.slope * seconds)
    }

    /// The plateau, if the curve approaches one for sure, rose to it by more than a trifle, and has come near.
    fn saturates(&self) -> Option<f64> {
        let Bend { bend, least, rise, plateau, criteria: [constant, line, saturating], .. } = self.bend;
        let better = saturating + SURELY < constant.min(line);
        let rose = rise >= (ROSE * self.level).max(LEAST) && 1.0 - (-bend).exp() >= REACHED;
        plateau.filter(|_| better && rose && (SLOWS..STARTUP).contains(&least) && !self.goes_on())
    }

    /// Whether the second half by itself rises, and bends much less than the whole would have it: no plateau then.
    fn goes_on(&self) -> bool {
        let values = &self.levels.values[self.phase.from..];
        bend(&values[values.len() / 2..]).is_some_and(|half| {
            half.line.0 >= ERRORS * half.line.1 && half.low <= 0.25 && half.bend <= 0.2 * self.bend.bend
        })
    }

    /// Whether it is as likely that the rise is over: by a step, or by a line that ends, with nothing in the last fifth at least.
    fn stopped(&self) -> bool {
        let values = &self.levels.values[self.phase.from..];
        let over = over(values, values.len() / 5);
        over.worth * (self.bend.squares / over.squares).ln() > OVER * over.worth.ln()
    }

    /// Whether the rise of the last phase has only come back to where it was before.
    fn returned(&self) -> bool {
        let rise = self.bend.line.0;
        let middle = median(&self.levels.values[self.phase.from..]);
        self.phase.returns(&self.levels.values, rise, middle + rise / 2.0)
    }

    /// Whether the last third rises by less than half as fast as all of it, for sure.
    fn slowed(&self) -> bool {
        let pairs = self.levels.pairs(self.phase.from);
        let third = (pairs.len() / 3).max(6).min(pairs.len());
        theil_sen(&pairs[pairs.len() - third..], self.trend.inflation.max(1.0))
            .is_some_and(|tail| tail.high < 0.5 * self.slope.slope)
    }
}

/// By steps, where that is what it grows by, and as long as the next one is not overdue.
fn by_steps(levels: &Levels, steps: &Steps) -> Option<Shape> {
    let due = LATE * steps.expected - number(levels.values.len() - steps.last);
    if due < 0.0 {
        return None;
    }
    let rate = (levels.values.last()? - levels.values.first()?) / levels.seconds();
    // Between no further step and one that is to come at once.
    let growth = Some(Growth { bytes_per_second: rate, low: 0.0, high: 2.0 * rate });
    let watch_longer = due.max(1.0) * levels.width;
    let goes_on = Reason::StepsGoOn { count: steps.count };
    if steps.count < STEPS {
        return Some(Shape { growth, ..too_early(vec![Reason::JustRose, goes_on], watch_longer) });
    }
    let confidence = 1.0 - 0.5_f64.powf(number(steps.count));
    // The step may have come at the end of its level.
    let since_step = Some(number((levels.values.len() - steps.last).saturating_sub(1)) * levels.width);
    Some(Shape { kind: Kind::Growing, confidence, growth, reasons: vec![goes_on], since_step })
}
