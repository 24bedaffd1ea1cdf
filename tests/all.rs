//! Integration tests, in one binary.

mod layers;
mod node;
