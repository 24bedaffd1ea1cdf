//! `verifier watch`: a Deployment as a tree, live, with what each pod gets of the traffic. It judges nothing and ends with a signal.

use super::args::{GateArgs, WatchArgs};
use super::conduct::{self, Stop, unreachable};
use super::gate;
use super::output::complain;
use super::sandbox;
use crate::domain::rollout::guard::Guard;
use crate::domain::scenario::Observe;
use crate::exit::Exit;

pub(super) fn main(args: WatchArgs) -> Exit {
    let WatchArgs { whom, way, rate, duration, report } = args;
    let gate = GateArgs {
        whom,
        way,
        wait: true,
        timeout: duration,
        baseline: std::time::Duration::ZERO,
        soak: std::time::Duration::ZERO,
        then: Vec::new(),
        rate,
        guard: Guard::None,
        report,
    };
    let watching = gate::go(&gate, Observe { wait: true, endless: true, ruling: None }, conduct::View::Tree);
    let ended = sandbox::block_on(watching).unwrap_or_else(|error| Err(unreachable(error)));
    ended.unwrap_or_else(|Stop(message, exit)| complain(&message, exit))
}
