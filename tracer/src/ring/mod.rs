//! Rings: from bytes to events.
