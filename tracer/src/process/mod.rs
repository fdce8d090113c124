//! Processes: who is alive, and what is mapped where.
