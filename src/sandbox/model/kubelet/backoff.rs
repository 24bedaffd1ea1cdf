//! How long a node waits before it tries again: 10 s, doubling to 5 min, forgotten after 10 quiet minutes.

use chrono::TimeDelta;

use crate::sandbox::model::object::Now;

/// The shape of the delays. The default is the kubelet's; a sandbox in a hurry shortens `base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// The first delay.
    pub base: TimeDelta,
    /// No delay is longer than this; twice this long without a restart and the delays begin anew.
    pub max: TimeDelta,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self { base: TimeDelta::seconds(10), max: TimeDelta::seconds(300) }
    }
}

/// The delay of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    settings: BackoffSettings,
    entry: Option<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: TimeDelta,
    since: Now,
}

impl Backoff {
    pub(super) fn new(settings: BackoffSettings) -> Self {
        Self { settings, entry: None }
    }

    /// The delay in force.
    pub(super) fn delay(&self) -> TimeDelta {
        self.entry.map_or(TimeDelta::zero(), |e| e.delay)
    }

    /// Counts one more attempt, made at `now` because of what happened at `event`: the next delay is twice as long.
    pub(super) fn next(&mut self, event: Now, now: Now) {
        let delay = match self.live(event) {
            Some(entry) => (entry.delay * 2).min(self.settings.max),
            None => self.settings.base,
        };
        self.entry = Some(Entry { delay, since: now });
    }

    /// Until when nothing may be tried after `event`; nothing when it may be tried at once.
    pub(super) fn until(&self, event: Now, now: Now) -> Option<Now> {
        let until = event + self.live(event)?.delay;
        (until > now).then_some(until)
    }

    /// The same, counted from the last attempt.
    pub(super) fn until_since_attempt(&self, now: Now) -> Option<Now> {
        let entry = self.live(now)?;
        let until = entry.since + entry.delay;
        (until > now).then_some(until)
    }

    fn live(&self, event: Now) -> Option<Entry> {
        self.entry.filter(|e| event - e.since <= self.settings.max * 2)
    }
}

/// A duration as Go prints it, to the second: `10s`, `1m20s`, `5m0s`.
pub(super) fn go_duration(delta: TimeDelta) -> String {
    let millis = delta.num_milliseconds().max(0);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, 0) if rest > 0 => format!("{rest}ms"),
        (0, 0, s) if rest > 0 => format!("{}s", trimmed(s, rest)),
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

fn trimmed(seconds: i64, millis: i64) -> String {
    format!("{seconds}.{millis:03}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(seconds: i64) -> Now {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn delays_double_to_five_minutes_and_begin_anew_after_ten_quiet_ones() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        let mut seen = Vec::new();
        for attempt in 0..7 {
            backoff.next(at(attempt), at(attempt));
            seen.push(go_duration(backoff.delay()));
        }
        assert_eq!(seen, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
        assert_eq!(backoff.until(at(606), at(606)), Some(at(906)));
        assert_eq!(backoff.until(at(607), at(607)), None);
        backoff.next(at(607), at(607));
        assert_eq!(go_duration(backoff.delay()), "10s");
    }

    #[test]
    fn go_prints_whole_and_broken_durations() {
        let of = |ms| go_duration(TimeDelta::milliseconds(ms));
        assert_eq!([of(0), of(250), of(1500), of(60_000), of(3_661_000)], ["0s", "250ms", "1.5s", "1m0s", "1h1m1s"]);
    }
}
