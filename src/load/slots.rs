//! The slots of one lane in the order of their intended starts: which are open, when their bounds pass, and what each said.

use std::collections::VecDeque;

use super::attention::Attended;
use super::slab::Key;
use crate::domain::gaps::Class;
use crate::domain::time::At;

/// Changes of class kept for one report; beyond it order is given up, and what follows says nothing.
const RUNS_MAX: usize = 65_536;

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Standing {
    /// It waits for an address or a free connection.
    Waiting,
    /// It is on a connection.
    On(Key),
    /// It has ended.
    Ended(Class),
}

/// An open slot's bound has passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Passed {
    /// The latency threshold of this index.
    Threshold(usize),
    /// The timeout.
    Timeout(Standing),
}

/// Slots of one class one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) class: Class,
    pub(crate) n: u32,
    /// Intended start of the first slot.
    pub(crate) from: At,
    /// Intended start of the last slot.
    pub(crate) to: At,
}

/// Slots by number, from the oldest open one on.
#[derive(Debug)]
pub(crate) struct Slots {
    first: u64,
    entries: VecDeque<Entry>,
    bounds: Vec<Bound>,
    runs: Vec<Run>,
    /// How long the worker has been behind in all: see [`Self::set_behind`].
    behind: u64,
    /// Slots that wait for an address or a connection.
    waiting: usize,
    /// Who joins the queue before this joins one that the worker's absence has made.
    tainted_until: At,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: At,
    started: Attended,
    standing: Standing,
    /// How long the worker had been behind when it began.
    behind: u64,
    /// It was open beyond a threshold, and nobody can say for whose sake.
    doubtful: bool,
    /// It queued up behind slots that had waited for the worker.
    tainted: bool,
}

impl Entry {
    /// When it started, as its bounds see it. While it waits, it waits for the worker too: what kept the worker from freeing a connection is
    /// not the target's.
    fn started(&self, behind: u64) -> Attended {
        match self.standing {
            Standing::Waiting => Attended(self.started.0 + (behind - self.behind)),
            Standing::On(_) | Standing::Ended(_) => self.started,
        }
    }

    /// Was the worker away for most of its time? Then the little that it missed of its own absences adds up, and what took long is as likely
    /// its own doing as the target's.
    fn is_unattended(&self, at: At, attended: Attended, behind: u64) -> bool {
        let attended = attended.0.saturating_sub(self.started(behind).0);
        attended.saturating_mul(2) < at.0.saturating_sub(self.due.0)
    }

    /// Can nobody say for whose sake it takes so long?
    fn in_doubt(&self, at: At, attended: Attended, behind: u64) -> bool {
        self.tainted || self.is_unattended(at, attended, behind)
    }
}

/// A time after the start that is the same for all slots: so they pass it in order, and one number says how far that is.
#[derive(Clone, Copy, Debug)]
struct Bound {
    after: u64,
    next: u64,
}

impl Slots {
    /// Empty; `bounds` are the thresholds and then the timeout, in microseconds.
    pub(crate) fn new(thresholds: &[u64], timeout: u64) -> Self {
        let bounds = thresholds.iter().copied().chain([timeout]).map(|after| Bound { after, next: 0 }).collect();
        Self { first: 0, entries: VecDeque::new(), bounds, runs: Vec::new(), behind: 0, waiting: 0, tainted_until: At::ZERO }
    }

    /// How long the worker has been behind in all, in microseconds: it never becomes less.
    pub(crate) fn set_behind(&mut self, behind: u64) {
        self.behind = behind;
    }

    /// Adds the next slot; answers its number.
    pub(crate) fn push(&mut self, due: At, started: Attended) -> u64 {
        let tainted = self.waiting > 0 && due < self.tainted_until;
        let standing = Standing::Waiting;
        self.entries.push_back(Entry { due, started, standing, behind: self.behind, doubtful: false, tainted });
        self.waiting += 1;
        self.first + self.entries.len() as u64 - 1
    }

