//! The campaign for the lease: one task reads and writes it, as `domain/lease` says, opens the fence around what writes, and tells how this
//! verifier stands.

use std::net::SocketAddr;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cluster::fence::{Fence, Latch};
use crate::cluster::lease::Desk;
use crate::cluster::{ClusterError, chain};
use crate::domain::lease::{Answer, Candidate, Do, Ending, Terms, Write};
use crate::domain::time::At;

/// How long giving up the lease may take. One that is not given up ends by itself.
const FAREWELL: Duration = Duration::from_secs(3);

/// How a verifier stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The lease was not seen yet.
    Looking,
    /// It does not lead.
    Candidate {
        /// Where the one that does answers, as far as is known.
        leader: Option<SocketAddr>,
    },
    /// It leads.
    Leading,
    /// It led, and could not keep the lease: nothing is written any more, and the process has to end.
    Lost,
    /// It wants to lead no more.
    Resigned,
}

/// Who campaigns for what.
#[derive(Clone, Debug)]
pub struct Bid {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub lease: String,
    /// A name that no other process has, and no earlier one had.
    pub identity: String,
    /// Where this verifier answers others.
    pub address: Option<SocketAddr>,
    /// How long things take.
    pub terms: Terms,
    /// Seeds the pauses between looks.
    pub seed: u64,
}

/// Whether this verifier leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership(Seat);

#[derive(Clone, Debug)]
enum Seat {
    /// There is no election.
    Alone,
    Elected {
        fence: Fence,
        standing: watch::Receiver<Standing>,
    },
}

impl Leadership {
    /// Leads always, and asks nobody.
    pub const fn alone() -> Self {
        Self(Seat::Alone)
    }

    /// How it stands now. A campaign that has broken off has lost.
    pub fn standing(&self) -> Standing {
        let Seat::Elected { standing, .. } = &self.0 else { return Standing::Leading };
        let now = *standing.borrow();
        if standing.has_changed().is_err() && now != Standing::Resigned { Standing::Lost } else { now }
    }

    /// Whether something may be written at this moment.
    pub fn is_valid(&self, now: At) -> bool {
        match &self.0 {
            Seat::Alone => true,
            Seat::Elected { fence, .. } => fence.is_open(now),
        }
    }

    /// Waits until it leads.
    pub async fn leads(&self) {
        let Seat::Elected { standing, .. } = &self.0 else { return };
        let leads = standing.clone().wait_for(|now| *now == Standing::Leading).await.is_ok();
        if !leads {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the lead is lost; one that was given up is not.
    pub async fn lost(&self) {
        let Seat::Elected { standing, .. } = &self.0 else { return std::future::pending().await };
        let over = |now: &Standing| matches!(now, Standing::Lost | Standing::Resigned);
        let resigned = standing.clone().wait_for(over).await.is_ok_and(|now| *now == Standing::Resigned);
        if resigned {
            std::future::pending::<()>().await;
        }
    }
}

/// A campaign that goes on.
#[derive(Debug)]
pub struct Campaign {
    resign: CancellationToken,
    task: JoinHandle<()>,
}

impl Campaign {
    /// Begins. The client retries nothing and is not fenced; the latch is the one of the fence.
    pub fn begin(client: Client, bid: Bid, clock: Clock, latch: Latch, fence: Fence) -> (Leadership, Self) {
        let (told, standing) = watch::channel(Standing::Looking);
        let resign = CancellationToken::new();
        let campaigner = Campaigner {
            desk: Desk::new(client, &bid.namespace, &bid.lease),
            candidate: Candidate::new(bid.identity, bid.address, bid.terms, bid.seed),
            clock,
            latch,
            told,
            resign: resign.clone(),
            deaf: false,
        };
        (Leadership(Seat::Elected { fence, standing }), Self { resign, task: tokio::spawn(campaigner.run()) })
    }

    /// Gives up what is held, so that the next one leads within seconds. From the first moment on nothing is written any more.
    pub async fn resign(mut self) {
        self.resign.cancel();
        if tokio::time::timeout(FAREWELL, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the lease could not be given up: it ends by itself");
        }
    }
}

struct Campaigner {
    desk: Desk,
    candidate: Candidate,
    clock: Clock,
    latch: Latch,
    told: watch::Sender<Standing>,
    resign: CancellationToken,
    /// The last call came to nothing, and that was said.
    deaf: bool,
}

impl Campaigner {
    async fn run(mut self) {
        loop {
            let now = self.clock.now();
            if self.resign.is_cancelled() {
                self.candidate.resign(now);
            }
            self.tell();
            match self.candidate.next(now, self.clock.wall_now().timestamp_micros()) {
                Do::Wait(until) => {
                    tokio::select! {
                        () = self.resign.cancelled(), if !self.resign.is_cancelled() => {}
                        () = tokio::time::sleep_until(self.clock.instant(until).into()) => {}
                    }
                }
                Do::Look => self.look(now).await,
                Do::Write(write) => self.write(write, now).await,
                Do::End(ending) => {
                    self.latch.close();
                    self.told.send_replace(if ending == Ending::Lost { Standing::Lost } else { Standing::Resigned });
                    return;
                }
            }
        }
    }

    async fn look(&mut self, sent: At) {
        match self.desk.look(self.candidate.patience(sent)).await {
            Ok(found) => {
                self.hears();
                self.candidate.looked(found, self.clock.now());
            }
            Err(error) => {
                self.complain(&error);
                self.candidate.looked_in_vain(sent, self.clock.now());
            }
        }
    }

    async fn write(&mut self, write: Write, sent: At) {
        let answer = match self.desk.write(&write, self.candidate.patience(sent)).await {
            Ok(answer) => {
                self.hears();
                answer
            }
            Err(error) => {
                self.complain(&error);
                Answer::Unknown
            }
        };
        self.candidate.wrote(write.record, answer, sent, self.clock.now());
    }

    /// Opens or closes the fence first: nobody hears of a lead that does not hold yet.
    fn tell(&self) {
        let standing = if let Some(until) = self.candidate.leads_until() {
            self.latch.open(until);
            Standing::Leading
        } else {
            self.latch.close();
            match (self.resign.is_cancelled(), self.candidate.is_informed()) {
                (true, _) => Standing::Resigned,
                (false, false) => Standing::Looking,
                (false, true) => Standing::Candidate { leader: self.candidate.other().and_then(|other| other.address) },
            }
        };
        self.told.send_if_modified(|told| {
            let news = *told != standing;
            if news {
                self.log(standing);
                *told = standing;
            }
            news
        });
    }

    fn log(&self, standing: Standing) {
        match (standing, self.candidate.other()) {
            (Standing::Leading, _) => tracing::info!("this verifier leads"),
            (Standing::Candidate { .. }, Some(other)) => tracing::info!(holder = other.holder, "another verifier leads"),
            (Standing::Candidate { .. }, None) => tracing::info!("nobody leads"),
            (Standing::Resigned, _) => tracing::info!("this verifier wants to lead no more"),
            (Standing::Looking | Standing::Lost, _) => {}
        }
    }

    fn hears(&mut self) {
        if std::mem::take(&mut self.deaf) {
            tracing::info!("the lease can be read and written again");
        }
    }

    fn complain(&mut self, error: &ClusterError) {
        if !std::mem::replace(&mut self.deaf, true) {
            tracing::warn!(error = %chain(error), "the lease cannot be read or written");
        }
    }
}

#[cfg(test)]
mod tests;
