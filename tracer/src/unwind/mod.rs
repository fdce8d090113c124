//! Call frame information of a file, as the compact rows that the kernel part unwinds by.
//!
//! ```text
//! file ─> image (sections, segments) ─> cfi (functions and their rows) ─> flatten (one sorted list) ─> Table
//!                                        └─ rule (one row of CFI -> Rule)
//! ```
//!
//! [`reference`](mod@reference) walks a copied stack by these rows, step for step as the kernel part does: what the
//! tests compare with other unwinders.
//!
//! Files are hostile until parsed. What is read, kept and computed is bounded by the limits in `image` and `cfi`, and
//! what does not make sense is an error for the file, or [`Kind::NotExpressible`] for one function: never a wrong rule.

mod cfi;
mod error;
mod flatten;
mod image;
pub mod reference;
mod rule;
mod table;

pub use error::TableError;
pub use heaptide_common::unwind::{Kind, Row, Rule};
pub use table::{Stats, Table};
