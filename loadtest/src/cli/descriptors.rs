//! Whether a run fits into the descriptors that a process may have.

use super::{Failure, usage};
use crate::run::Plan;
use crate::subject::Target;

/// Descriptors of ours that are no connections.
const OWN: u64 = 64;
/// Descriptors that a proxy has beside its connections: 200 are set aside in the peers' configurations.
const PROXY: u64 = 264;

/// Refuses what cannot fit into `files` descriptors, the limit of this process and of all that it starts.
pub(super) fn check(plan: &Plan, files: u64) -> Result<(), Failure> {
    let connections = plan.scenario.connections as u64;
    // The mock server in this process has a descriptor for each of the proxy's.
    let ours = connections * if plan.mock.is_some() { 2 } else { 1 } + OWN;
    let is_started = |target: &Target| matches!(target, Target::Spawn { .. } | Target::Nginx | Target::Haproxy);
    let theirs = if plan.targets.iter().any(is_started) { connections * 2 + PROXY } else { 0 };
    let (needed, who) = if theirs > ours { (theirs, "by the proxy") } else { (ours, "here") };
    if needed > files {
        return Err(usage(format!("{needed} descriptors are needed {who}, {files} allowed: ulimit -n {needed}")));
    }
    Ok(())
}
