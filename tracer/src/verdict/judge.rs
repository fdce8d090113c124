//! From all that is known to the verdict.

use super::retention::kept;
use super::shape::{Shape, shape};
use super::{Elsewhere, Evidence, Kind, Reason, Verdict};
use crate::numbers::{float, whole};
use crate::timeline::Curve;

/// Of what is outstanding, the share that must be older than a minute for a leak suspect.
const OLD: f64 = 0.2;

/// Of the blocks by which the heap has grown, the share that only takes the place of older ones from which on it is not said
/// to grow.
const REPLACED: f64 = 0.5;

/// How sure a verdict is that has the resident set alone to go by, compared with one that knows what is outstanding.
const RESIDENT: f64 = 0.8;

/// A cache that fills at a steady pace looks like a leak until it is full: seconds of growth from which on that is not said any
/// more,
const SHORT: f64 = 60.0;

/// and how sure growth is at first, compared with later.
const AT_FIRST: f64 = 0.6;

/// A share of lost events from which on nothing is said.
const LOST: f64 = 0.2;

/// The verdict on a process or a stack.
#[must_use]
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut shape = shape(&evidence.heap);
    if shape.kind == Kind::Growing && young(evidence, shape.since_step) {
        // Until what is there by then would have become old.
        let watch_longer = (2.0 * float(old(evidence))).max(evidence.heap.seconds() / 2.0);
        shape = Shape { kind: Kind::TooEarly { watch_longer }, confidence: 0.5, ..shape };
        shape.reasons.insert(0, Reason::Young);
    }
    if shape.kind == Kind::Growing && evidence.replaced >= REPLACED {
        let watch_longer = evidence.heap.seconds().max(60.0);
        shape = Shape { kind: Kind::TooEarly { watch_longer }, confidence: 0.5, ..shape };
        shape.reasons.insert(0, Reason::Replaces { share: evidence.replaced });
    }
    if !matches!(shape.kind, Kind::Growing | Kind::LevelingOff { .. }) {
        shape = beside(evidence, shape);
    }
    let limit = seconds_to_limit(evidence, &shape);
    weigh(evidence, shape, limit)
}

/// Blocks that are all young cannot be what was never freed. But what grows by steps (a vector that doubles) is a new block at
/// each, however old the memory is that was copied to it: right after a step its age says nothing.
fn young(evidence: &Evidence, since_step: Option<f64>) -> bool {
    let seconds = old(evidence);
    if since_step.is_some_and(|since| since < float(seconds)) {
        return false;
    }
    evidence.ages.as_ref().and_then(|ages| ages.older(seconds)).is_some_and(|share| share < OLD)
}

/// From how many seconds on a block is old: of a short watch nothing can be.
fn old(evidence: &Evidence) -> u64 {
    if evidence.heap.seconds() > 180.0 { 60 } else { 5 }
}

/// What else grows when the heap does not.
fn beside(evidence: &Evidence, heap: Shape) -> Shape {
    let elsewhere = [
        (Elsewhere::AnonymousMappings, &evidence.mappings),
        (Elsewhere::ThreadStacks, &evidence.thread_stacks),
        (Elsewhere::MappedFiles, &evidence.files),
    ];
    let mut undecided = None;
    for (what, curve) in elsewhere {
        let Some(curve) = curve else { continue };
        if !matters(curve, &evidence.heap) {
            continue;
        }
        let shape = shape(curve);
        match shape.kind {
            Kind::Growing => {
                let mut reasons = vec![Reason::Beside { what }];
                reasons.extend(shape.reasons);
                return Shape { kind: Kind::NotTheHeap { what }, reasons, ..shape };
            }
            Kind::TooEarly { watch_longer } => undecided = Some((what, watch_longer, shape.reasons)),
            _ => {}
        }
    }
    if let Some((what, watch_longer, why)) = undecided
        && !matches!(heap.kind, Kind::TooEarly { .. })
    {
        let reasons = [vec![Reason::Beside { what }], why].concat();
        return Shape {
            kind: Kind::TooEarly { watch_longer },
            confidence: 0.5,
            growth: heap.growth,
            reasons,
            since_step: None,
        };
    }
    let resting = matches!(heap.kind, Kind::Steady | Kind::Shrinking);
    match evidence.resident.as_ref().filter(|_| resting).and_then(kept) {
        Some(bytes) => {
            let mut reasons = vec![Reason::Kept { bytes }];
            reasons.extend(heap.reasons);
            Shape { kind: Kind::Retention { bytes: whole(bytes) }, reasons, ..heap }
        }
        None => heap,
    }
}

/// Whether what a curve rose by is worth a word, next to the heap.
fn matters(curve: &Curve, heap: &Curve) -> bool {
    let ends = |curve: &Curve| Some((curve.points.first()?.mean, curve.points.last()?.mean));
    let (Some((first, last)), Some((_, heap))) = (ends(curve), ends(heap)) else { return false };
    last - first > 0.02 * heap.max(last)
}

fn seconds_to_limit(evidence: &Evidence, shape: &Shape) -> Option<f64> {
    let grows = matches!(shape.kind, Kind::Growing | Kind::NotTheHeap { .. });
    let (used, limit) = evidence.limit.filter(|_| grows)?;
    let rate = shape.growth?.bytes_per_second;
    (rate > 0.0).then(|| (limit - used).max(0.0) / rate)
}

/// What is not known makes a verdict less sure, and is said.
fn weigh(evidence: &Evidence, shape: Shape, seconds_to_limit: Option<f64>) -> Verdict {
    let Shape { mut kind, mut confidence, growth, mut reasons, .. } = shape;
    let mut seconds_to_limit = seconds_to_limit;
    if evidence.by_resident_set {
        confidence *= RESIDENT;
        reasons.push(Reason::ByResidentSet);
    }
    let seconds = evidence.heap.seconds();
    if seconds < SHORT && matches!(kind, Kind::Growing | Kind::NotTheHeap { .. }) {
        confidence *= AT_FIRST + (1.0 - AT_FIRST) * seconds / SHORT;
        reasons.push(Reason::ShortWatch { seconds });
    }
    if (0.05..REPLACED).contains(&evidence.replaced) && kind == Kind::Growing {
        confidence *= 1.0 - evidence.replaced;
        reasons.push(Reason::Replaces { share: evidence.replaced });
    }
    let gaps = evidence.heap.gaps;
    if gaps > 0 {
        confidence *= 0.97_f64.powf(super::statistics::number(gaps.min(10)));
        reasons.push(Reason::Gaps { count: gaps });
    }
    if evidence.lost > 0.0 {
        // A lost release looks like a leak: what is lost may be all on one side.
        confidence *= (1.0 - 2.0 * evidence.lost).max(0.0);
        let lost = Reason::Lost { share: evidence.lost };
        if evidence.lost >= LOST {
            kind = Kind::TooEarly { watch_longer: evidence.heap.seconds() };
            seconds_to_limit = None;
            reasons.insert(0, lost);
        } else {
            reasons.push(lost);
        }
    }
    Verdict { kind, confidence, growth, seconds_to_limit, reasons }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
