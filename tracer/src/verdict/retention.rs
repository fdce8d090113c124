//! Memory that the program has freed and its allocator keeps.

use super::ResidentSet;
use super::statistics::median;
use crate::timeline::Curve;

/// What is kept must be at least this share of the resident set,
const SHARE: f64 = 0.1;

/// and at least so many bytes.
const LEAST: f64 = 1_048_576.0;

/// Bytes that are kept: by how much the resident set is above what is in use at most, in the last quarter, more than it was
/// above what is in use at its best. `None` where that is not much.
///
/// What is resident and no heap (code, blocks older than the trace) is in both, and so is not taken for free memory.
pub(super) fn kept(set: &ResidentSet) -> Option<f64> {
    let resident = quarters(&set.resident)?;
    let in_use = quarters(&set.in_use)?;
    let resident: Vec<f64> = resident.iter().map(|points| median(points)).collect();
    let best =
        resident.iter().zip(&in_use).map(|(resident, in_use)| resident - median(in_use)).fold(f64::INFINITY, f64::min);
    let highest = in_use.last()?.iter().copied().fold(0.0, f64::max);
    let last = *resident.last()?;
    let kept = last - highest - best;
    (kept >= LEAST && kept >= SHARE * last).then_some(kept)
}

/// The means of each quarter of the time. `None` where one has none.
#[expect(clippy::cast_sign_loss, reason = "points are in order")]
fn quarters(curve: &Curve) -> Option<[Vec<f64>; 4]> {
    let begin = curve.points.first()?.seconds;
    let seconds = curve.seconds();
    let mut quarters: [Vec<f64>; 4] = Default::default();
    for point in &curve.points {
        let quarter = ((point.seconds - begin) / seconds * 4.0) as usize;
        quarters[quarter.min(3)].push(point.mean);
    }
    quarters.iter().all(|quarter| !quarter.is_empty()).then_some(quarters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(resident: fn(f64) -> f64, in_use: fn(f64) -> f64) -> ResidentSet {
        let curve =
            |form: fn(f64) -> f64| Curve::of((0..80).map(|second| (f64::from(second), form(f64::from(second)) * 1e6)));
        ResidentSet { resident: curve(resident), in_use: curve(in_use) }
    }

    #[test]
    fn what_stays_after_a_peak_is_kept() {
        let peak = |time: f64| if (20.0..30.0).contains(&time) { 100.0 } else { 10.0 };
        let kept = kept(&set(|time| if time < 20.0 { 40.0 } else { 130.0 }, peak)).unwrap();
        assert!((kept - 90e6).abs() < 1e3, "{kept}");
    }

    #[test]
    fn what_is_used_again_is_not_kept_and_neither_is_what_was_there_before() {
        let sawtooth = |time: f64| 10.0 + 3.0 * (time % 10.0);
        assert_eq!(kept(&set(|_| 60.0, sawtooth)), None);
        assert_eq!(kept(&set(|time| 40.0 + time, |time| 10.0 + time)), None);
        assert_eq!(kept(&ResidentSet::default()), None);
    }
}