    /// Notes that an open slot is on a connection now.
    pub(crate) fn on(&mut self, slot: u64, key: Key) {
        let behind = self.behind;
        if let Some(entry) = self.entry_mut(slot) {
            entry.started = entry.started(behind);
        }
        self.stand(slot, Standing::On(key));
    }

    fn stand(&mut self, slot: u64, standing: Standing) {
        let Some(entry) = self.entry_mut(slot) else { return };
        if std::mem::replace(&mut entry.standing, standing) == Standing::Waiting {
            self.waiting -= 1;
        }
    }

    /// Where a slot stands; `None` when it has ended and is forgotten.
    pub(crate) fn standing(&self, slot: u64) -> Option<Standing> {
        self.entry(slot).map(|entry| entry.standing)
    }

    /// The intended start of an open slot.
    pub(crate) fn due(&self, slot: u64) -> Option<At> {
        self.entry(slot).filter(|e| !matches!(e.standing, Standing::Ended(_))).map(|e| e.due)
    }

    /// Ends a slot.
    pub(crate) fn end(&mut self, slot: u64, class: Class) {
        self.stand(slot, Standing::Ended(class));
        while let Some(Entry { due, standing: Standing::Ended(class), .. }) = self.entries.front().copied() {
            self.entries.pop_front();
            self.first += 1;
            self.note(class, due);
        }
    }

    /// The next bound that an open slot has passed by `now`, at `at` on the clock. Each bound of each slot is told once, and a threshold not at
    /// all when that is in doubt.
    pub(crate) fn pass(&mut self, at: At, now: Attended) -> Option<(u64, Passed)> {
        let timeout = self.bounds.len() - 1;
        (0..self.bounds.len()).find_map(|index| {
            loop {
                let (slot, entry, bound) = self.front(index)?;
                if entry.started(self.behind).0.saturating_add(bound.after) > now.0 {
                    return None;
                }
                self.bounds[index].next = slot + 1;
                self.taint(&entry, at, now);
                if index == timeout {
                    return Some((slot, Passed::Timeout(entry.standing)));
                }
                if !entry.in_doubt(at, now, self.behind) {
                    return Some((slot, Passed::Threshold(index)));
                }
                self.entry_mut(slot)?.doubtful = true;
            }
        })
    }

    /// A slot that waited for the worker has held up those behind it: for as long as one of them may wait, who queues up queues up for the
    /// worker too. No longer, or a target that hangs would never be seen.
    fn taint(&mut self, entry: &Entry, at: At, attended: Attended) {
        if entry.standing == Standing::Waiting && entry.is_unattended(at, attended, self.behind) {
            self.tainted_until = At(at.0 + self.bounds.last().map_or(0, |timeout| timeout.after));
        }
    }

    /// Whether nobody can say for whose sake an open slot has taken so long.
    pub(crate) fn in_doubt(&self, slot: u64, at: At, attended: Attended) -> bool {
        self.entry(slot).is_some_and(|entry| entry.in_doubt(at, attended, self.behind))
    }

    /// When the next bound passes, if its slot stays open that long.
    pub(crate) fn next_bound(&mut self) -> Option<Attended> {
        let behind = self.behind;
        let times =
            (0..self.bounds.len()).filter_map(|i| self.front(i).map(|(_, e, b)| e.started(behind).0.saturating_add(b.after)));
        times.min().map(Attended)
    }

    /// The thresholds that an open slot answered at `at` (attended: `attended`) has exceeded and that [`Self::pass`] has not told.
    /// `None` when it cannot be said of one of them, or of the timeout.
    pub(crate) fn exceeded(&self, slot: u64, at: At, attended: Attended) -> Option<Vec<usize>> {
        let Some(entry) = self.entry(slot) else {
            return Some(Vec::new());
        };
        if entry.doubtful {
            return None;
        }
        let nominal = at.0.saturating_sub(entry.due.0);
        let seen = attended.0.saturating_sub(entry.started(self.behind).0);
        let untold = self.bounds.iter().enumerate().filter(|(_, b)| slot >= b.next && nominal > b.after);
        untold.map(|(index, bound)| (seen > bound.after && !entry.in_doubt(at, attended, self.behind)).then_some(index)).collect()
    }

