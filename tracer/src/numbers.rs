//! Counts and sizes as numbers to calculate with, and back.

/// A count, a size or a time.
#[expect(clippy::cast_precision_loss, reason = "what is calculated needs no more than 52 bits")]
pub(crate) const fn float(value: u64) -> f64 {
    value as f64
}

/// A mean or an estimate as a size; of what is negative, 0.
#[expect(clippy::cast_sign_loss, reason = "casts of what is negative give 0")]
pub(crate) const fn whole(value: f64) -> u64 {
    value.round() as u64
}
