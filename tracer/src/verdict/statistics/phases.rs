//! Where one phase ends and another begins.
//!
//! Lines through consecutive stretches, as many as Schwarz's criterion pays for (G. Schwarz, "Estimating the dimension of a
//! model", Annals of Statistics 6, 1978); for each number of stretches the best places, found by going through all of them
//! (I. E. Auger and C. E. Lawrence, "Algorithms for the optimal identification of segment neighborhoods", Bulletin of
//! Mathematical Biology 51, 1989). Errors that depend on each other would make phases everywhere, so values count as many as
//! independent ones would: (1 - r) / (1 + r) of them, r being the correlation of neighbours in what the lines leave.

use super::number;

/// Values of a stretch, at least.
const LEAST: usize = 2;

/// Stretches at most.
const MOST: usize = 5;

/// Stairs at most.
const STAIRS: usize = 10;

/// A stretch costs a slope, a level and a place; and evidence for it must be strong: 6 (R. E. Kass and A. E. Raftery,
/// Journal of the American Statistical Association 90, 1995).
const PARAMETERS: f64 = 3.0;
const STRONG: f64 = 6.0;

/// Values in phases.
#[derive(Clone, Debug, PartialEq)]
pub struct Phases {
    /// The first value of each phase; 0 comes first.
    pub begins: Vec<usize>,
    /// The slope of each phase, in units a value.
    pub slopes: Vec<f64>,
    /// Sum of squares that the phases' lines leave.
    pub squares: f64,
    /// As how many independent values the values count.
    pub worth: f64,
}

/// Sums from which any stretch's line follows.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: f64,
    x: f64,
    xx: f64,
    y: f64,
    xy: f64,
    yy: f64,
}

/// A line through a stretch.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    slope: f64,
    intercept: f64,
    squares: f64,
}

impl Line {
    fn at(&self, index: usize) -> f64 {
        self.intercept + self.slope * number(index)
    }
}

impl Sums {
    fn with(mut self, index: usize, y: f64) -> Self {
        let x = number(index);
        self.count += 1.0;
        self.x += x;
        self.xx += x * x;
        self.y += y;
        self.xy += x * y;
        self.yy += y * y;
        self
    }

    fn without(mut self, other: &Self) -> Self {
        self.count -= other.count;
        self.x -= other.x;
        self.xx -= other.xx;
        self.y -= other.y;
        self.xy -= other.xy;
        self.yy -= other.yy;
        self
    }

    /// The mean, and the sum of squares around it.
    fn level(&self) -> (f64, f64) {
        let mean = self.y / self.count;
        (mean, (self.yy - mean * self.y).max(0.0))
    }

    /// A line up to a place, from which on it is flat; these are the sums before that place.
    fn hinge(&self, at: usize, after: &Self) -> Line {
        let place = number(at);
        Self {
            count: self.count + after.count,
            x: self.x + after.count * place,
            xx: self.xx + after.count * place * place,
            y: self.y + after.y,
            xy: self.xy + after.y * place,
            yy: self.yy + after.yy,
        }
        .line()
    }

    fn line(&self) -> Line {
        let sxx = self.xx - self.x * self.x / self.count;
        let sxy = self.xy - self.x * self.y / self.count;
        let syy = self.yy - self.y * self.y / self.count;
        let slope = if sxx > 0.0 { sxy / sxx } else { 0.0 };
        Line { slope, intercept: (self.y - slope * self.x) / self.count, squares: (syy - slope * sxy).max(0.0) }
    }
}

/// The phases of some values; the last has at least `last` of them (three or more). One phase where there are too few.
#[must_use]
pub fn phases(values: &[f64], last: usize) -> Phases {
    let last = last.max(LEAST);
    let middle = super::median(values);
    let sums = sums(values, middle);
    let line = |from: usize, to: usize| sums[to].without(&sums[from]).line();
    let floor = super::regression::floor(values) * number(values.len());
    let mut best: Option<(f64, Phases)> = None;
    for begins in best_places(values.len(), [LEAST, last], MOST, |from, to| line(from, to).squares) {
        let ends = begins.iter().skip(1).copied().chain([values.len()]);
        let lines: Vec<(usize, usize, Line)> =
            begins.iter().zip(ends).map(|(&from, to)| (from, to, line(from, to))).collect();
        let errors =
            lines.iter().flat_map(|(from, to, line)| (*from..*to).map(|index| values[index] - middle - line.at(index)));
        let worth = worth(&errors.collect::<Vec<_>>());
        let squares: f64 = lines.iter().map(|(_, _, line)| line.squares).sum();
        let slopes = lines.iter().map(|(_, _, line)| line.slope).collect();
        let phases = Phases { begins, slopes, squares: squares + floor, worth };
        let price = (PARAMETERS * worth.ln() + STRONG) * number(phases.begins.len() - 1);
        // Too few lines leave more than errors, and too many leave less: the truth is in between.
        let better = best.as_ref().is_none_or(|(paid, chosen)| {
            (worth * chosen.worth).sqrt() * (chosen.squares / phases.squares).ln() > price - paid
        });
        if better {
            best = Some((price, phases));
        }
    }
    let none = || Phases { begins: vec![0], slopes: vec![0.0], squares: floor, worth: number(values.len()) };
    best.map_or_else(none, |(_, phases)| phases)
}

