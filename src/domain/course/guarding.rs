//! After a breach: the guard's action is decided once, carried out, and watched until it has its effect.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Command, Course};
use crate::domain::rollout::guard::{self, Action, ActionEnded, Effect, Guard, Plan, Refusal, Verb, Weight};
use crate::domain::time::At;
use crate::domain::traffic::Name;
use crate::domain::verdict::VerdictKind;

/// How long after a breach the Deployment controller may take to say which revision it made of the change.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(5);

/// What is on its way to the API is over within this time; an action that takes longer waits for an API that is away.
const ON_ITS_WAY: Duration = Duration::from_secs(15);

/// How long an accepted action may take to have its effect. The run goes on until then, be it beyond its deadline.
const fn effective_within(verb: Verb) -> Duration {
    match verb {
        Verb::Pause => Duration::from_secs(10),
        Verb::Hold => Duration::from_mins(1),
        Verb::Undo => Duration::from_mins(2),
    }
}

/// What the guard did, or why it did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When that was decided.
    pub decided: At,
    /// What was to be done; nothing when it was refused at once.
    pub action: Option<Action>,
    /// When it began; nothing in a run that is judged by other terms and never acted.
    pub began: Option<At>,
    /// How it ended.
    pub ended: Option<ActionEnded>,
    /// When the effect was first seen.
    pub effective: Option<At>,
    /// What became of it afterwards.
    pub undone: Option<Undone>,
    /// Pods of the stopped revision that were wanted when the action was accepted, and the most since: a pause lets the surge fill up.
    pub grown: Option<(u32, u32)>,
    /// Why it was refused at once.
    pub refused: Option<Refusal>,
}

/// Somebody undid an action. It is not taken again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// When that was seen.
    pub at: At,
    /// It was taken back, and the stopped revision rolls on; or else the Deployment was given another template.
    pub taken_back: bool,
    /// The field manager that wrote the specification, if one did.
    pub by: Option<Name>,
}

/// What came of the guard's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionOutcome {
    /// Not over.
    UnderWay,
    /// It had its effect.
    Effective,
    /// It was accepted, and had no effect in the time that it was given.
    NotEffective,
    /// Somebody took it back.
    TakenBack,
    /// Somebody changed the Deployment again after it.
    Overtaken,
    /// An earlier run had done it.
    AlreadyDone,
    /// Somebody else had taken over before.
    LeftAlone,
    /// The guard cannot do what it was asked for.
    Impossible,
    /// It failed, or is not known to have been done.
    Failed,
}

impl ActionOutcome {
    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::UnderWay => "under way",
            Self::Effective => "effective",
            Self::NotEffective => "no effect",
            Self::TakenBack => "taken back",
            Self::Overtaken => "overtaken",
            Self::AlreadyDone => "already done",
            Self::LeftAlone => "left alone",
            Self::Impossible => "not possible",
            Self::Failed => "failed",
        }
    }
}

impl Deed {
    fn new(decided: At) -> Self {
        Self { decided, action: None, began: None, ended: None, effective: None, undone: None, grown: None, refused: None }
    }

    /// What has come of it.
    pub fn outcome(&self, now: At) -> ActionOutcome {
        let of_refusal = |refusal: &Refusal| match refusal.weight() {
            Weight::Done => ActionOutcome::AlreadyDone,
            Weight::LeftAlone => ActionOutcome::LeftAlone,
            Weight::Impossible => ActionOutcome::Impossible,
        };
        if let Some(refusal) = &self.refused {
            return of_refusal(refusal);
        }
        match (&self.ended, &self.undone) {
            (None, _) => ActionOutcome::UnderWay,
            (Some(ActionEnded::LeftAlone(refusal)), _) => of_refusal(refusal),
            (Some(ActionEnded::Failed { .. }), _) => ActionOutcome::Failed,
            (Some(ActionEnded::Accepted { .. }), Some(undone)) if undone.taken_back => ActionOutcome::TakenBack,
            (Some(ActionEnded::Accepted { .. }), Some(_)) => ActionOutcome::Overtaken,
            (Some(ActionEnded::Accepted { .. }), None) if self.effective.is_some() => ActionOutcome::Effective,
            (Some(ActionEnded::Accepted { at, .. }), None) => {
                let late = self.action.as_ref().is_some_and(|a| now >= *at + effective_within(a.verb));
                if late { ActionOutcome::NotEffective } else { ActionOutcome::UnderWay }
            }
        }
    }

