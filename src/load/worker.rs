//! One thread that sends: it waits, reacts, begins what is due and ends what is over, and reports every tenth of a second.
//!
//! It never waits for whoever reads its reports: when their queue is full, the tenth is added to the next one.
//!
//! The same thread does errands (`asker`): lanes of one slot, which come by the mailbox and go when they have ended.

use std::sync::Arc;

use hdrhistogram::Histogram;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::attention::Attention;
use super::fold::{LaneReport, Totals};
use super::lane::{Lane, Schedule, Stride};
use super::mailbox::{Errand, Mailbox, Word};
use super::reactor::Ready;
use super::slab::Key;
use super::wires::Wires;
use crate::domain::slice::SLICE_MICROS;
use crate::domain::time::At;

/// What one worker did up to `end`.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) worker: usize,
    pub(crate) end: At,
    /// By index in the plan; lanes that this worker has no share in are missing.
    pub(crate) lanes: Vec<(usize, LaneReport)>,
    pub(crate) in_flight: u64,
    /// Absences in microseconds.
    pub(crate) away: u64,
    /// CPU time in microseconds.
    pub(crate) cpu: u64,
    /// Tenths that had to be added to this one.
    pub(crate) late: u64,
    /// With the last report: the whole time, by index in the plan.
    pub(crate) last: Option<Vec<(usize, Totals)>>,
}

/// A wait for nothing but the bell, in microseconds.
const FAR: u64 = 3_600_000_000;

/// What a worker works on, and for whom.
#[derive(Debug)]
pub(crate) enum Duty {
    /// The lanes of a plan; each tenth is reported.
    Plan(Sender<Report>),
    /// Errands, of which nothing is reported: each tells of its one slot itself. With an empty histogram for them.
    Errands(Histogram<u64>),
}

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Worker {
    which: usize,
    /// By index in the plan, or by the errand's place.
    lanes: Vec<Option<Lane>>,
    wires: Wires,
    mailbox: Arc<Mailbox>,
    duty: Duty,
    /// The end of the current tenth.
    end: At,
    ready: Vec<(Key, Ready)>,
    told_away: u64,
    told_cpu: u64,
    late: u64,
    aborted: bool,
}

impl Worker {
    pub(crate) fn new(which: usize, lanes: Vec<Option<Lane>>, wires: Wires, mailbox: Arc<Mailbox>, duty: Duty) -> Self {
        let end = next_tenth(wires.clock.now());
        let ready = Vec::with_capacity(super::reactor::BATCH);
        Self { which, lanes, wires, mailbox, duty, end, ready, told_away: 0, told_cpu: 0, late: 0, aborted: false }
    }

