//! Admission: a pod that has the readiness gate [`GATE`] gets no traffic of users until the verifier has asked it at its own
//! address, and has set that condition of it.
//!
//! What a pod is let in for is its [`Basis`]. Evidence is asked for of a revision that nobody knows; of one that is verified, each further
//! pod is let in as soon as its containers are ready, so that neither a larger number of replicas nor a drained node waits for anybody. A
//! revision is verified when a pod of it was let in by evidence (and has served users for as long as is wanted), or when it was rolled out
//! completely before. One that was turned away stays out for the rest of the run.

mod earlier;
mod evidence;
mod heard;
mod permit;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use self::evidence::{AGAINST, ANSWERS, FOR, SPAN, Shares};
use self::evidence::{Evidence, Finding};
use self::heard::Book;
pub use self::heard::Heard;
pub use self::permit::{AdmissionEnded, Admitted, Basis, Came, Permit, Rejection};
use super::rollout::{PodLife, Rollout};
use super::slice::Slice;
use super::time::At;
use super::traffic::{Micros, Name, PodTarget, TrafficPlan};

/// The readiness gate, and the pods' condition that opens it.
pub const GATE: &str = "verifier.dev/verified";
/// The field manager of that condition.
pub const MANAGER: &str = "verifier-admission";

/// Requests a second to each pod that is asked, in each way of asking.
pub const RATE: f64 = 25.0;
/// Pods that are asked at a time; further ones wait for their turn.
const ASKED_MAX: usize = 20;
/// Patches under way at a time.
const OPENING_MAX: usize = 20;
/// A Service may take so long to learn of a pod.
const LISTED_WITHIN: Duration = Duration::from_secs(5);
/// Pods that were asked or let in and are remembered for the report, the first ones.
const RECORDS_MAX: usize = 200;

/// What becomes of a pod at the gate.
#[derive(Clone, Debug, PartialEq)]
enum Standing {
    /// It is asked, in each way.
    Asked(Vec<Evidence>),
    /// Its condition is being set.
    Opening,
    /// It is set.
    Open,
    /// It could not be set.
    Failed,
}

#[derive(Clone, Debug)]
struct Applicant {
    from: At,
    standing: Standing,
}

/// How much of a run there has been, as far as admission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// What stands before the change is being brought up; there is no traffic yet.
    Given,
    /// The target is at rest, or nothing of it is known yet: no revision is new.
    Before,
    /// There may be a new revision.
    Change,
    /// The run has found a breach: of what is not verified nothing is let in any more.
    Breached,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Pods to let in.
    pub permits: Vec<Permit>,
    /// A version that is not let in.
    pub rejected: Option<Rejection>,
    /// A pod that cannot be asked from here.
    pub unreachable: Option<Name>,
    /// When to ask again.
    pub wake: Option<At>,
}

/// See the top of the file.
#[derive(Clone, Debug)]
pub struct Admission {
    shares: Shares,
    bake: Duration,
    /// The ways of asking, with the place of the latency limit among the lane's thresholds.
    ways: Vec<(Name, Option<usize>)>,
    applicants: BTreeMap<Name, Applicant>,
    verified: Vec<Name>,
    /// Revisions that are not let in, and since when.
    rejected: BTreeMap<Name, At>,
    /// One pod of each of these serves before others of its revision: which.
    boxes: BTreeMap<Name, Name>,
    records: VecDeque<Admitted>,
    heard: Book,
}

impl Admission {
    /// By what share may fail, and how long the first pod is to serve.
    pub fn new(loss: f64, bake: Duration) -> Self {
        Self {
            shares: Shares::for_loss(loss),
            bake,
            ways: Vec::new(),
            applicants: BTreeMap::new(),
            verified: Vec::new(),
            rejected: BTreeMap::new(),
            boxes: BTreeMap::new(),
            records: VecDeque::new(),
            heard: Book::default(),
        }
    }

    /// How pods are asked; answers slower than `limit` count as failures.
    pub fn plan(&mut self, plan: &TrafficPlan, limit: Option<Micros>) {
        let lanes = plan.lanes.iter().filter(|lane| lane.judges_admission());
        let place = |thresholds: &[Micros]| limit.and_then(|limit| thresholds.iter().position(|t| *t == limit));
        self.ways = lanes.map(|lane| (lane.name.clone(), place(&lane.thresholds))).collect();
    }

    /// There are ways of asking.
    pub const fn is_prepared(&self) -> bool {
        !self.ways.is_empty()
    }

