//! Who leads: how one of several processes holds a Lease, by the rules that client-go's leader election has. Pure: the caller reads and
//! writes the lease, and tells what came of it.
//!
//! What makes two leaders at once impossible: whether a record has expired is judged only by how long *we* have seen it unchanged, on our own
//! monotonic clock, so nobody's wall clock matters; each write names the version that was judged; and whoever leads stops well before
//! anybody may follow, counting from when its last accepted write was *sent*.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::time::At;

/// The annotation of the lease that says where its holder answers: `IP:PORT`.
pub const ADDRESS: &str = "verifier.dev/address";
/// A candidate waits up to this share longer between two looks, so that candidates do not keep meeting.
const SPREAD: f64 = 0.2;
/// The duration of a lease that was given up: nobody has to wait for it.
const RELEASED: Duration = Duration::from_secs(1);

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// A record that has not changed for so long has lost its holder.
    pub duration: Duration,
    /// Who could not renew for so long leads no more: well before another may begin to.
    pub renew_within: Duration,
    /// Between two tries.
    pub retry: Duration,
    /// Longest wait for one answer of the API.
    pub answer: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        let [duration, renew_within, retry, answer] = [15, 10, 2, 4].map(Duration::from_secs);
        Self { duration, renew_within, retry, answer }
    }
}

/// What a lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty when nobody does.
    pub holder: String,
    /// Where the holder answers.
    pub address: Option<SocketAddr>,
    /// For how long it is held without being renewed; zero when the lease does not say.
    pub duration: Duration,
    /// When the holder got it, by the holder's wall clock, in microseconds since 1970. For people.
    pub acquired: i64,
    /// When it was renewed, likewise. That it changes is what counts.
    pub renewed: i64,
    /// How often it has passed to another holder.
    pub transitions: i32,
}

/// A record, and the version of the object that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What it says.
    pub record: Record,
    /// `metadata.resourceVersion`
    pub version: String,
}

/// A record that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The version that it replaces, and no other; without one the lease is created.
    pub over: Option<String>,
    /// What it shall say.
    pub record: Record,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was accepted, and is of this version now.
    Written {
        /// `metadata.resourceVersion`
        version: String,
    },
    /// Somebody else has written, created or deleted the lease since it was read: nothing was written.
    Conflict,
    /// Nobody knows whether it was written.
    Unknown,
}

/// How a candidacy ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It led, and could not keep the lease.
    Lost,
    /// It was resigned, and what was held is given up.
    Resigned,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do {
    /// Nothing until then.
    Wait(At),
    /// Read the lease.
    Look,
    /// Write it.
    Write(Write),
    /// Nothing ever again.
    End(Ending),
}

/// What this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Candidate,
    /// The write that was accepted last was sent then.
    Leader {
        sent: At,
    },
    /// It gives the lease up.
    Leaving,
    Over(Ending),
}

/// What the next write would rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// Nothing: the lease has to be read first.
    Stale,
    /// The lease as it was just read, and may be written.
    Looked,
    /// There is none, and it may be created.
    Missing,
    /// Our own last write.
    Wrote,
}

/// The lease as it was seen last.
#[derive(Clone, Debug)]
struct Seen {
    read: Read,
    /// When it was last seen to have changed.
    since: At,
}

/// One process that would lead, and perhaps does. All moments are on its own monotonic clock.
#[derive(Debug)]
pub struct Candidate {
    name: String,
    address: Option<SocketAddr>,
    terms: Terms,
    rng: StdRng,
    role: Role,
    basis: Basis,
    /// Kept also when the lease is gone: whose it was may still lead.
    seen: Option<Seen>,
    informed: bool,
    due: At,
}

impl Candidate {
    /// Begins. The name is nobody else's, and no earlier process's either.
    pub fn new(name: String, address: Option<SocketAddr>, terms: Terms, seed: u64) -> Self {
        Self {
            name,
            address,
            terms,
            rng: StdRng::seed_from_u64(seed),
            role: Role::Candidate,
            basis: Basis::Stale,
            seen: None,
            informed: false,
            due: At::ZERO,
        }
    }

    /// Until when this one leads if nothing more is heard; nothing when it does not.
    pub fn leads_until(&self) -> Option<At> {
        match self.role {
            Role::Leader { sent } => Some(sent + self.terms.renew_within),
            Role::Candidate | Role::Leaving | Role::Over(_) => None,
        }
    }

    /// Whether it leads at this moment.
    pub fn is_valid(&self, now: At) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// Whether the lease was seen once, or seen not to be there.
    pub const fn is_informed(&self) -> bool {
        self.informed
    }

    /// Who else held the lease when it was last seen.
    pub fn other(&self) -> Option<&Record> {
        let record = &self.seen.as_ref()?.read.record;
        (!record.holder.is_empty() && record.holder != self.name).then_some(record)
    }

    /// Longest wait for the answer to a call that begins now.
    pub fn patience(&self, now: At) -> Duration {
        self.leads_until().map_or(self.terms.answer, |until| until.since(now).min(self.terms.answer))
    }

    /// What is to be done. `wall` is the wall clock's time in microseconds since 1970; it is written down, and never judged by.
    pub fn next(&mut self, now: At, wall: i64) -> Do {
        self.settle(now);
        if let Role::Over(ending) = self.role {
            return Do::End(ending);
        }
        let wake = self.leads_until().map_or(self.due, |until| until.min(self.due));
        if now < wake {
            return Do::Wait(wake);
        }
        match self.basis {
            Basis::Stale => Do::Look,
            Basis::Looked | Basis::Missing | Basis::Wrote => Do::Write(self.write(wall)),
        }
    }