    /// What ended slots said, in order, since the last call.
    pub(crate) fn take_runs(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.runs)
    }

    /// Whether every slot has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.entries.is_empty()
    }

    fn note(&mut self, class: Class, due: At) {
        let class = if self.runs.len() >= RUNS_MAX { Class::Excluded } else { class };
        match self.runs.last_mut().filter(|run| run.class == class && run.n < u32::MAX) {
            Some(run) => (run.n, run.to) = (run.n + 1, due),
            None => self.runs.push(Run { class, n: 1, from: due, to: due }),
        }
    }

    /// The first open slot that has not passed the bound.
    fn front(&mut self, index: usize) -> Option<(u64, Entry, Bound)> {
        let bound = self.bounds.get_mut(index)?;
        bound.next = bound.next.max(self.first);
        loop {
            let entry = self.entries.get(usize::try_from(bound.next - self.first).ok()?)?;
            if !matches!(entry.standing, Standing::Ended(_)) {
                return Some((bound.next, *entry, *bound));
            }
            bound.next += 1;
        }
    }

    fn entry(&self, slot: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(slot.checked_sub(self.first)?).ok()?)
    }

    fn entry_mut(&mut self, slot: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(slot.checked_sub(self.first)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::slab::Slab;
    use super::*;

    fn slots(dues: &[u64]) -> Slots {
        let mut slots = Slots::new(&[100, 300], 1_000);
        for due in dues {
            slots.push(At(*due), Attended(*due));
        }
        slots
    }

    #[test]
    fn what_slots_said_comes_out_in_the_order_of_their_starts() {
        let mut slots = slots(&[0, 10, 20, 30]);
        for (slot, class) in [(2, Class::Bad), (1, Class::Good), (3, Class::Bad)] {
            slots.end(slot, class);
            assert_eq!(slots.take_runs(), []);
        }
        slots.end(0, Class::Good);
        let run = |class, n, from, to| Run { class, n, from: At(from), to: At(to) };
        assert_eq!(slots.take_runs(), [run(Class::Good, 2, 0, 10), run(Class::Bad, 2, 20, 30)]);
        assert!(slots.all_ended());
        assert_eq!(slots.push(At(40), Attended(40)), 4);
    }

    #[test]
    fn each_bound_of_an_open_slot_is_told_once_and_at_its_time() {
        let mut slots = slots(&[0, 50]);
        assert_eq!((slots.next_bound(), slots.pass(At(99), Attended(99))), (Some(Attended(100)), None));
        assert_eq!(slots.pass(At(100), Attended(100)), Some((0, Passed::Threshold(0))));
        assert_eq!((slots.next_bound(), slots.pass(At(100), Attended(100))), (Some(Attended(150)), None));
        slots.end(0, Class::Good);
        assert_eq!(slots.next_bound(), Some(Attended(150)), "an ended slot passes nothing more");
        let mut told = Vec::new();
        while let Some(passed) = slots.pass(At(9_999), Attended(9_999)) {
            told.push(passed);
        }
        let timeout = Passed::Timeout(Standing::Waiting);
        assert_eq!(told, [(1, Passed::Threshold(0)), (1, Passed::Threshold(1)), (1, timeout)]);
        assert_eq!(slots.next_bound(), None);
    }

    #[test]
    fn an_answer_in_the_doubt_of_an_absence_says_nothing() {
        let mut slots = slots(&[0]);
        assert_eq!(slots.exceeded(0, At(90), Attended(90)), Some(vec![]));
        assert_eq!(slots.exceeded(0, At(120), Attended(120)), Some(vec![0]));
        assert_eq!(slots.exceeded(0, At(120), Attended(90)), None, "slower than the threshold only by our absence");
        assert_eq!(slots.exceeded(0, At(2_000), Attended(1_001)), Some(vec![0, 1, 2]), "too slow whatever we missed");
        assert_eq!(slots.exceeded(0, At(1_500), Attended(999)), None);
        assert_eq!(slots.exceeded(0, At(2_003), Attended(1_001)), None, "we were away for most of it");
        assert_eq!(slots.pass(At(150), Attended(150)), Some((0, Passed::Threshold(0))));
        assert_eq!(slots.exceeded(0, At(250), Attended(160)), Some(vec![]), "what was told is told");
    }

    #[test]
    fn a_slot_for_most_of_which_the_worker_was_away_says_nothing_of_the_target() {
        let mut slots = slots(&[0, 0]);
        assert_eq!(slots.pass(At(201), Attended(100)), None, "neither of them has surely passed its threshold");
        assert_eq!(slots.exceeded(0, At(202), Attended(101)), None);
        assert_eq!(slots.pass(At(599), Attended(300)), Some((0, Passed::Threshold(1))), "this one it has, whatever we missed");
        assert_eq!(slots.pass(At(599), Attended(300)), Some((1, Passed::Threshold(1))));
        assert!(slots.in_doubt(1, At(2_001), Attended(1_000)) && !slots.in_doubt(1, At(2_000), Attended(1_000)));
        assert_eq!(slots.pass(At(9_999), Attended(1_000)), Some((0, Passed::Timeout(Standing::Waiting))), "it ends all the same");
    }

    #[test]
    fn who_queues_up_behind_a_slot_that_waited_for_the_worker_waits_for_the_worker_too_but_not_for_ever() {
        let mut slots = slots(&[0]);
        assert_eq!(slots.pass(At(500), Attended(100)), None, "it waits, and the worker was away");
        slots.push(At(500), Attended(100));
        assert!(slots.in_doubt(1, At(700), Attended(300)), "the worker is here again, but the queue is its own doing");
        assert_eq!(slots.exceeded(1, At(590), Attended(190)), Some(vec![]), "an answer in time is one");
        slots.push(At(1_500), Attended(1_100));
        assert!(!slots.in_doubt(2, At(1_700), Attended(1_300)), "a timeout later the queue is the target's");
        for slot in 0..3 {
            slots.end(slot, Class::Excluded);
        }
        slots.push(At(1_400), Attended(1_000));
        assert!(!slots.in_doubt(3, At(1_600), Attended(1_200)), "nobody is before it");
    }

    #[test]
    fn a_slot_that_waits_while_the_worker_is_behind_waits_for_the_worker_and_not_for_the_target() {
        let mut slots = slots(&[0, 0]);
        slots.set_behind(70);
        assert_eq!((slots.next_bound(), slots.pass(At(160), Attended(160))), (Some(Attended(170)), None));
        slots.on(0, Slab::<()>::new().next_key());
        // What comes after that is the target's again, for the one that is on its way.
        slots.set_behind(200);
        assert_eq!(slots.pass(At(170), Attended(170)), Some((0, Passed::Threshold(0))));
        assert_eq!((slots.next_bound(), slots.pass(At(299), Attended(299))), (Some(Attended(300)), None));
        assert_eq!(slots.exceeded(1, At(250), Attended(250)), None, "nobody knows how long it would have taken");
        assert_eq!(slots.exceeded(0, At(250), Attended(250)), Some(vec![]), "what was told is told");
    }

    #[test]
    fn order_is_given_up_before_memory_is() {
        let mut slots = Slots::new(&[], 1_000);
        for i in 0..200_000 {
            let slot = slots.push(At(i), Attended(i));
            slots.end(slot, if i % 2 == 0 { Class::Good } else { Class::Bad });
        }
        let runs = slots.take_runs();
        assert_eq!((runs.len(), runs.iter().map(|r| u64::from(r.n)).sum()), (RUNS_MAX + 1, 200_000_u64));
        assert_eq!(runs.last().map(|r| r.class), Some(Class::Excluded));
    }
}
