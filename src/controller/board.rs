//! What is known now, for whoever asks: policies, live runs, the last verifications, and the reports of ended ones. Everything is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::feed::Follower;
use super::live::Sight;
use super::views::{Live, PolicyView, Probing, VerificationView};
use crate::cluster::verification::Found;
use crate::domain::policy::plan::{Book, Idle, Watched};
use crate::domain::policy::spec::PolicySpec;
use crate::domain::policy::verification::VerificationStatus;
use crate::domain::policy::{Key, Source};

/// Verifications of one Deployment that are shown, the latest ones.
const SHOWN: usize = 100;
/// Reports that are kept, of all Deployments together.
const REPORTS: usize = 50;
/// Bytes of all of them.
const REPORT_BYTES: usize = 32 << 20;

/// Shared by the service's parts.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    ready: bool,
    blind: bool,
    cards: BTreeMap<Key, Card>,
    reports: VecDeque<(String, Arc<str>)>,
    bytes: usize,
    recordings: VecDeque<(String, PathBuf)>,
}

#[derive(Debug, Default)]
struct Card {
    policy: Option<Result<PolicySpec, String>>,
    source: Option<Source>,
    idle: Option<Idle>,
    probing: Option<Probing>,
    live: Option<(Live, Sight)>,
    budget_left: Option<f64>,
    /// Oldest first.
    verifications: VecDeque<VerificationView>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All Deployments were listed once.
    pub(super) fn ready(&self) {
        self.state().ready = true;
    }

    /// Whether all Deployments were listed once: before that nothing here is whole.
    pub fn is_ready(&self) -> bool {
        self.state().ready
    }

    /// The thread that sends probes is gone, and nothing in this process brings it back.
    pub(crate) fn went_blind(&self) {
        self.state().blind = true;
    }

    /// Whether no probe can be sent any more: the process is to be replaced.
    pub fn is_blind(&self) -> bool {
        self.state().blind
    }

    /// Takes up what earlier processes have brought to an end.
    pub(super) fn remember(&self, found: &[Found]) {
        let mut state = self.state();
        for one in found.iter().cloned() {
            let view = VerificationView {
                name: one.name,
                namespace: one.key.namespace.to_string(),
                deployment: one.key.name.to_string(),
                began: one.created.clone(),
                ended: Some(if one.status.updated.is_empty() { one.created } else { one.status.updated.clone() }),
                report: false,
                status: one.status,
            };
            state.cards.entry(one.key).or_default().push(view);
        }
    }

    /// What is asked for now, and what is idle.
    pub(super) fn policies(&self, watched: &BTreeMap<Key, Watched>, books: &BTreeMap<Key, Book>, idle: &BTreeMap<Key, Idle>) {
        let mut state = self.state();
        for (key, watched) in watched {
            let card = state.cards.entry(key.clone()).or_default();
            card.policy = Some(watched.policy.clone());
            card.source = Some(watched.source.clone());
            card.idle = idle.get(key).cloned();
        }
        for (key, card) in &mut state.cards {
            if !watched.contains_key(key) && !books.contains_key(key) {
                (card.policy, card.source, card.idle, card.probing, card.live) = (None, None, None, None, None);
            }
        }
        state.cards.retain(|_, card| card.policy.is_some() || card.live.is_some() || !card.verifications.is_empty());
    }

    /// How a run stands.
    pub(super) fn live(&self, key: &Key, live: Live, sight: &Sight) {
        self.state().cards.entry(key.clone()).or_default().live = Some((live, sight.clone()));
    }

    /// How the probing of a Deployment goes; nothing when there is none.
    pub(super) fn probing(&self, key: &Key, probing: Option<Probing>) {
        if let Some(card) = self.state().cards.get_mut(key) {
            card.probing = probing;
        }
    }

    /// What is left of a Deployment's error budget.
    pub(super) fn budget(&self, key: &Key, left: Option<f64>) {
        if let Some(card) = self.state().cards.get_mut(key) {
            card.budget_left = left;
        }
    }

    /// A run is over.
    pub(super) fn ended(&self, key: &Key) {
        if let Some(card) = self.state().cards.get_mut(key) {
            card.live = None;
        }
    }

