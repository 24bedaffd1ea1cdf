//! Which address the next pod gets.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use chrono::TimeDelta;

use crate::sandbox::model::object::Now;

/// How long an address rests before it is given away again, so that no old connection or routing entry meets a new pod.
const REST: TimeDelta = TimeDelta::minutes(5);

/// Addresses of one /24 that are used: all but its first and its last.
const PER_NET: u32 = 254;

/// The addresses `127.N.first.1` to `127.N.last.254`, given out in turn.
#[derive(Clone, Debug)]
pub struct Addresses {
    second: u8,
    first: u8,
    /// How many were given out for the first time.
    fresh: u32,
    size: u32,
    resting: VecDeque<(Now, Ipv4Addr)>,
}

impl Addresses {
    /// The addresses of `127.second.x.y` with `x` in `nets`.
    pub fn new(second: u8, nets: std::ops::RangeInclusive<u8>) -> Self {
        let size = u32::from(*nets.end()).saturating_sub(u32::from(*nets.start())) + 1;
        Self { second, first: *nets.start(), fresh: 0, size: size * PER_NET, resting: VecDeque::new() }
    }

    /// An address that nobody had, or, when all were had, the one that has rested longest, if that is long enough.
    pub fn take(&mut self, now: Now) -> Option<Ipv4Addr> {
        if self.fresh < self.size {
            let [third, fourth] = [self.fresh / PER_NET, self.fresh % PER_NET + 1].map(|n| u8::try_from(n).unwrap_or(u8::MAX));
            self.fresh += 1;
            return Some(Ipv4Addr::new(127, self.second, self.first.saturating_add(third), fourth));
        }
        let (since, _) = self.resting.front()?;
        if now - since < REST { None } else { self.resting.pop_front().map(|(_, ip)| ip) }
    }

    /// Takes an address back.
    pub fn release(&mut self, ip: Ipv4Addr, now: Now) {
        self.resting.push_back((now, ip));
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn addresses_are_given_out_in_turn_and_come_back_only_after_a_rest() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut addresses = Addresses::new(16, 1..=2);
        let all: Vec<_> = std::iter::from_fn(|| addresses.take(at(0))).collect();
        let ip = |third, fourth| Ipv4Addr::new(127, 16, third, fourth);
        assert_eq!((all.len(), all[0], all[253], all[254], all[507]), (508, ip(1, 1), ip(1, 254), ip(2, 1), ip(2, 254)));
        addresses.release(all[7], at(10));
        addresses.release(all[3], at(20));
        assert_eq!([addresses.take(at(309)), addresses.take(at(310)), addresses.take(at(310))], [None, Some(all[7]), None]);
        assert_eq!(addresses.take(at(320)), Some(all[3]));
    }
}
