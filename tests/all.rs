//! Integration tests, in one binary.

mod api;
