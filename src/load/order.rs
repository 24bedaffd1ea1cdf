//! The slots of one lane, shared by several workers, put into the order of their intended starts to find the gaps.

use std::collections::VecDeque;

use super::slots::Run;
use crate::domain::gaps::{GapTracker, OPEN_AFTER, Stretch};
use crate::domain::time::At;

/// Gaps of one lane shorter than [`OPEN_AFTER`] that are told one by one.
const SHORT_GAPS_MAX: u32 = 1_000;
/// Runs held back for a worker that has not reported; beyond it they are taken out of order.
const HELD_MAX: usize = 65_536;

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Order {
    workers: Vec<Queue>,
    tracker: GapTracker,
    found: Vec<Stretch>,
    short_left: u32,
    unlisted: u64,
}

#[derive(Debug, Default)]
struct Queue {
    runs: VecDeque<Run>,
    /// Slots taken from the first run.
    taken: u32,
    finished: bool,
}

impl Queue {
    /// The intended start of the next slot; within a run they are evenly spaced.
    fn due(&self) -> Option<At> {
        let run = self.runs.front()?;
        let steps = u64::from(run.n.saturating_sub(1)).max(1);
        let way = u128::from(run.to.0.saturating_sub(run.from.0)) * u128::from(self.taken) / u128::from(steps);
        Some(At(run.from.0 + u64::try_from(way).unwrap_or(0)))
    }

    fn next(&mut self) -> Option<(Run, At)> {
        let due = self.due()?;
        let run = *self.runs.front()?;
        self.taken += 1;
        if self.taken >= run.n {
            self.runs.pop_front();
            self.taken = 0;
        }
        Some((run, due))
    }
}

impl Order {
    /// For a lane that so many workers share.
    pub(crate) fn new(workers: usize) -> Self {
        let queues = std::iter::repeat_with(Queue::default).take(workers).collect();
        Self { workers: queues, tracker: GapTracker::default(), found: Vec::new(), short_left: SHORT_GAPS_MAX, unlisted: 0 }
    }

    /// Takes the next slots of a worker; `finished` when there will be no more.
    pub(crate) fn push(&mut self, worker: usize, runs: &[Run], finished: bool) {
        if let Some(queue) = self.workers.get_mut(worker) {
            queue.runs.extend(runs);
            queue.finished |= finished;
        }
        while let Some(next) = self.next_worker() {
            let Some((run, due)) = self.workers.get_mut(next).and_then(Queue::next) else {
                break;
            };
            if let Some(stretch) = self.tracker.slot(run.class, due) {
                self.keep(stretch);
            }
        }
        if self.workers.iter().all(|queue| queue.finished)
            && let Some(stretch) = self.tracker.finish()
        {
            self.keep(stretch);
        }
    }

    /// The gaps found since the last call, and how many short ones more.
    pub(crate) fn take(&mut self) -> (Vec<Stretch>, u64) {
        (std::mem::take(&mut self.found), std::mem::take(&mut self.unlisted))
    }

    /// The worker with the earliest slot, once none can come with an earlier one.
    fn next_worker(&self) -> Option<usize> {
        let held = self.workers.iter().map(|queue| queue.runs.len()).max().unwrap_or(0);
        if held <= HELD_MAX && self.workers.iter().any(|queue| queue.runs.is_empty() && !queue.finished) {
            return None;
        }
        let heads = self.workers.iter().enumerate().filter_map(|(index, queue)| Some((queue.due()?, index)));
        heads.min().map(|(_, index)| index)
    }

    fn keep(&mut self, stretch: Stretch) {
        let short = stretch.to.is_some_and(|to| to.since(stretch.from) < OPEN_AFTER);
        if short && self.short_left == 0 {
            self.unlisted += 1;
            return;
        }
        self.short_left -= u32::from(short);
        self.found.push(stretch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gaps::Class;

    fn run(class: Class, n: u32, from: u64, to: u64) -> Run {
        Run { class, n, from: At(from), to: At(to) }
    }

    #[test]
    fn a_gap_is_one_only_if_no_worker_had_a_success_in_it() {
        let mut order = Order::new(2);
        // Slots every 10 us in turn; worker 0 fails from 20 to 80, worker 1 from 50 to 70 only.
        order.push(0, &[run(Class::Good, 1, 0, 0), run(Class::Bad, 4, 20, 80), run(Class::Good, 2, 100, 120)], true);
        assert_eq!(order.take(), (vec![], 0), "the other worker may still have earlier slots");
        order.push(1, &[run(Class::Good, 2, 10, 30), run(Class::Bad, 2, 50, 70), run(Class::Good, 2, 90, 110)], true);
        let gap = |from, last, to, failed| Stretch { from: At(from), last: At(last), to: Some(At(to)), failed };
        assert_eq!(order.take(), (vec![gap(20, 20, 30, 1), gap(40, 80, 90, 5)], 0));
    }

    #[test]
    fn short_gaps_are_told_up_to_a_bound_and_long_ones_always() {
        let mut order = Order::new(1);
        for i in 0..1_200 {
            order.push(0, &[run(Class::Bad, 1, i * 20, i * 20), run(Class::Good, 1, i * 20 + 10, i * 20 + 10)], false);
        }
        let (told, unlisted) = order.take();
        assert_eq!((told.len(), unlisted), (1_000, 200));
        order.push(0, &[run(Class::Bad, 2, 1_000_000, 1_200_000), run(Class::Good, 1, 1_300_000, 1_300_000)], false);
        let long = |to| Stretch { from: At(1_000_000), last: At(1_200_000), to, failed: 2 };
        assert_eq!(order.take(), (vec![long(None), long(Some(At(1_300_000)))], 0));
    }

    #[test]
    fn a_worker_that_never_reports_cannot_hold_memory_for_ever() {
        let mut order = Order::new(2);
        let runs: Vec<Run> = (0..70_000).map(|i| run(if i % 2 == 0 { Class::Good } else { Class::Bad }, 1, i, i)).collect();
        order.push(0, &runs, false);
        assert!(order.workers.iter().all(|queue| queue.runs.len() <= HELD_MAX));
    }
}