    /// A tenth of a second of one lane.
    pub fn slice(&mut self, slice: &Slice, rollout: &Rollout) {
        let Some(way) = self.ways.iter().position(|(name, _)| *name == slice.lane) else { return };
        let place = self.ways[way].1;
        for part in &slice.parts {
            let Some(life) = part.pod.as_ref().and_then(|pod| rollout.pod_named(pod)) else { continue };
            let Some(applicant) = self.applicants.get_mut(&life.state.uid) else { continue };
            if let Standing::Asked(ways) = &mut applicant.standing
                && let Some(evidence) = ways.get_mut(way)
            {
                let slow = place.and_then(|place| part.slow.get(place)).copied().unwrap_or(0);
                let weighed = evidence.add(&part.counts, slow, slice.end);
                self.heard.add(&life.state, applicant.from, part, weighed, slice.end);
            }
        }
    }

    /// The patch of a pod's condition begins.
    pub fn started(&mut self, permit: &Permit, at: At) {
        let applicant = self.applicants.entry(permit.uid.clone()).or_insert(Applicant { from: at, standing: Standing::Opening });
        applicant.standing = Standing::Opening;
        if self.records.len() < RECORDS_MAX {
            self.records.push_back(Admitted { permit: permit.clone(), from: applicant.from, opened: None });
        }
    }

    /// It ended. Answers with what went wrong.
    pub fn ended(&mut self, ended: &AdmissionEnded, at: At) -> Option<String> {
        let applicant = self.applicants.get_mut(&ended.uid)?;
        let record = self.records.iter_mut().rev().find(|r| r.permit.uid == ended.uid);
        match &ended.outcome {
            Came::Opened { .. } => {
                applicant.standing = Standing::Open;
                let record = record?;
                record.opened = Some(at);
                None
            }
            Came::Gone => None,
            Came::Failed { why } => {
                applicant.standing = Standing::Failed;
                let pod = record.map(|r| r.permit.pod.to_string()).unwrap_or_default();
                Some(format!("pod {pod} could not be let in: {why}"))
            }
        }
    }

    /// The pods that are asked now, and where: at the port by which a Service knows them, and not before one does.
    pub fn targets(&self, rollout: &Rollout) -> Vec<PodTarget> {
        let asked = |life: &PodLife| {
            let applicant = self.applicants.get(&life.state.uid);
            let undecided = applicant.is_some_and(|a| matches!(a.standing, Standing::Asked(_)));
            undecided && life.is_at_the_gate() && rollout.is_listed(&life.state.name) && !self.is_closed_to(&life.state.revision)
        };
        let mut targets = rollout.addresses(asked);
        targets.truncate(ASKED_MAX);
        targets
    }

    /// No further pod of this revision is asked: it was turned away, or its first pod is on trial.
    fn is_closed_to(&self, revision: &Name) -> bool {
        self.rejected.contains_key(revision) || self.boxes.contains_key(revision)
    }

    /// A pod at the gate about which nothing is decided.
    pub fn waiting(&self, rollout: &Rollout) -> Option<Name> {
        self.undecided(rollout, |_, _| true)
    }

    /// One that is not asked because no Service knows where.
    pub fn unlisted(&self, rollout: &Rollout, now: At) -> Option<Name> {
        self.undecided(rollout, |pod, from| now.since(from) >= LISTED_WITHIN && !rollout.is_listed(pod))
    }

    fn undecided(&self, rollout: &Rollout, is: impl Fn(&Name, At) -> bool) -> Option<Name> {
        let fits = |life: &&PodLife| {
            let applicant = self.applicants.get(&life.state.uid).filter(|a| matches!(a.standing, Standing::Asked(_)));
            life.is_at_the_gate() && applicant.is_some_and(|a| is(&life.state.name, a.from))
        };
        rollout.pods().into_iter().find(fits).map(|life| life.state.name.clone())
    }

    /// Pods that were let in, in order.
    pub fn records(&self) -> impl Iterator<Item = &Admitted> {
        self.records.iter()
    }

    /// What pods have answered at the gate, in order.
    pub fn heard(&self) -> impl Iterator<Item = &Heard> {
        self.heard.iter()
    }

    /// The version that was turned away first, and when.
    pub fn turned_away(&self) -> Option<(&Name, At)> {
        self.rejected.iter().map(|(revision, at)| (revision, *at)).min_by_key(|(_, at)| *at)
    }

