//! Folding a recording again: to the verdict and the report that the run itself came to, or to those of other objectives.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::End;
use super::recount::{CannotRecount, Recount};
use crate::domain::course::{Course, Stage};
use crate::domain::display::moment;
use crate::domain::event::{Event, RunStarted, What};
use crate::domain::objective::Objective;
use crate::domain::scenario;
use crate::domain::summary::Summary;
use crate::domain::verdict::{Verdict, VerdictKind};

/// By what a recording is judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// In place of the scenario's objectives, if there are any.
    pub then: Vec<Objective>,
    /// Fields of the scenario laid over that: `window=1m`, `then.0=availability >= 99.9%`.
    pub sets: Vec<String>,
}

impl Terms {
    /// By what it was judged then.
    pub const fn are_its_own(&self) -> bool {
        self.then.is_empty() && self.sets.is_empty()
    }
}

/// Why a recording cannot be judged.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReplayError {
    /// The other objectives make no sense for it.
    #[error("{0}")]
    Terms(String),
    /// What they ask for was not recorded.
    #[error(transparent)]
    Recount(#[from] CannotRecount),
}

/// What marks a report as one under objectives that are not the run's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejudged {
    /// The version of the verifier that judged again.
    pub by: String,
    /// What the run itself had ended in; nothing when its recording does not say.
    pub verdict: Option<VerdictKind>,
    /// The objectives that the run itself was held against.
    pub objectives: Vec<String>,
    /// Latency limits that the run did not count by: how many took longer was counted afterwards, from their recorded latencies.
    pub recounted: Vec<String>,
}

/// A recording that does not come to the verdict that is recorded in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Defect {
    /// Who recorded it.
    pub writer: String,
    /// What was recorded.
    pub recorded: Option<Verdict>,
    /// What comes of the same events now.
    pub folded: Option<Verdict>,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |verdict: &Option<Verdict>| match verdict {
            Some(v) => {
                let reasons: Vec<String> = v.reasons.iter().map(|r| format!("{}: {}", r.code, r.message)).collect();
                format!("{} at {} ({})", v.verdict, v.at, reasons.join("; "))
            }
            None => "no verdict".into(),
        };
        let reader = env!("CARGO_PKG_VERSION");
        write!(f, "the same events came to another verdict than in the run itself\n  recorded: {}", said(&self.recorded))?;
        write!(f, "\n  now:      {}\n  ", said(&self.folded))?;
        if self.writer == reader {
            write!(f, "verifier {reader} recorded it and reads it: one of the two is a defect, or the file was changed")
        } else {
            write!(f, "verifier {} recorded it, and {reader} judges otherwise", self.writer)
        }
    }
}

/// A recording, folded.
#[derive(Debug)]
pub struct Replayed {
    /// All that is known of the run.
    pub course: Course,
    /// How the recording ended.
    pub end: End,
    /// What it was judged by, if not by its own objectives.
    pub rejudged: Option<Rejudged>,
    /// It comes to another verdict than it did.
    pub defect: Option<Defect>,
}

impl Replayed {
    /// The run, summed up.
    pub fn summary(&self) -> Summary {
        Summary { rejudged: self.rejudged.clone(), ..Summary::of(&self.course) }
    }
}

/// Folds one event after the other.
#[derive(Debug)]
pub struct Replay {
    course: Course,
    /// The objectives of the run itself, if it is judged by others.
    own: Option<Vec<Objective>>,
    recount: Recount,
    recorded: Option<Verdict>,
    defect: Option<Defect>,
}

impl Replay {
    /// Begins with the head of the recording.
    pub fn begin(head: &RunStarted, terms: &Terms) -> Result<Self, ReplayError> {
        let mut head = head.clone();
        let mut own = None;
        if !terms.are_its_own() {
            let scenario = scenario::rejudge(&head.scenario, &terms.then, &terms.sets).map_err(ReplayError::Terms)?;
            own = Some(std::mem::replace(&mut head.scenario, scenario).then);
        }
        let (course, _) = Course::begin(head);
        Ok(Self { course, own, recount: Recount::default(), recorded: None, defect: None })
    }

    /// Folds an event. What the course commands was done when it was recorded.
    pub fn event(&mut self, mut event: Event) -> Result<(), ReplayError> {
        if self.own.is_some() {
            self.recount.event(&mut event.what, &self.course.head().scenario)?;
        }
        self.course.apply(&event);
        if let What::Decided(verdict) = event.what {
            self.recorded = Some(verdict);
            self.compare();
        }
        Ok(())
    }

    /// Is what was decided what is decided now? The first difference is the one that tells most.
    fn compare(&mut self) {
        let (recorded, folded) = (self.recorded.as_ref(), self.course.verdict());
        if self.own.is_none() && self.defect.is_none() && recorded != folded {
            let writer = self.course.head().version.clone();
            self.defect = Some(Defect { writer, recorded: recorded.cloned(), folded: folded.cloned() });
        }
    }

    /// All events are in.
    pub fn finish(mut self, end: End) -> Result<Replayed, ReplayError> {
        let recounted = std::mem::take(&mut self.recount).finish()?;
        match end {
            // Of one that is cut off, the last decision may not have been written.
            End::Whole => self.compare(),
            End::Missing { last, torn } => {
                let dropped = torn.map(|line| format!("; line {line} is torn and was dropped")).unwrap_or_default();
                self.note(format!("the recording ends at {} without the end of the run{dropped}", moment(last)));
                self.course.cut_short(&format!("the recording ends at {}, before the run was over", moment(last)));
            }
        }
        if self.own.is_some() && self.course.stage().0 != Stage::Done {
            let at = moment(self.course.now());
            self.course.cut_short(&format!("the run was ended at {at} by its own objectives; by these it would have gone on"));
        }
        let recounted: Vec<String> =
            recounted.into_iter().map(|m| humantime::format_duration(std::time::Duration::from_micros(m)).to_string()).collect();
        if !recounted.is_empty() {
            self.note(format!(
                "the run did not count by {}: what took longer was counted from recorded latencies, when it had ended",
                recounted.join(", ")
            ));
        }
        let rejudged = self.own.map(|own| Rejudged {
            by: env!("CARGO_PKG_VERSION").into(),
            verdict: self.recorded.as_ref().map(|v| v.verdict),
            objectives: own.iter().map(ToString::to_string).collect(),
            recounted,
        });
        Ok(Replayed { course: self.course, end, rejudged, defect: self.defect })
    }

    fn note(&mut self, text: String) {
        self.course.apply(&Event { at: self.course.now(), what: What::Notice(text) });
    }
}
