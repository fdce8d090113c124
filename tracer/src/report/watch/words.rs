//! Verdicts and rates in words.

use crate::report::words;
use crate::verdict::Kind;

/// A verdict in a word or two, for people.
pub(super) const fn verdict_words(kind: Kind) -> &'static str {
    match kind {
        Kind::LevelingOff { .. } => "leveling off",
        Kind::NotTheHeap { .. } => "not the heap",
        Kind::TooEarly { .. } => "too early to say",
        other => other.word(),
    }
}

/// `+1.1 MiB/min`.
pub(super) fn rate(bytes_per_second: f64) -> String {
    let (size, time) = words::rate(bytes_per_second.abs());
    match size.as_str() {
        "0 bytes" => "0".to_owned(),
        _ => format!("{}{size}/{}", if bytes_per_second < 0.0 { '-' } else { '+' }, time.unit()),
    }
}

/// A confidence in percent, rounded down: nothing is ever 100 % sure.
#[expect(clippy::cast_sign_loss, reason = "from 0 to 1")]
pub(super) fn percent(confidence: f64) -> u32 {
    ((100.0 * confidence) as u32).min(99)
}

/// `61,203`.
pub(in crate::report) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_by_the_time_that_leaves_a_number() {
        let rates = [2_097_152.0, 19_000.0, -19_000.0, 10.0, 0.0].map(rate);
        assert_eq!(rates, ["+2.0 MiB/s", "+1.1 MiB/min", "-1.1 MiB/min", "+35.2 KiB/h", "0"]);
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([0, 999, 61_203, 1_000_000].map(grouped), ["0", "999", "61,203", "1,000,000"]);
    }
}