    /// When the patch of the Deployment was accepted.
    pub const fn accepted(&self) -> Option<At> {
        match &self.ended {
            Some(ActionEnded::Accepted { at, .. }) => Some(*at),
            Some(ActionEnded::Failed { paused, .. }) => *paused,
            Some(ActionEnded::LeftAlone(_)) | None => None,
        }
    }
}

impl Course {
    /// Says before the change what the guard could not do about it.
    pub(super) fn forewarn(&self, commands: &mut Vec<Command>) {
        commands.extend(guard::forecast(self.head.scenario.guard, &self.rollout).into_iter().map(Command::Say));
    }

    /// Says once what an earlier run did to the target, when it is known how far it came.
    pub(super) fn remember(&mut self, commands: &mut Vec<Command>) {
        if self.remembered {
            return;
        }
        let Some((target, current)) = self.rollout.target().zip(self.rollout.current()) else { return };
        let Some(record) = target.acted.as_ref().filter(|r| r.uid == target.uid) else { return };
        let half = record.verb == Verb::Hold && record.revision == current.hash && target.paused && current.replicas > 0;
        let rest = if half {
            format!("; it came no further than the pause: `kubectl scale rs {} --replicas=0` finishes it", current.name)
        } else {
            String::new()
        };
        if *record.run != *self.head.run_id {
            commands.push(Command::Say(format!("{}{rest}", record.sentence())));
        }
        self.remembered = true;
    }

    /// Decides the guard's action when the verdict is a breach, once; and follows what comes of it.
    pub(super) fn guard(&mut self, commands: &mut Vec<Command>) {
        self.follow(commands);
        if self.deed.is_some() || self.is_off_guard() || self.step_runs {
            return;
        }
        let Some(verdict) = &self.verdict else { return };
        let (decided, guard) = (verdict.at, self.head.scenario.guard);
        let refusal = match guard::decide(guard, verdict, &self.rollout) {
            Plan::Nothing => return,
            Plan::Act(action) => {
                let deed = Deed { action: Some((*action).clone()), ..Deed::new(self.now) };
                self.deed = Some(deed);
                return commands.push(Command::Act(action));
            }
            Plan::Refuse(refusal) => refusal,
        };
        if refusal == Refusal::NotSeen && !self.lasted(decided, TAKEN_IN_WITHIN) {
            return;
        }
        commands.push(Command::Say(format!("guard {guard}: nothing is done: {}", refusal.sentence())));
        self.deed = Some(Deed { refused: Some(refusal), ..Deed::new(self.now) });
    }

    /// Nothing is to be done: no breach, no guard, or the run was called off.
    fn is_off_guard(&self) -> bool {
        let breach = self.verdict.as_ref().is_some_and(|v| v.verdict == VerdictKind::Breach);
        !breach || self.head.scenario.guard == Guard::None || self.signal.is_some()
    }

    pub(super) fn action_started(&mut self, action: &Action, at: At) {
        let deed = self.deed.get_or_insert_with(|| Deed::new(at));
        deed.action = Some(action.clone());
        deed.began = Some(at);
        self.rollout.fix_sides();
    }

    pub(super) fn action_ended(&mut self, ended: &ActionEnded) {
        let Some(deed) = &mut self.deed else { return };
        let new = deed.action.as_ref().and_then(|a| self.rollout.set(&a.revision.hash)).map_or(0, |s| s.replicas);
        deed.grown = Some((new, new));
        deed.ended = Some(ended.clone());
        self.writer_before = self.rollout.target().and_then(|d| d.writer.clone());
    }