    /// Works until it has been told to stop and every slot has ended; on errands until it is told to end.
    pub(crate) fn run(mut self) -> Result<(), Errno> {
        self.told_cpu = cpu_time();
        while !self.aborted {
            let wake = self.next_wake();
            self.look(wake)?;
            self.close_tenths(self.wires.clock.now());
            self.begin_due();
            self.expire();
            match &self.duty {
                Duty::Errands(_) => self.clear_finished(),
                Duty::Plan(_) if !self.lanes.iter().flatten().all(Lane::finished) => {}
                Duty::Plan(reports) => {
                    let reports = reports.clone();
                    self.say_last(&reports);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn next_wake(&mut self) -> At {
        let Wires { conns, attention, .. } = &self.wires;
        let lanes = self.lanes.iter_mut().flatten().filter_map(|lane| lane.next_wake(conns, attention));
        let end = match self.duty {
            Duty::Plan(_) => self.end,
            Duty::Errands(_) => At(self.wires.clock.now().0 + FAR),
        };
        let wake = lanes.chain([end]).min().unwrap_or(end);
        let open = self.lanes.iter().flatten().any(|lane| lane.in_flight() > 0);
        if open { wake.min(Attention::heartbeat(self.wires.clock.now())) } else { wake }
    }

    /// Waits until `until` at the latest and handles what came.
    fn look(&mut self, until: At) -> Result<(), Errno> {
        self.wires.attention.before_wait(self.wires.clock.now());
        let woken = self.wires.reactor.wait(self.wires.clock, until, &mut self.ready)?;
        self.wires.attention.after_wait(self.wires.clock.now(), until, woken.drained);
        let mut ready = std::mem::take(&mut self.ready);
        for (key, what) in ready.drain(..) {
            let Some(owner) = self.wires.conns.get(key).map(|conn| conn.owner) else {
                continue;
            };
            let Some(lane) = self.lanes.get_mut(owner.lane).and_then(Option::as_mut) else {
                continue;
            };
            let step = lane.react(&mut self.wires, key, what);
            let now = self.wires.moment();
            self.close_tenths(now.at);
            if let Some(lane) = self.lanes.get_mut(owner.lane).and_then(Option::as_mut) {
                lane.on_step(&mut self.wires, key, step, now);
            }
        }
        self.ready = ready;
        if woken.bell {
            self.obey();
        }
        Ok(())
    }

    fn begin_due(&mut self) {
        for lane in self.lanes.iter_mut().flatten() {
            lane.begin_in_time(&mut self.wires);
        }
    }

    /// Enforces deadlines: those before which every answer that had come has been seen.
    fn expire(&mut self) {
        let (limit, now) = (self.wires.attention.seen(), self.wires.moment());
        self.close_tenths(now.at);
        for lane in self.lanes.iter_mut().flatten() {
            lane.expire(&mut self.wires, limit, now);
        }
    }

    fn obey(&mut self) {
        let orders = self.mailbox.take();
        self.aborted |= orders.abort;
        for (place, word) in orders.errands.into_iter().enumerate() {
            let Some(word) = word else {
                continue;
            };
            self.clear(place);
            if let Word::Go(errand) = word {
                self.take_up(place, errand);
            }
        }
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = lane else {
                continue;
            };
            if let Some(target) = orders.targets.get(index).cloned().flatten() {
                lane.set_target(&mut self.wires, target);
            }
            let rate = orders.rates.get(index).copied().flatten();
            if rate.is_some() || orders.stop {
                while lane.begin_due(&mut self.wires) {}
            }
            if let Some((at, rate)) = rate {
                lane.set_rate(at, rate);
            }
            if orders.stop {
                lane.stop();
            }
        }
    }

    /// Begins an errand's one slot.
    fn take_up(&mut self, place: usize, Errand { spec, witness }: Errand) {
        let Duty::Errands(latency) = &self.duty else {
            return;
        };
        // The slot is due when the thread is there to begin it.
        let schedule = Stride::new(&spec, 0, 1).and_then(|stride| Schedule::new(&spec, self.wires.clock.now(), stride, 0));
        let Some(schedule) = schedule else {
            return;
        };
        let mut lane = Lane::new(place, spec, schedule, latency.clone());
        lane.set_witness(witness);
        while lane.begin_due(&mut self.wires) {}
        lane.stop();
        if self.lanes.len() <= place {
            self.lanes.resize_with(place + 1, || None);
        }
        self.lanes[place] = Some(lane);
    }

    /// Ends what is in an errand's place, whether it has an outcome or not.
    fn clear(&mut self, place: usize) {
        if self.lanes.get_mut(place).and_then(Option::take).is_some() {
            self.wires.conns.remove_all(|conn| conn.owner.lane == place);
        }
    }

    fn clear_finished(&mut self) {
        for place in 0..self.lanes.len() {
            if self.lanes[place].as_ref().is_some_and(Lane::finished) {
                self.clear(place);
            }
        }
    }

    /// Reports the tenths that are over at `now`.
    fn close_tenths(&mut self, now: At) {
        while self.end <= now {
            let Duty::Plan(reports) = &self.duty else {
                return;
            };
            match reports.clone().try_reserve() {
                Ok(permit) => permit.send(self.report(self.end)),
                Err(TrySendError::Full(())) => self.late += 1,
                Err(TrySendError::Closed(())) => self.aborted = true,
            }
            self.end.0 += SLICE_MICROS;
        }
    }

    /// The last report of all. The schedule is over: it may wait to be taken.
    fn say_last(mut self, reports: &Sender<Report>) {
        let mut report = self.report(self.end);
        let totals = self.lanes.drain(..).enumerate().filter_map(|(index, lane)| Some((index, lane?.into_totals())));
        report.last = Some(totals.collect());
        // Nobody is left to read it: then nobody misses it.
        let _ = reports.blocking_send(report);
    }

    fn report(&mut self, end: At) -> Report {
        let lanes = self.lanes.iter_mut().flatten();
        let in_flight = lanes.filter(|lane| !lane.is_control()).map(|lane| lane.in_flight()).sum();
        let reports = self.lanes.iter_mut().enumerate().filter_map(|(index, lane)| Some((index, lane.as_mut()?.report(end))));
        let (away, cpu) = (self.wires.attention.away(), cpu_time());
        Report {
            worker: self.which,
            end,
            lanes: reports.collect(),
            in_flight,
            away: away - std::mem::replace(&mut self.told_away, away),
            cpu: cpu.saturating_sub(std::mem::replace(&mut self.told_cpu, cpu)),
            late: std::mem::take(&mut self.late),
            last: None,
        }
    }
}

/// The end of the tenth that `now` lies in.
pub(crate) fn next_tenth(now: At) -> At {
    At((now.0 / SLICE_MICROS + 1) * SLICE_MICROS)
}

/// CPU time of this thread in microseconds.
fn cpu_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::super::fold::histogram;
    use super::super::lane::{Schedule as Slots, Stride};
    use super::super::plan::LaneSpec;
    use super::*;
    use crate::clock::Clock;
    use crate::domain::outcome::Outcome;
    use crate::domain::traffic::{Expect, LanePlan, Mode, RequestPlan, Schedule};

    /// A worker driven by hand, step by step, with one slot that is due at once, and the server's end of its connection.
    struct ByHand {
        worker: Worker,
        reports: mpsc::Receiver<Report>,
        server: TcpStream,
    }

    fn by_hand(timeout: Duration, thresholds: Vec<u64>) -> ByHand {
        at_rate(0.01, timeout, thresholds)
    }

    fn at_rate(rate: f64, timeout: Duration, thresholds: Vec<u64>) -> ByHand {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let plan = LanePlan {
            name: "l".into(),
            mode: Mode::Fresh,
            rate,
            schedule: Schedule::default(),
            start: At::ZERO,
            request: RequestPlan { url, ..RequestPlan::default() },
            expect: Expect::default(),
            timeout,
            connect_timeout: timeout,
            max_in_flight: 10,
            thresholds,
        };
        let spec = Arc::new(LaneSpec::new(&plan, "r").unwrap());
        let clock = Clock::start();
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let wires = Wires::new(clock, mailbox.bell()).unwrap();
        let slots = Slots::new(&spec, clock.now(), Stride::new(&spec, 0, 1).unwrap(), 1).unwrap();
        let (sender, reports) = mpsc::channel(64);
        let lane = Lane::new(0, spec, slots, histogram().unwrap());
        let mut worker = Worker::new(0, vec![Some(lane)], wires, mailbox, Duty::Plan(sender));
        worker.begin_due();
        ByHand { worker, reports, server: listener.accept().unwrap().0 }
    }

    impl ByHand {
        fn look(&mut self, wait: Duration) {
            let until = self.worker.wires.clock.now() + wait;
            self.worker.look(until).unwrap();
            self.worker.expire();
        }

        /// Looks as often as something happens.
        fn attend(&mut self, span: Duration) {
            let until = self.worker.wires.clock.now() + span;
            while self.worker.wires.clock.now() < until {
                self.worker.look(until).unwrap();
                self.worker.expire();
            }
        }

        fn outcome(mut self) -> (Outcome, Vec<u64>) {
            self.worker.mailbox.stop();
            self.worker.run().unwrap();
            let mut slow = vec![0; 1];
            let mut outcomes = Vec::new();
            while let Some(report) = self.reports.blocking_recv() {
                for part in report.lanes.into_iter().flat_map(|(_, lane)| lane.parts) {
                    outcomes.extend(part.counts.iter());
                    slow.iter_mut().zip(part.slow).for_each(|(sum, n)| *sum += n);
                }
            }
            let [(outcome, 1)] = outcomes[..] else { panic!("one slot, one outcome: {outcomes:?}") };
            (outcome, slow)
        }
    }

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const AWHILE: Duration = Duration::from_millis(120);

    fn answer(mut server: &TcpStream) {
        let mut request = [0; 1_000];
        assert!(server.read(&mut request).unwrap() > 0);
        server.write_all(ANSWER).unwrap();
    }

    #[test]
    fn an_answer_that_came_while_the_worker_was_away_says_nothing_when_it_may_have_been_late() {
        for (timeout, thresholds, expected) in
            [(AWHILE / 2, vec![], Outcome::Unseen), (AWHILE * 9, vec![60_000], Outcome::Unseen), (AWHILE * 9, vec![], Outcome::Ok)]
        {
            let mut hand = by_hand(timeout, thresholds);
            hand.look(AWHILE);
            answer(&hand.server);
            // The absence: nobody looks while the deadline passes.
            std::thread::sleep(AWHILE);
            hand.look(Duration::ZERO);
            assert_eq!(hand.outcome(), (expected, vec![0]));
        }
    }

    #[test]
    fn a_deadline_moves_by_as_long_as_the_worker_was_away() {
        let mut hand = by_hand(Duration::from_millis(500), vec![100_000]);
        let in_flight = |hand: &ByHand| hand.worker.lanes[0].as_ref().unwrap().in_flight();
        hand.attend(Duration::from_millis(350));
        std::thread::sleep(Duration::from_millis(250));
        hand.look(Duration::ZERO);
        assert_eq!(in_flight(&hand), 1, "250 ms of absence are not the target's");
        assert_eq!(hand.outcome(), (Outcome::ResponseTimeout, vec![1]), "but 500 ms of attention are");
    }

    #[test]
    fn a_deadline_for_the_most_of_which_the_worker_was_away_says_nothing() {
        let mut hand = by_hand(Duration::from_millis(200), vec![150_000]);
        hand.attend(Duration::from_millis(100));
        std::thread::sleep(Duration::from_millis(300));
        hand.look(Duration::ZERO);
        assert_eq!(hand.outcome(), (Outcome::Unseen, vec![0]));
    }

    #[test]
    fn a_connection_that_was_dead_before_the_request_left_is_told_from_one_that_died_on_it() {
        let close = |hand: ByHand, reset: bool| {
            if reset {
                socket2::SockRef::from(&hand.server).set_linger(Some(Duration::ZERO)).unwrap();
            }
            let ByHand { worker, reports, server } = hand;
            drop(server);
            // Loopback delivers at once; the worker has not looked since it began to connect.
            let spare = TcpStream::connect(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()).unwrap();
            ByHand { worker, reports, server: spare }
        };
        for reset in [false, true] {
            let before = close(by_hand(AWHILE * 9, vec![]), reset);
            assert_eq!(before.outcome().0, Outcome::ResetBeforeSend, "reset: {reset}");
            let mut hand = by_hand(AWHILE * 9, vec![]);
            hand.look(AWHILE);
            assert!((&hand.server).read(&mut [0; 1_000]).unwrap() > 0);
            assert_eq!(close(hand, reset).outcome().0, Outcome::ResetAfterSend, "reset: {reset}");
        }
    }

    #[test]
    fn slots_that_were_due_while_the_worker_was_away_are_begun_before_it_stops() {
        let mut hand = at_rate(100.0, AWHILE, vec![]);
        std::thread::sleep(Duration::from_millis(300));
        // The tenths are closed, the slots counted as due; the worker has begun none but the first.
        hand.worker.close_tenths(hand.worker.wires.clock.now());
        hand.worker.mailbox.stop();
        hand.worker.run().unwrap();
        let totals = std::iter::from_fn(|| hand.reports.blocking_recv()).find_map(|report| report.last).unwrap();
        let (planned, ended) = (totals[0].1.planned, totals[0].1.counts.total());
        assert!(planned >= 30 && planned == ended, "{planned} planned, {ended} ended");
    }
}
