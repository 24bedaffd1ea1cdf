//! What people see of a run, and what programs read of it.

#[cfg(test)]
mod golden;
pub mod json;
mod line;
pub mod look;
mod table;
pub mod text;
mod words;
