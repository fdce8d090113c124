//! Names of addresses, or the reason why there is none.
