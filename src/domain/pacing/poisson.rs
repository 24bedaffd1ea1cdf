//! Arrivals that know nothing of each other: the distances between slots are exponential draws from a seed, the same in each run.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A draw from the exponential distribution with mean 1.
pub(super) fn exponential(rng: &mut StdRng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

/// Where the slots of a Poisson process of rate 1 lie. Any slot can be asked for; asking in ascending order costs one draw each.
#[derive(Debug)]
pub(super) struct Poisson {
    seed: u64,
    rng: StdRng,
    slot: u64,
    /// Of the slot before.
    before: f64,
    position: f64,
}

impl PartialEq for Poisson {
    /// Equal seeds lay equal slots, wherever each has been asked for last.
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed
    }
}

impl Poisson {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let position = exponential(&mut rng);
        Self { seed, rng, slot: 0, before: 0.0, position }
    }

    /// The position of slot `i`.
    pub(super) fn position(&mut self, i: u64) -> f64 {
        if i < self.slot {
            *self = Self::new(self.seed);
        }
        while self.slot < i {
            self.before = self.position;
            self.position += exponential(&mut self.rng);
            self.slot += 1;
        }
        self.position
    }

    /// How many of the first slots are `due`, which holds up to some slot and for none after it. Cheap when asked for more and more.
    pub(super) fn count(&mut self, due: impl Fn(f64) -> bool) -> u64 {
        if self.slot > 0 && !due(self.before) {
            *self = Self::new(self.seed);
        }
        while due(self.position) {
            self.position(self.slot + 1);
        }
        self.slot
    }
}