    /// Looks for the effect of an accepted action, and for who undoes it.
    fn follow(&mut self, commands: &mut Vec<Command>) {
        let Some(deed) = self.deed.as_mut().filter(|d| d.undone.is_none()) else { return };
        let (Some(action), Some(ActionEnded::Accepted { generation, .. })) = (&deed.action, &deed.ended) else { return };
        if let (Some((_, most)), Some(set)) = (&mut deed.grown, self.rollout.set(&action.revision.hash)) {
            *most = (*most).max(set.replicas);
        }
        match guard::effect(action, *generation, &self.rollout) {
            Effect::Open => {}
            Effect::There => deed.effective = deed.effective.or(Some(self.now)),
            effect @ (Effect::TakenBack | Effect::Overtaken) => {
                let d = self.rollout.target().filter(|_| !self.rollout.is_lost());
                let writer = d.and_then(|d| d.writer.as_ref()).filter(|w| self.writer_before.as_ref() != Some(*w));
                let by = writer.map(|w| w.manager.clone()).filter(|m| &**m != guard::MANAGER);
                let undone = Undone { at: self.now, taken_back: effect == Effect::TakenBack, by };
                commands.push(Command::Say(undone.sentence()));
                deed.undone = Some(undone);
            }
        }
    }

    /// Nothing more is to be waited for: no action, or it ended, and what came of it was watched for as long as the aftermath lasts.
    pub(super) fn is_guard_done(&mut self) -> bool {
        let Some(deed) = &self.deed else { return self.is_off_guard() };
        let (accepted, began) = (deed.accepted(), deed.began);
        match (deed.outcome(self.now), deed.effective) {
            (ActionOutcome::UnderWay, _) => {
                if let (Some(at), Some(action)) = (accepted, &deed.action) {
                    self.wake_at(at + effective_within(action.verb));
                }
                // What is on its way to the API is waited for even then, but not an API that is away.
                self.signal.is_some() && (accepted.is_some() || began.is_some_and(|began| self.lasted(began, ON_ITS_WAY)))
            }
            (ActionOutcome::Effective, Some(at)) => self.signal.is_some() || self.lasted(at, self.head.scenario.aftermath),
            _ => true,
        }
    }

    /// What the guard did, or why it did nothing; nothing without a breach, without a guard, or before it is decided.
    pub const fn deed(&self) -> Option<&Deed> {
        self.deed.as_ref()
    }

    /// There is a breach, a guard, and nobody has stopped the rollout.
    pub fn is_unstopped(&self) -> bool {
        let breach = self.verdict.as_ref().is_some_and(|v| v.verdict == VerdictKind::Breach);
        breach
            && self.deed.as_ref().is_some_and(|deed| match deed.outcome(self.now) {
                ActionOutcome::Effective | ActionOutcome::Overtaken | ActionOutcome::AlreadyDone | ActionOutcome::LeftAlone => {
                    false
                }
                ActionOutcome::UnderWay
                | ActionOutcome::NotEffective
                | ActionOutcome::TakenBack
                | ActionOutcome::Impossible
                | ActionOutcome::Failed => true,
            })
    }

    /// An action was accepted: from here on the cluster shows what the guard does, no more the rollout.
    pub(super) fn is_stopped(&self) -> bool {
        self.deed.as_ref().is_some_and(|d| d.accepted().is_some())
    }
}

impl Undone {
    /// One sentence.
    pub fn sentence(&self) -> String {
        let by = self.by.as_ref().map_or_else(|| "somebody".to_owned(), |m| format!("field manager {m}"));
        if self.taken_back {
            format!("{by} took the action back; it is not taken again")
        } else {
            format!("{by} changed the Deployment again after the action")
        }
    }
}
