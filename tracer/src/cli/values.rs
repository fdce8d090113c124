//! Values as people write them. Every error names what is accepted; clap says which option it was.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use heaptide_common::sampling::MAX_INTERVAL;

use super::args::Sample;
use super::config::Destination;
use crate::allocator::{NamedAllocator, NamedError};
use crate::units;
pub(super) use crate::units::size;

/// Longest time that can be asked for: longer ones are a slip, and could not be added to a clock.
const MAX_DURATION: Duration = Duration::from_hours(24 * 365);

/// Smallest and largest memory for rings, in bytes: below, every burst is lost; above, the kernel refuses.
const RING_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;

/// Memory is looked at no more often: each look takes as long as a few thousand allocations.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// Most rings, as the kernel part has room for.
const MAX_SHARDS: u32 = 8;

/// A time: `30s`, `500ms`, `1h 30m`, or a number of seconds (`30`, `0.5`).
pub(super) fn time(text: &str) -> Result<Duration, String> {
    const ACCEPTED: &str = "expected a time such as 30s, 500ms, 2m or 1h, or a number of seconds";
    let seconds = text.trim().parse::<f64>().ok();
    let time = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| ACCEPTED.to_owned())?,
        None => humantime::parse_duration(text.trim()).map_err(|_| ACCEPTED.to_owned())?,
    };
    if time > MAX_DURATION { Err("expected at most a year".to_owned()) } else { Ok(time) }
}

/// A time that is not 0.
pub(super) fn positive_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("expected a time longer than 0".to_owned()),
        time => Ok(time),
    }
}

/// Bytes for each recorded block.
pub(super) fn sampling_interval(text: &str) -> Result<Sample, String> {
    const ACCEPTED: &str = "expected a size up to 1GiB, such as 512KiB; 0 records every block";
    match u32::try_from(size(text)?) {
        Ok(0 | 1) => Ok(Sample::Everything),
        Ok(interval) if interval <= MAX_INTERVAL => Ok(Sample::Every(interval)),
        _ => Err(ACCEPTED.to_owned()),
    }
}

/// A share in percent, in millionths: `3%`, `0.5 %`; the sign may be left out.
#[expect(clippy::cast_sign_loss, reason = "it is not negative")]
pub(super) fn overhead(text: &str) -> Result<u32, String> {
    const ACCEPTED: &str = "expected a percentage from 0.1% to 100%, such as 3%";
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
    let number = number.filter(|number| (0.1..=100.0).contains(number)).ok_or(ACCEPTED)?;
    Ok((number * 10_000.0).round() as u32)
}

/// How sure something must be, in percent: `80%`; the sign may be left out. As a share: below 1, since nothing is ever
/// certain.
pub(super) fn confidence(text: &str) -> Result<f64, String> {
    const ACCEPTED: &str = "expected a percentage from 0% to 99%, such as 80%";
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
    let number = number.filter(|number| (0.0..=99.0).contains(number)).ok_or(ACCEPTED)?;
    Ok(number / 100.0)
}

/// A size of all rings together, rounded up to a power of two.
pub(super) fn ring_bytes(text: &str) -> Result<u64, String> {
    const ACCEPTED: &str = "expected a size from 64KiB to 1GiB";
    let bytes = size(text)?;
    if RING_BYTES.contains(&bytes) { Ok(bytes.next_power_of_two()) } else { Err(ACCEPTED.to_owned()) }
}

/// A number of things, at least one: `500000`, `20M` (twenty million).
pub(super) fn count(text: &str) -> Result<u64, String> {
    units::number(text)
        .filter(|&number| number > 0)
        .ok_or_else(|| "expected a number of 1 or more, such as 500000, 500k or 20M".to_owned())
}

/// [`count`], for what is held in memory.
pub(super) fn top(text: &str) -> Result<usize, String> {
    count(text).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// A number of rings.
pub(super) fn shards(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number: &u32| number.is_power_of_two() && *number <= MAX_SHARDS);
    number.ok_or_else(|| format!("expected a power of two up to {MAX_SHARDS}"))
}

/// A process id.
pub(super) fn pid(text: &str) -> Result<u32, String> {
    let number = text.trim().parse().ok().filter(|&number: &u32| number > 0 && i32::try_from(number).is_ok());
    number.ok_or_else(|| "expected a process id such as 4711, or several with commas between them".to_owned())
}