    /// How a verification stands.
    pub(crate) fn verification(&self, key: &Key, name: &str, status: &VerificationStatus, began: &str, ended: Option<&str>) {
        let mut state = self.state();
        let view = VerificationView {
            name: name.into(),
            namespace: key.namespace.to_string(),
            deployment: key.name.to_string(),
            began: began.into(),
            ended: ended.map(str::to_owned),
            report: false,
            status: status.clone(),
        };
        state.cards.entry(key.clone()).or_default().push(view);
    }

    /// Keeps the report of a run. The oldest go when they are too many or too large.
    pub(crate) fn report(&self, run: &str, html: String) {
        let mut state = self.state();
        state.bytes += html.len();
        state.reports.push_back((run.to_owned(), html.into()));
        while state.reports.len() > REPORTS || state.bytes > REPORT_BYTES {
            let Some((_, gone)) = state.reports.pop_front() else { break };
            state.bytes -= gone.len();
        }
    }

    /// Keeps a run's recording in mind, and answers with those that are to be removed for it.
    pub(super) fn recording(&self, run: &str, path: PathBuf) -> Vec<PathBuf> {
        let mut state = self.state();
        state.recordings.push_back((run.to_owned(), path));
        let over = state.recordings.len().saturating_sub(REPORTS);
        state.recordings.drain(..over).map(|(_, path)| path).collect()
    }

    /// Where the recording of an ended run is.
    pub fn recording_of(&self, run: &str) -> Option<PathBuf> {
        self.state().recordings.iter().find(|(id, _)| id == run).map(|(_, path)| path.clone())
    }

    /// Ended verifications by namespace and name, with their Deployments and ages.
    pub(super) fn ages(&self, now: DateTime<Utc>) -> Vec<((String, String), Key, Option<Duration>)> {
        let age = |text: &String| {
            let ended = DateTime::parse_from_rfc3339(text).ok()?;
            (now - ended.to_utc()).to_std().ok().or(Some(Duration::ZERO))
        };
        let state = self.state();
        let all = state.cards.iter().flat_map(|(key, card)| card.verifications.iter().map(move |view| (key, view)));
        all.map(|(key, view)| ((view.namespace.clone(), view.name.clone()), key.clone(), view.ended.as_ref().and_then(age)))
            .collect()
    }

    /// A verification's object is being deleted.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        let mut state = self.state();
        for (key, card) in &mut state.cards {
            if &*key.namespace == namespace {
                card.verifications.retain(|view| view.name != name);
            }
        }
    }

    /// What is asked of each Deployment, and what is being done about it.
    pub fn policy_views(&self) -> Vec<PolicyView> {
        let state = self.state();
        let view = |(key, card): (&Key, &Card)| {
            let policy = card.policy.as_ref()?;
            let unreachable = || card.probing.as_ref()?.why.clone().map(Idle::Unreachable);
            let idle = card.idle.clone().or_else(unreachable);
            Some(PolicyView {
                namespace: key.namespace.to_string(),
                deployment: key.name.to_string(),
                policy: policy.as_ref().ok().cloned(),
                policy_name: match &card.source {
                    Some(Source::Policy(name)) => Some(name.to_string()),
                    Some(Source::Annotation) | None => None,
                },
                ready: card.probing.as_ref().is_some_and(|probing| probing.reached),
                reason: idle.as_ref().map(Idle::reason),
                message: idle.as_ref().map(Idle::message),
                probing: card.probing.clone(),
                error_budget_left: card.budget_left,
                run: card.live.as_ref().map(|(live, _)| live.clone()),
            })
        };
        state.cards.iter().filter_map(view).collect()
    }

    /// All verifications, by Deployment, the oldest first.
    pub fn verification_views(&self) -> Vec<VerificationView> {
        let state = self.state();
        let reported = |view: &VerificationView| state.reports.iter().any(|(run, _)| *run == view.status.run_id);
        let all = state.cards.values().flat_map(|card| &card.verifications);
        all.map(|view| VerificationView { report: reported(view), ..view.clone() }).collect()
    }

    /// The report of an ended run.
    pub fn report_of(&self, run: &str) -> Option<Arc<str>> {
        self.state().reports.iter().find(|(id, _)| id == run).map(|(_, html)| Arc::clone(html))
    }

    /// The events of a run that goes on.
    pub fn follow(&self, run: &str) -> Option<Follower> {
        let state = self.state();
        let mut live = state.cards.values().filter_map(|card| card.live.as_ref());
        live.find(|(live, _)| live.run_id == run).map(|(_, sight)| sight.feed.follow())
    }

    /// The report of a run as it stands now; nothing when no such run goes on.
    pub async fn report_now(&self, run: &str) -> Option<Arc<str>> {
        let sight = {
            let state = self.state();
            let mut live = state.cards.values().filter_map(|card| card.live.as_ref());
            live.find(|(live, _)| live.run_id == run).map(|(_, sight)| sight.clone())
        };
        sight?.look().await
    }

    /// The namespace that a run is about, whether it goes on or has ended.
    pub fn namespace_of(&self, run: &str) -> Option<String> {
        let state = self.state();
        let about = |card: &Card| {
            card.live.as_ref().is_some_and(|(live, _)| live.run_id == run)
                || card.verifications.iter().any(|v| v.status.run_id == run)
        };
        state.cards.iter().find(|(_, card)| about(card)).map(|(key, _)| key.namespace.to_string())
    }
}

