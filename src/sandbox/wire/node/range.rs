//! The addresses of one sandbox: all of `127.N.0.0/16`, for an `N` that no other sandbox has.
//!
//! | addresses | whose |
//! |---|---|
//! | `127.N.0.1` | the node |
//! | `127.N.0.0/24`, the rest | other parts of the sandbox: API server, ingress |
//! | `127.N.1.1` to `127.N.95.254` | pods |
//! | `127.N.96.0/20` | Services |

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::sandbox::model::kubelet::addresses::Addresses;

const NUMBERS: RangeInclusive<u8> = 16..=250;
const POD_NETS: RangeInclusive<u8> = 1..=95;

/// The claim to a range; it is given up when this is dropped, or its process ends in any other way.
#[derive(Debug)]
pub struct Range {
    second: u8,
    /// A name in the same network namespace that the addresses belong to; the system lets only one process have it.
    _claim: UnixListener,
}

/// No range could be claimed.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// All numbers are taken.
    #[error("claiming a range of addresses: all of 127.{}.0.0 to 127.{}.0.0 are taken by other sandboxes", NUMBERS.start(), NUMBERS.end())]
    AllTaken,
    /// The system refused.
    #[error("claiming a range of addresses")]
    Refused(#[from] std::io::Error),
}

impl Range {
    /// Claims the first range that nobody has.
    pub fn claim() -> Result<Self, RangeError> {
        for second in NUMBERS {
            let name = SocketAddr::from_abstract_name(format!("verifier-sandbox-127.{second}"))?;
            match UnixListener::bind_addr(&name) {
                Ok(claim) => return Ok(Self { second, _claim: claim }),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RangeError::AllTaken)
    }

    /// `N`
    pub fn number(&self) -> u8 {
        self.second
    }

    /// The node's own address.
    pub fn node(&self) -> Ipv4Addr {
        self.address(0, 1)
    }

    /// `127.N.third.fourth`
    pub fn address(&self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second, third, fourth)
    }

    /// The addresses for pods.
    pub(super) fn pods(&self) -> Addresses {
        Addresses::new(self.second, POD_NETS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sandboxes_never_have_the_same_range_and_a_dropped_one_is_free_again() {
        let [first, second] = [Range::claim().unwrap(), Range::claim().unwrap()];
        assert_ne!(first.number(), second.number());
        assert_eq!(first.node(), Ipv4Addr::new(127, first.number(), 0, 1));
        let number = second.number();
        drop(second);
        // Another test may have been quicker; then it is that one's, and ours is a third.
        let third = Range::claim().unwrap();
        assert!(third.number() >= number.min(first.number()) && third.number() != first.number());
    }
}