/// The name of a process, as the kernel or its executable's file has it.
pub(super) fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.contains('/') {
        return Err("expected the name of a process without directories, such as redis-server".to_owned());
    }
    Ok(text.to_owned())
}

/// How often memory is looked at.
pub(super) fn watch_interval(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time < SHORTEST_INTERVAL { Err("expected a time of at least 50ms".to_owned()) } else { Ok(time) }
}

/// An allocator as its user names it.
pub(super) fn allocator(text: &str) -> Result<NamedAllocator, NamedError> {
    text.parse()
}

/// A file, or `-` for standard output.
#[expect(clippy::unnecessary_wraps, reason = "the shape of clap's value parsers")]
pub(super) fn destination(text: OsString) -> Result<Destination, String> {
    Ok(if text == "-" { Destination::Stdout } else { Destination::File(PathBuf::from(text)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let seconds = |text| time(text).unwrap().as_secs_f64();
        let cases =
            [("30s", 30.0), ("30", 30.0), ("0.5", 0.5), ("500ms", 0.5), ("2m", 120.0), ("1h 30m", 5400.0), ("0", 0.0)];
        for (text, expected) in cases {
            assert!((seconds(text) - expected).abs() < 1e-9, "{text}");
        }
        for text in ["", "soon", "-1", "-1s", "30 parsecs", "nan", "inf", "1e300", "2y", "s"] {
            assert!(time(text).unwrap_err().starts_with("expected "), "{text}");
        }
        assert!(positive_time("0s").is_err());
        assert_eq!(positive_time("1ns"), Ok(Duration::from_nanos(1)));
    }

    #[test]
    fn a_sampling_interval_of_a_byte_or_none_is_everything() {
        for (text, expected) in [
            ("0", Sample::Everything),
            ("1", Sample::Everything),
            ("2", Sample::Every(2)),
            ("512KiB", Sample::Every(512 << 10)),
            ("1G", Sample::Every(1 << 30)),
        ] {
            assert_eq!(sampling_interval(text), Ok(expected), "{text}");
        }
        for text in ["", "some", "1025M", "8G", "-1"] {
            assert!(sampling_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_can_be_asked_to_be_certain() {
        for (text, expected) in [("80%", 0.8), ("80", 0.8), ("0", 0.0), ("99 %", 0.99), ("62.5%", 0.625)] {
            assert_eq!(confidence(text), Ok(expected), "{text}");
        }
        for text in ["", "%", "-1%", "99.5%", "100%", "nan", "very"] {
            assert!(confidence(text).unwrap_err().contains("from 0% to 99%"), "{text}");
        }
    }

    #[test]
    fn an_overhead_is_a_percentage_within_limits() {
        for (text, expected) in [("3%", 30_000), ("3", 30_000), ("0.5 %", 5_000), ("0.1%", 1_000), ("100%", 1_000_000)]
        {
            assert_eq!(overhead(text), Ok(expected), "{text}");
        }
        for text in ["", "%", "0", "0.09%", "101%", "-1%", "nan", "inf", "little"] {
            assert!(overhead(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rings_are_rounded_up_to_a_power_of_two_within_limits() {
        for (text, expected) in [("32MiB", 32 << 20), ("33M", 64 << 20), ("64K", 64 << 10), ("1G", 1 << 30)] {
            assert_eq!(ring_bytes(text), Ok(expected), "{text}");
        }
        for text in ["0", "63K", "1025M", "many"] {
            assert!(ring_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_decimal_and_at_least_one() {
        for (text, expected) in [("20M", 20_000_000), ("500k", 500_000), ("1", 1)] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
        for text in ["0", "-1", "10B", "some"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_of_rings_are_powers_of_two() {
        assert_eq!(shards("8"), Ok(8));
        for text in ["0", "3", "16", "x"] {
            assert!(shards(text).is_err(), "{text}");
        }
    }

    #[test]
    fn process_ids_are_positive() {
        assert_eq!(pid("4711"), Ok(4711));
        for text in ["0", "-1", "", "2147483648", "bash"] {
            assert!(pid(text).is_err(), "{text}");
        }
    }
}