impl Card {
    /// Takes a verification in, or what is new of it.
    fn push(&mut self, view: VerificationView) {
        match self.verifications.iter_mut().find(|known| known.name == view.name) {
            Some(known) => *known = view,
            None => self.verifications.push_back(view),
        }
        while self.verifications.len() > SHOWN {
            self.verifications.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::guard::Guard;
    use crate::domain::verdict::VerdictKind;

    fn status(run: &str, verdict: Option<VerdictKind>) -> VerificationStatus {
        VerificationStatus { run_id: run.into(), verdict, ..VerificationStatus::default() }
    }

    #[test]
    fn a_verification_is_one_from_its_beginning_to_its_report() {
        let (board, key) = (Board::default(), Key::new("todo", "backend"));
        board.verification(&key, "backend-1", &status("r-1", None), "2026-01-01T00:00:00Z", None);
        let passed = status("r-1", Some(VerdictKind::Pass));
        board.verification(&key, "backend-1", &passed, "2026-01-01T00:00:00Z", Some("2026-01-01T00:01:00Z"));
        assert_eq!(board.namespace_of("r-1").as_deref(), Some("todo"));
        board.report("r-1", "page".into());
        let views = board.verification_views();
        assert_eq!((views.len(), &*views[0].name, views[0].report), (1, "backend-1", true));
        assert_eq!(board.report_of("r-1").as_deref(), Some("page"));
        assert_eq!(board.report_of("r-2"), None);
        let now = DateTime::parse_from_rfc3339("2026-01-01T01:01:00Z").unwrap().to_utc();
        let ages = board.ages(now);
        assert_eq!(ages, [(("todo".into(), "backend-1".into()), key, Some(Duration::from_hours(1)))]);
        board.forget("todo", "backend-1");
        assert!(board.verification_views().is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_by_number_and_by_bytes() {
        let (board, key) = (Board::default(), Key::new("todo", "backend"));
        for n in 0..SHOWN + 5 {
            board.verification(&key, &format!("backend-{n}"), &status(&format!("r-{n}"), None), "now", None);
        }
        assert_eq!(board.verification_views().len(), SHOWN);
        (0..REPORTS + 5).for_each(|n| board.report(&format!("r-{n}"), "page".into()));
        let gone: Vec<PathBuf> = (0..REPORTS + 2).flat_map(|n| board.recording(&format!("r-{n}"), format!("{n}").into())).collect();
        assert_eq!((gone, board.recording_of("r-1")), (vec!["0".into(), "1".into()], None));
        assert_eq!((board.report_of("r-4"), board.report_of("r-5").is_some()), (None, true));
        board.report("large", "x".repeat(REPORT_BYTES - 1));
        assert!(board.report_of("large").is_some() && board.report_of("r-54").is_none());
        board.report("too large", "x".repeat(REPORT_BYTES + 1));
        assert!(board.report_of("too large").is_none() && board.report_of("large").is_none());
    }

    #[test]
    fn what_other_processes_have_judged_is_shown() {
        let (board, key) = (Board::default(), Key::new("todo", "backend"));
        let found = Found {
            name: "backend-1".into(),
            key,
            created: "2026-01-01T00:00:00Z".into(),
            template: "t".into(),
            guard: Guard::None,
            status: VerificationStatus { updated: "2026-01-01T00:01:00Z".into(), ..status("r-1", Some(VerdictKind::Pass)) },
        };
        board.remember(&[found]);
        let views = board.verification_views();
        assert_eq!((views.len(), views[0].ended.as_deref()), (1, Some("2026-01-01T00:01:00Z")));
    }
}
