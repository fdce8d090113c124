//! Joins the pieces into a recording.
