//! Helpers of the tests that run heaptide as its users do.