    /// The lease was read; nothing when there is none.
    pub fn looked(&mut self, found: Option<Read>, now: At) {
        self.settle(now);
        self.informed = true;
        self.due = now;
        let ours = found.as_ref().is_some_and(|read| read.record.holder == self.name);
        self.basis = if found.is_some() { Basis::Looked } else { Basis::Missing };
        if let Some(read) = found {
            let unchanged = self.seen.as_ref().filter(|seen| seen.read.record == read.record);
            let since = unchanged.map_or(now, |seen| seen.since);
            self.seen = Some(Seen { read, since });
        }
        match self.role {
            Role::Candidate if self.taken_until().is_some_and(|until| now < until) => self.rest(now),
            Role::Leader { .. } if !ours && self.basis == Basis::Looked => self.role = Role::Over(Ending::Lost),
            Role::Leaving if !ours => self.role = Role::Over(Ending::Resigned),
            // It is free, or ours: what was written last was accepted, only its answer was lost. A leader creates what somebody deleted.
            Role::Candidate | Role::Leader { .. } | Role::Leaving | Role::Over(_) => {}
        }
    }

    /// The lease could not be read; the try began at `sent`.
    pub fn looked_in_vain(&mut self, sent: At, now: At) {
        self.settle(now);
        self.try_again(sent, now);
    }

    /// A write was answered, or given up on. It was sent at `sent`, before which nothing of it can have taken effect.
    pub fn wrote(&mut self, record: Record, answer: Answer, sent: At, now: At) {
        self.settle(now);
        let rested_on = self.basis;
        match answer {
            Answer::Written { version } => {
                self.seen = Some(Seen { read: Read { record, version }, since: now });
                (self.basis, self.due) = (Basis::Wrote, sent + self.terms.retry);
                self.role = match self.role {
                    // An answer that comes so late makes no leader: the lease is ours, and is renewed at once.
                    Role::Candidate if now >= sent + self.terms.renew_within => {
                        self.due = now;
                        Role::Candidate
                    }
                    Role::Candidate | Role::Leader { .. } => Role::Leader { sent },
                    Role::Leaving => Role::Over(Ending::Resigned),
                    Role::Over(ending) => Role::Over(ending),
                };
            }
            // The quick way, without a look, did not work: now the long one.
            Answer::Conflict if rested_on == Basis::Wrote => (self.basis, self.due) = (Basis::Stale, now),
            Answer::Conflict | Answer::Unknown => self.try_again(sent, now),
        }
    }

    /// Wants to lead no more: what is held is given up, so that nobody has to wait for its end. From now on this one does not lead.
    pub fn resign(&mut self, now: At) {
        self.role = match self.role {
            Role::Leader { .. } if self.is_valid(now) => {
                self.due = now;
                Role::Leaving
            }
            Role::Candidate => Role::Over(Ending::Resigned),
            Role::Leader { .. } => Role::Over(Ending::Lost),
            Role::Leaving | Role::Over(_) => self.role,
        };
    }

    /// A leader whose time is over leads no more, whatever is heard thereafter.
    fn settle(&mut self, now: At) {
        if self.leads_until().is_some_and(|until| now >= until) {
            self.role = Role::Over(Ending::Lost);
        }
    }

    /// Until when somebody else may lead, as far as is known.
    fn taken_until(&self) -> Option<At> {
        let other = self.other()?;
        // Never sooner than our own terms say: what somebody edits by hand shortens no leader's time.
        self.seen.as_ref().map(|seen| seen.since + other.duration.max(self.terms.duration))
    }

    /// After a try that came to nothing.
    fn try_again(&mut self, sent: At, now: At) {
        self.basis = Basis::Stale;
        match self.role {
            Role::Candidate => self.rest(now),
            Role::Leader { .. } => self.due = now.max(sent + self.terms.retry),
            // It was tried: the lease ends by itself.
            Role::Leaving => self.role = Role::Over(Ending::Resigned),
            Role::Over(_) => {}
        }
    }

    /// A candidate looks again after a while, or when the lease may have come to its end.
    fn rest(&mut self, now: At) {
        self.basis = Basis::Stale;
        let pause = now + self.terms.retry.mul_f64(1.0 + SPREAD * self.rng.random::<f64>());
        self.due = self.taken_until().filter(|until| now < *until).map_or(pause, |until| until.min(pause));
    }

    /// What would be written now.
    fn write(&self, wall: i64) -> Write {
        let seen = self.seen.as_ref().filter(|_| self.basis != Basis::Missing).map(|seen| &seen.read);
        let mut record = Record {
            holder: self.name.clone(),
            address: self.address,
            duration: self.terms.duration,
            acquired: wall,
            renewed: wall,
            transitions: seen.map_or(0, |read| read.record.transitions.saturating_add(1)),
        };
        if let Some(held) = seen.map(|read| &read.record).filter(|held| held.holder == self.name) {
            (record.acquired, record.transitions) = (held.acquired, held.transitions);
        }
        if self.role == Role::Leaving {
            record = Record { holder: String::new(), address: None, duration: RELEASED, acquired: wall, ..record };
        }
        Write { over: seen.map(|read| read.version.clone()), record }
    }
}

#[cfg(test)]
mod tests;
