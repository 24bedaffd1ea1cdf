//! `verifier init`: a scenario to begin with, from a Deployment that is there.

use super::args::TargetArgs;
use super::conduct::{Stop, unreachable};
use super::output::{complain, print};
use super::{lint, sandbox};
use crate::domain::scenario::draft;
use crate::exit::Exit;

pub(super) fn main(args: &TargetArgs) -> Exit {
    let drawn = || {
        let live = sandbox::block_on(lint::live(&args.cluster, args.namespace.as_deref(), &args.target));
        let (namespace, objects) = live.map_err(unreachable)??;
        draft(&objects, &namespace, &args.target).ok_or_else(|| unreachable(format!("the API gave no deployment {}", args.target)))
    };
    match drawn() {
        Ok(text) => print(&text),
        Err(Stop(message, exit)) => complain(&message, exit),
    }
}
