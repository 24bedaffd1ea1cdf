//! What a run of the service tells while it goes on: metrics, its feed, the board, and the status that is written down.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::News;
use super::board::Board;
use super::live::Sight;
use super::runs::Shared;
use super::views::Live;
use crate::clock::Clock;
use crate::cluster::verification::{Found, name_of};
use crate::domain::course::{Course, Stage};
use crate::domain::event::Event;
use crate::domain::policy::Key;
use crate::domain::policy::verification::VerificationStatus;
use crate::domain::rollout::Phase;
use crate::domain::summary::Summary;
use crate::domain::time::At;
use crate::domain::verdict::Verdict;
use crate::metrics::Metrics;
use crate::report::{Reporter, html};

/// A status is told at least this often while a rollout is judged.
const BEAT: Duration = Duration::from_secs(5);
/// The board learns of a run this often.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Teller {
    key: Key,
    clock: Clock,
    board: Board,
    metrics: Metrics,
    news: mpsc::Sender<(Key, News)>,
    statuses: watch::Sender<Option<VerificationStatus>>,
    sight: Sight,
    status: VerificationStatus,
    /// Of the verification, when there was one before.
    name: Option<String>,
    told: Option<(Stage, Phase, Option<Verdict>, bool)>,
    at: At,
    looked: Option<At>,
    began: Option<String>,
    /// The loop of the service knows that it judges.
    begun: bool,
    decided: bool,
}

impl Teller {
    /// About a rollout to this template, or about one that another verifier has left open.
    pub(super) fn new(
        key: Key,
        template: &str,
        left: Option<&Found>,
        shared: &Shared,
        statuses: watch::Sender<Option<VerificationStatus>>,
    ) -> Self {
        let now = shared.clock.stamp();
        Self {
            key,
            clock: shared.clock,
            board: shared.board.clone(),
            metrics: shared.metrics.clone(),
            news: shared.news.clone(),
            statuses,
            sight: Sight::default(),
            status: left.map_or_else(|| VerificationStatus::begin(template), |left| left.status.clone().resume(&now)),
            name: left.map(|left| left.name.clone()),
            told: None,
            at: At::ZERO,
            looked: None,
            began: left.map(|left| left.created.clone()),
            begun: false,
            decided: false,
        }
    }

    /// Of the verification.
    fn name(&self, run: &str) -> String {
        self.name.clone().unwrap_or_else(|| name_of(&self.key.name, run))
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
            judging: course.changed().is_some(),
            phase: course.rollout.phase().label(),
            good: recent.counts.good(),
            bad: recent.counts.bad(),
        };
        self.board.live(&self.key, live, &self.sight);
        self.sight.show(|| html::document(&Summary::of(course)));
    }

    fn note(&mut self, course: &Course) {
        let acted = course.deed().is_some_and(|deed| deed.accepted().is_some());
        let state = (course.stage().0, course.rollout.phase(), course.verdict().cloned(), acted);
        if self.told.as_ref() == Some(&state) && course.now() < self.at + BEAT {
            return;
        }
        (self.told, self.at) = (Some(state), course.now());
        let now = self.clock.stamp();
        self.status = VerificationStatus::of(course, &self.status, &now);
        let began = self.began.get_or_insert_with(|| now.clone()).clone();
        self.board.verification(&self.key, &self.name(&self.status.run_id), &self.status, &began, None);
        self.statuses.send_replace(Some(self.status.clone()));
    }
}

impl Reporter for Teller {
    fn event(&mut self, event: &Event, course: &Course) {
        self.metrics.store().event(&self.key, event, course);
        self.sight.feed.tell(event);
        self.look(course);
        if course.changed().is_none() {
            return;
        }
        if !self.begun {
            self.begun = true;
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
        // One that found no way judged nothing, and nothing is written of it.
        let Some(began) = self.began.clone().filter(|_| self.begun) else { return };
        let now = self.clock.stamp();
        self.status.end(&summary.traffic.measured.answers, &now);
        // Who sees that it is over finds its report.
        self.board.report(&summary.run.id, html::document(summary));
        self.board.verification(&self.key, &self.name(&summary.run.id), &self.status, &began, Some(&now));
        self.statuses.send_replace(Some(self.status.clone()));
    }
}
