//! Answers over time: all lanes together with their latency, and where each lane failed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Millis, Seconds};
use crate::domain::course::Course;
use crate::domain::display::clean;
use crate::domain::latency::Latencies;
use crate::domain::objective::Ppm;
use crate::domain::tally::Cell;
use crate::domain::traffic::Name;

/// Answers over time, by the moment they became known. At most 600 cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// The length of each cell; the first one begins with the run.
    pub cell_s: Seconds,
    /// All lanes together.
    pub cells: Vec<Moment>,
    /// Each lane, by name.
    pub lanes: Vec<LaneLine>,
}

/// A cell of the time line, over all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// How many.
    #[serde(flatten)]
    pub answers: Cell,
    /// Half of the good answers took at most so long; rounded up by 5 % at most, and nothing when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<Millis>,
    /// 99 % of the good answers took at most so long; rounded like the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<Millis>,
}

/// Where a lane failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneLine {
    /// The lane.
    pub lane: String,
    /// The cells in which not all was good.
    pub troubled: Vec<LaneCell>,
}

/// What became known of one lane in one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneCell {
    /// The cell's place in the time line, from 0.
    pub cell: usize,
    /// How many.
    #[serde(flatten)]
    pub answers: Cell,
}

impl Timeline {
    /// The time line so far.
    pub fn of(course: &Course) -> Self {
        let line = course.tally.cells();
        Self {
            cell_s: Seconds::lasting(line.length()),
            cells: line.all().iter().zip(line.latency()).map(|(cell, latency)| Moment::of(*cell, latency)).collect(),
            lanes: line.lanes().iter().map(|(name, row)| LaneLine::of(name, row)).collect(),
        }
    }
}

impl Moment {
    fn of(answers: Cell, latency: &Latencies) -> Self {
        let at = |ppm| latency.quantile(Ppm(ppm)).map(Millis);
        Self { answers, p50_ms: at(500_000), p99_ms: at(990_000) }
    }
}

impl LaneLine {
    fn of(lane: &Name, row: &[Cell]) -> Self {
        let troubled = row.iter().enumerate().filter(|(_, c)| c.bad + c.excluded > 0);
        Self { lane: clean(lane), troubled: troubled.map(|(cell, answers)| LaneCell { cell, answers: *answers }).collect() }
    }
}
