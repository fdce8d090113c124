//! Amounts in words.

use crate::numbers::whole;

/// `bytes` in the largest unit that leaves at least 1, with one decimal: `12.4 MiB`. Below 1 KiB exact: `640 bytes`.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return count(bytes, "byte");
    }
    // In tenths, so that rounding up to 1024.0 is seen and becomes 1.0 of the next unit.
    let tenths_of = |power: u32| (u128::from(bytes) * 10 + (1 << (10 * power - 1))) >> (10 * power);
    let power = (1..=6).find(|&power| tenths_of(power) < 10_240).unwrap_or(6);
    let (tenths, unit) = (tenths_of(power), UNITS.get(power as usize - 1).unwrap_or(&"EiB"));
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// The same with the exact number: `12.4 MiB (13002342 bytes)`.
pub(super) fn human_and_exact(bytes: u64) -> String {
    let (short, exact) = (human(bytes), count(bytes, "byte"));
    if short == exact { exact } else { format!("{short} ({exact})") }
}

/// `1 allocation`, `2 allocations`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if noun.ends_with('s') { "es" } else { "s" };
    format!("{number} {noun}{}", if number == 1 { "" } else { plural })
}

/// A rate, which is not negative, by the second, the minute or the hour, whichever leaves a number that says something:
/// how much, and in what time.
pub(super) fn rate(bytes_per_second: f64) -> (String, Time) {
    let time = match bytes_per_second {
        rate if rate >= 1_048_576.0 => Time::Second,
        rate if rate * 60.0 >= 1024.0 => Time::Minute,
        _ => Time::Hour,
    };
    (human(whole(bytes_per_second * time.seconds())), time)
}

/// A time that a rate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Second,
    Minute,
    Hour,
}

impl Time {
    const fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
            Self::Hour => 3600.0,
        }
    }

    /// `a minute`.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Second => "a second",
            Self::Minute => "a minute",
            Self::Hour => "an hour",
        }
    }

    /// `min`.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }
}

/// A length of time: `34 ms`, `0.52 s`, `5 s`, `61.5 s`, `12 min 30 s`, `3 h 20 min`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 100.0 && seconds.fract() == 0.0 {
        return format!("{seconds:.0} s");
    }
    if seconds < 0.001 {
        return "under 1 ms".to_owned();
    }
    if seconds < 0.1 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 10.0 {
        return format!("{seconds:.2} s");
    }
    if seconds < 100.0 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds.round()).map_or(0, |duration| duration.as_secs());
    if whole < 3600 {
        format!("{} min {} s", whole / 60, whole % 60)
    } else {
        format!("{} h {} min", whole / 3600, whole % 3600 / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_to_one_decimal_of_the_right_unit() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (13_002_342, "12.4 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, words) in cases {
            assert_eq!(human(bytes), words);
        }
    }

    #[test]
    fn an_exact_number_is_not_said_twice() {
        assert_eq!([human_and_exact(550), human_and_exact(2048)], ["550 bytes", "2.0 KiB (2048 bytes)"]);
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([count(0, "block"), count(1, "block"), count(2, "block")], ["0 blocks", "1 block", "2 blocks"]);
        assert_eq!([count(1, "process"), count(2, "process")], ["1 process", "2 processes"]);
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let cases = [
            (0.0, "0 s"),
            (0.000_2, "under 1 ms"),
            (0.034, "34 ms"),
            (0.099_7, "100 ms"),
            (0.519, "0.52 s"),
            (60.0, "60 s"),
            (61.54, "61.5 s"),
            (750.0, "12 min 30 s"),
            (12_000.0, "3 h 20 min"),
        ];
        for (seconds, words) in cases {
            assert_eq!(duration(seconds), words);
        }
        assert_eq!(duration(f64::NAN), "0 min 0 s");
    }
}
