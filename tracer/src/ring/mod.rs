//! Rings: from bytes to events.

mod decode;

pub use decode::{Event, Frames, Undecodable, decode};