    /// Decides about everyone who is at the gate.
    pub fn decide(&mut self, moment: Moment, rollout: &Rollout, now: At) -> Decision {
        let mut decision = Decision::default();
        if !rollout.lives().any(|life| life.state.gated) {
            return decision;
        }
        self.verify(moment, rollout);
        self.bake(moment, rollout, now, &mut decision);
        self.verified.retain(|revision| rollout.set(revision).is_some());
        self.applicants.retain(|uid, _| rollout.life(uid).is_some());
        let mut opening = self.applicants.values().filter(|a| a.standing == Standing::Opening).count();
        for life in rollout.pods() {
            if !life.is_at_the_gate() {
                // Who is not ready any more begins anew.
                let asked = |a: &Applicant| matches!(a.standing, Standing::Asked(_));
                if self.applicants.get(&life.state.uid).is_some_and(asked) {
                    self.applicants.remove(&life.state.uid);
                }
                continue;
            }
            let fresh = || Applicant { from: now, standing: Standing::Asked(vec![Evidence::default(); self.ways.len()]) };
            let applicant = self.applicants.entry(life.state.uid.clone()).or_insert_with(fresh);
            let Standing::Asked(ways) = &mut applicant.standing else { continue };
            if ways.len() < self.ways.len() {
                ways.resize(self.ways.len(), Evidence::default());
            }
            let ways = ways.clone();
            if let Some(basis) = self.basis((moment, now), life, rollout, &ways, &mut decision)
                && opening < OPENING_MAX
            {
                opening += 1;
                if let Some(applicant) = self.applicants.get_mut(&life.state.uid) {
                    applicant.standing = Standing::Opening;
                }
                let PodLife { state, .. } = life;
                decision.permits.push(Permit {
                    uid: state.uid.clone(),
                    pod: state.name.clone(),
                    revision: state.revision.clone(),
                    basis,
                });
            }
        }
        decision
    }

    /// What this pod may be let in for now.
    fn basis(
        &mut self,
        (moment, now): (Moment, At),
        life: &PodLife,
        rollout: &Rollout,
        ways: &[Evidence],
        decision: &mut Decision,
    ) -> Option<Basis> {
        let revision = &life.state.revision;
        if self.verified.contains(revision) {
            return Some(Basis::Verified);
        }
        if moment == Moment::Given {
            return rollout.is_first().then_some(Basis::Given);
        }
        if moment == Moment::Breached || self.is_closed_to(revision) || ways.is_empty() {
            return None;
        }
        let findings: Vec<Finding> = ways.iter().map(|way| way.says(self.shares)).collect();
        if let Some(bad) = findings.iter().position(|f| *f == Finding::Bad).and_then(|way| ways.get(way)) {
            self.rejected.insert(revision.clone(), now);
            decision.rejected = decision.rejected.take().or_else(|| {
                Some(Rejection {
                    pod: life.state.name.clone(),
                    revision: revision.clone(),
                    answers: bad.good + bad.bad,
                    bad: bad.bad,
                    outcome: bad.commonest(),
                })
            });
            return None;
        }
        if findings.contains(&Finding::Unreachable) {
            decision.unreachable = Some(life.state.name.clone());
        }
        if !findings.iter().all(|f| *f == Finding::Good) {
            return None;
        }
        let (answers, bad) = ways.iter().fold((0, 0), |(all, bad), way| (all + way.good + way.bad, bad + way.bad));
        if self.bake.is_zero() {
            self.verified.push(revision.clone());
            return Some(Basis::Evidence { answers, bad });
        }
        self.boxes.insert(revision.clone(), life.state.uid.clone());
        Some(Basis::OneBox { answers, bad })
    }

    /// Takes note of revisions that are verified by what the cluster shows.
    fn verify(&mut self, moment: Moment, rollout: &Rollout) {
        let current = rollout.current().map(|set| set.hash.clone());
        let mut found = Vec::new();
        if moment == Moment::Before && rollout.progress() == super::rollout::Progress::Complete {
            found.extend(current.clone());
        }
        for life in rollout.lives() {
            let by_reason = life.state.verified.as_deref().is_some_and(Basis::verifies);
            // What served before the wanted revision came is not new.
            let served = current.is_some() && moment != Moment::Given && current.as_ref() != Some(&life.state.revision);
            if by_reason || (served && life.state.ready && life.is_active()) {
                found.push(life.state.revision.clone());
            } else if life.state.verified.as_deref() == Some(Basis::ONE_BOX) && !self.bake.is_zero() {
                self.boxes.entry(life.state.revision.clone()).or_insert_with(|| life.state.uid.clone());
            }
        }
        for revision in found {
            if !self.verified.contains(&revision) && !self.rejected.contains_key(&revision) {
                self.verified.push(revision);
            }
        }
    }

    /// Ends the time of first pods that have served for long enough; one that is gone has proved nothing.
    fn bake(&mut self, moment: Moment, rollout: &Rollout, now: At, decision: &mut Decision) {
        if moment == Moment::Breached {
            return;
        }
        let mut over = Vec::new();
        self.boxes.retain(|revision, uid| {
            let Some(life) = rollout.life(uid).filter(|life| life.is_active()) else { return false };
            let Some(since) = life.ready.filter(|_| life.state.ready) else { return true };
            let until = since + self.bake;
            if now >= until {
                over.push(revision.clone());
                return false;
            }
            decision.wake = Some(decision.wake.map_or(until, |w| w.min(until)));
            true
        });
        self.verified.extend(over);
    }
}

#[cfg(test)]
mod tests;
