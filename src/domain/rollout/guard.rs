//! What a breach does to the workload.

use serde::{Deserialize, Serialize};

/// What a breach does to the workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Nothing: it is only reported.
    #[default]
    None,
}