/// Stairs: values that stand still between steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Stairs {
    /// The first value of each stair; 0 comes first.
    pub begins: Vec<usize>,
    /// The mean of each stair.
    pub means: Vec<f64>,
    /// Sum of squares that the stairs leave.
    pub squares: f64,
    /// As how many independent values the values count.
    pub worth: f64,
}

/// The stairs of some values, as [`phases`] finds lines: a stair costs a level and a place.
#[must_use]
pub fn stairs(values: &[f64]) -> Stairs {
    const PARAMETERS: f64 = 2.0;
    let middle = super::median(values);
    let sums = sums(values, middle);
    let level = |from: usize, to: usize| sums[to].without(&sums[from]).level();
    let floor = super::regression::floor(values) * number(values.len());
    let mut best: Option<(f64, Stairs)> = None;
    for begins in best_places(values.len(), [2, 2], STAIRS, |from, to| level(from, to).1) {
        let ends = begins.iter().skip(1).copied().chain([values.len()]);
        let levels: Vec<(usize, usize, f64)> =
            begins.iter().zip(ends).map(|(&from, to)| (from, to, level(from, to).0 + middle)).collect();
        let errors: Vec<f64> = levels
            .iter()
            .flat_map(|&(from, to, mean)| values[from..to].iter().map(move |value| value - mean))
            .collect();
        let worth = worth(&errors);
        let squares = errors.iter().map(|error| error * error).sum::<f64>() + floor;
        let price = (PARAMETERS * worth.ln() + STRONG) * number(begins.len() - 1);
        if best.as_ref().is_none_or(|(paid, chosen)| worth * (chosen.squares / squares).ln() > price - paid) {
            let means = levels.iter().map(|(_, _, mean)| *mean).collect();
            best = Some((price, Stairs { begins, means, squares, worth }));
        }
    }
    let none = || Stairs { begins: vec![0], means: vec![middle], squares: floor, worth: number(values.len()) };
    best.map_or_else(none, |(_, stairs)| stairs)
}

/// A rise that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Over {
    /// The first value after it.
    pub at: usize,
    /// Sum of squares that this model leaves.
    pub squares: f64,
    /// As how many independent values the values count.
    pub worth: f64,
}

/// The best fit of a rise that is over: flat, a step, and flat again, or a line up to where it is flat, with at least `flat`
/// values at the end.
#[must_use]
pub fn over(values: &[f64], flat: usize) -> Over {
    let count = values.len();
    let middle = super::median(values);
    let sums = sums(values, middle);
    let all = sums[count];
    let mut best = (f64::INFINITY, count, false);
    let most = count.saturating_sub(flat.max(LEAST));
    for (at, before) in sums.iter().enumerate().take(most + 1).skip(LEAST) {
        let after = all.without(before);
        let step = before.level().1 + after.level().1;
        let hinge = before.hinge(at, &after).squares;
        for (squares, is_hinge) in [(step, false), (hinge, true)] {
            if squares < best.0 {
                best = (squares, at, is_hinge);
            }
        }
    }
    let (squares, at, is_hinge) = best;
    let before = sums[at];
    let (low, high) = (before.level().0, all.without(&before).level().0);
    let hinge = before.hinge(at, &all.without(&before));
    let model = |index: usize| match (is_hinge, index < at) {
        (true, _) => hinge.at(index.min(at)),
        (false, true) => low,
        (false, false) => high,
    };
    let errors: Vec<f64> = values.iter().enumerate().map(|(index, value)| value - middle - model(index)).collect();
    Over { at, squares: squares + super::regression::floor(values) * number(count), worth: worth(&errors) }
}

/// The sums up to each value, which are taken less a middle: large ones that differ little would lose their differences in
/// the squares.
fn sums(values: &[f64], middle: f64) -> Vec<Sums> {
    let mut sums = Vec::with_capacity(values.len() + 1);
    sums.push(Sums::default());
    sums.extend(values.iter().enumerate().scan(Sums::default(), |sum, (index, value)| {
        *sum = sum.with(index, value - middle);
        Some(*sum)
    }));
    sums
}

