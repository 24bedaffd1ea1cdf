//! Names to addresses, again and again while a run goes on: pods and load balancers move.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::mailbox::{Mailbox, Target};

/// How long an answer is used.
const REFRESH: Duration = Duration::from_secs(5);
/// How soon a failed look-up is repeated.
const RETRY: Duration = Duration::from_secs(1);
/// How long one look-up may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 64;

/// Keeps the target of `lanes` up to date; ends only by being dropped.
pub(crate) async fn follow(host: String, port: u16, lanes: Vec<usize>, mailboxes: Vec<Arc<Mailbox>>) {
    let mut known = Target::Unknown;
    loop {
        let target = look_up(&host, port).await;
        let pause = if matches!(target, Target::At(_)) { REFRESH } else { RETRY };
        if target != known {
            for (mailbox, lane) in mailboxes.iter().flat_map(|mailbox| lanes.iter().map(move |lane| (mailbox, *lane))) {
                mailbox.set_target(lane, target.clone());
            }
            known = target;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Looks a name up once.
pub(crate) async fn look_up(host: &str, port: u16) -> Target {
    match tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => choose(addresses).map_or_else(|| failed(host, "it has no address"), Target::At),
        Ok(Err(error)) => failed(host, &error.to_string()),
        Err(_) => failed(host, "no answer from the resolver"),
    }
}

fn failed(host: &str, why: &str) -> Target {
    Target::Unresolved(format!("{host}: {why}").into())
}

/// The addresses to use in turn: those of one family, so that a machine without the other does not fail every second request.
/// IPv4 if there is any; `connect_to` chooses otherwise.
fn choose(addresses: impl Iterator<Item = SocketAddr>) -> Option<Arc<[SocketAddr]>> {
    let (mut four, six): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv4);
    if four.is_empty() {
        four = six;
    }
    // Sorted, so that a resolver that rotates its answers does not look like one that changes them.
    four.sort_unstable();
    four.dedup();
    four.truncate(ADDRESSES_MAX);
    (!four.is_empty()).then(|| four.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_family_is_used_and_the_order_of_the_answer_does_not_matter() {
        let chosen = |list: &[&str]| {
            choose(list.iter().map(|a| a.parse().unwrap())).map(|a| a.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            chosen(&["[::1]:8", "10.0.0.2:8", "10.0.0.1:8", "10.0.0.2:8"]),
            Some(vec!["10.0.0.1:8".into(), "10.0.0.2:8".into()])
        );
        assert_eq!(chosen(&["[::1]:8"]), Some(vec!["[::1]:8".into()]));
        assert_eq!(chosen(&[]), None);
    }
}
