//! Allocators: families of functions, and their discovery in mapped files.
