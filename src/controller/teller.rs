//! What a run of the service tells while it goes on: metrics, its feed, the board, and the status that is written down.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::News;
use super::board::{Board, Live};
use super::feed::Feed;
use super::runs::Shared;
use crate::clock::Clock;
use crate::domain::course::{Course, Stage};
use crate::domain::event::Event;
use crate::domain::policy::Key;
use crate::domain::policy::plan::Mode;
use crate::domain::policy::verification::VerificationStatus;
use crate::domain::rollout::Phase;
use crate::domain::summary::Summary;
use crate::domain::time::At;
use crate::domain::verdict::Verdict;
use crate::metrics::Metrics;
use crate::report::{Reporter, html};

/// A status is told at least this often while a rollout is judged.
const BEAT: Duration = Duration::from_secs(5);
/// The board learns of probing this often.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Teller {
    key: Key,
    mode: Mode,
    clock: Clock,
    board: Board,
    metrics: Metrics,
    news: mpsc::Sender<(Key, News)>,
    statuses: watch::Sender<Option<VerificationStatus>>,
    feed: Feed,
    status: VerificationStatus,
    told: Option<(Stage, Phase, Option<Verdict>, bool)>,
    at: At,
    looked: Option<At>,
    began: Option<String>,
    decided: bool,
}

impl Teller {
    pub(super) fn new(key: Key, mode: Mode, shared: &Shared, statuses: watch::Sender<Option<VerificationStatus>>) -> Self {
        Self {
            key,
            mode,
            clock: shared.clock,
            board: shared.board.clone(),
            metrics: shared.metrics.clone(),
            news: shared.news.clone(),
            statuses,
            feed: Feed::default(),
            status: VerificationStatus::default(),
            told: None,
            at: At::ZERO,
            looked: None,
            began: None,
            decided: false,
        }
    }

    fn now(&self) -> String {
        self.clock.wall_now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    /// The loop of the service waits for nothing, so its queue is empty but for a moment.
    fn tell_loop(&self, news: News) {
        if self.news.try_send((self.key.clone(), news)).is_err() {
            tracing::error!(deployment = %self.key, "the service did not hear of a rollout");
        }
    }

    fn look(&mut self, course: &Course) {
        if self.looked.is_some_and(|looked| course.now() < looked + LOOK) {
            return;
        }
        self.looked = Some(course.now());
        let recent = course.tally.recent();
        let live = Live {
            run_id: course.head().run_id.clone(),
            started: course.head().started.clone(),
            measures: self.mode == Mode::Measure,
            judging: course.changed().is_some(),
            phase: if course.changed().is_some() { course.rollout.phase().label() } else { "probing" },
            good: recent.counts.good(),
            bad: recent.counts.bad(),
        };
        let left = self.metrics.store().budget_left(&self.key, self.clock.now());
        self.board.live(&self.key, live, left, &self.feed);
    }

    fn note(&mut self, course: &Course) {
        let acted = course.deed().is_some_and(|deed| deed.accepted().is_some());
        let state = (course.stage().0, course.rollout.phase(), course.verdict().cloned(), acted);
        if self.told.as_ref() == Some(&state) && course.now() < self.at + BEAT {
            return;
        }
        (self.told, self.at) = (Some(state), course.now());
        let now = self.now();
        self.status = VerificationStatus::of(course, &self.status, &now);
        let began = self.began.get_or_insert_with(|| now.clone()).clone();
        self.board.verification(&self.key, &self.status, &began, None);
        self.statuses.send_replace(Some(self.status.clone()));
    }
}

impl Reporter for Teller {
    fn event(&mut self, event: &Event, course: &Course) {
        self.metrics.store().event(&self.key, event, course, self.clock.now());
        self.feed.tell(event);
        self.look(course);
        if course.changed().is_none() {
            return;
        }
        if self.began.is_none() {
            self.tell_loop(News::Began);
        }
        self.note(course);
        if let Some(verdict) = course.verdict().filter(|_| !self.decided) {
            let kind = verdict.verdict;
            self.decided = true;
            self.tell_loop(News::Decided(kind));
        }
    }

    fn finish(&mut self, summary: &Summary) {
        let Some(began) = self.began.clone() else { return };
        let now = self.now();
        self.status.phase = "done".into();
        let answers = &summary.traffic.measured.answers;
        (self.status.requests, self.status.errors, self.status.excluded) = (answers.valid, answers.bad, answers.excluded);
        self.board.verification(&self.key, &self.status, &began, Some(&now));
        self.board.report(&summary.run.id, html::document(summary));
        self.statuses.send_replace(Some(self.status.clone()));
    }
}
