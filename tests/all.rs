//! Integration tests, in one binary.

mod node;