/// For each number of stretches from one on: where they begin so that their costs add up to the least.
/// First the shortest length of a stretch, then that of the last one.
fn best_places(
    count: usize,
    [shortest, ending]: [usize; 2],
    most: usize,
    cost: impl Fn(usize, usize) -> f64,
) -> Vec<Vec<usize>> {
    let mut sums = vec![f64::INFINITY; count + 1];
    // Of each stretch, by its end and then its begin.
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); count + 1];
    for end in shortest..=count {
        sums[end] = cost(0, end);
        costs[end] = (0..=end - shortest).map(|begin| cost(begin, end)).collect();
    }
    // The last begin for each end, by the number of begins after the first.
    let mut begins: Vec<Vec<usize>> = Vec::new();
    let mut found = vec![vec![0]];
    for _ in 1..most {
        let mut longer = vec![f64::INFINITY; count + 1];
        let mut from = vec![0; count + 1];
        for end in 2 * shortest..=count {
            let this = if end == count { ending } else { shortest };
            for begin in shortest..=end.saturating_sub(this) {
                let sum = sums[begin] + costs[end][begin];
                if sum < longer[end] {
                    (longer[end], from[end]) = (sum, begin);
                }
            }
        }
        if longer[count].is_infinite() {
            break;
        }
        begins.push(from);
        sums = longer;
        let back = begins.iter().rev().scan(count, |end, from| {
            *end = from[*end];
            Some(*end)
        });
        let mut places: Vec<usize> = back.chain([0]).collect();
        places.reverse();
        found.push(places);
    }
    found
}

/// As how many independent values these errors count, which are around 0.
pub(super) fn worth(errors: &[f64]) -> f64 {
    let whole: f64 = errors.iter().map(|error| error * error).sum();
    let neighbours: f64 = errors.iter().zip(errors.iter().skip(1)).map(|(one, next)| one * next).sum();
    let correlation = if whole > 0.0 { (neighbours / whole).clamp(0.0, 0.95) } else { 0.0 };
    (number(errors.len()) * (1.0 - correlation) / (1.0 + correlation)).max(2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(form: impl Fn(f64) -> f64) -> Phases {
        let error = |index: usize| [0.7, -0.4, 0.2, -0.9, 0.5, -0.1][index * index % 6];
        phases(&(0..48).map(|index| form(number(index)) + error(index)).collect::<Vec<_>>(), 7)
    }

    #[test]
    fn a_change_is_found_where_it_is() {
        let phases = found(|index| if index < 12.0 { 10.0 * index } else { 120.0 });
        assert!(phases.begins.len() == 2 && phases.begins[1].abs_diff(12) <= 1, "{phases:?}");
    }

    #[test]
    fn a_peak_is_three_phases() {
        let phases = found(|index| if (10.0..16.0).contains(&index) { 120.0 } else { 20.0 });
        assert_eq!(phases.begins, [0, 10, 16]);
    }

    #[test]
    fn lines_and_wandering_errors_are_one_phase() {
        assert_eq!(found(|index| 10.0 * index).begins, [0]);
        assert_eq!(found(|_| 10.0).begins, [0]);
        assert_eq!(phases(&[1.0; 5], 7).begins, [0]);
        assert_eq!(phases(&[], 7).begins, [0]);
    }

    #[test]
    fn squares_are_those_of_least_squares() {
        // numpy.polyfit(range(4), [1, 3, 2, 5], 1, full=True): squares 2.7; the other four lie on a line. Twice the price
        // is more than eight values can pay.
        let values = [1.0, 3.0, 2.0, 5.0, 100.0, 101.0, 102.0, 103.0];
        let places = best_places(8, [3, 3], MOST, |from, to| {
            (from..to).fold(Sums::default(), |sums, index| sums.with(index, values[index])).line().squares
        });
        assert_eq!(places, [vec![0], vec![0, 4]]);
        let four = (0..4).fold(Sums::default(), |sums, index| sums.with(index, values[index])).line();
        assert!((four.squares - 2.7).abs() < 1e-9 && (four.slope - 1.1).abs() < 1e-9);
    }

    #[test]
    fn errors_in_a_row_count_less() {
        let alternating: Vec<f64> = (0..40).map(|index| if index % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let halves: Vec<f64> = (0..40).map(|index| if index < 20 { 1.0 } else { -1.0 }).collect();
        assert!((worth(&alternating) - 40.0).abs() < 1e-9 && worth(&halves) < 3.0);
    }
}
