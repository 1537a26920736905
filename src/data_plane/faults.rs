//! Bugs on demand, so that tests can see what a bug costs: a panic in a connection, the death of a worker. Only in debug
//! builds, and there only when the environment asks; release builds hold nothing of it.

use super::{core::Core, mailbox::Letter};

/// Set to `1` to be able to ask for faults.
const SWITCH: &str = "TEST_FAULTS";

/// Does what the path of a request asks for, if it asks for a fault.
pub fn provoke(core: &Core, path: &str) {
    if !path.starts_with("/test-fault/") || std::env::var_os(SWITCH).is_none() {
        return;
    }
    match path {
        "/test-fault/panic" => panic!("asked to panic"),
        "/test-fault/worker" => {
            let _ = core.seat().door.send(Letter::Die);
        }
        _ => {}
    }
}

/// Ends the worker.
pub fn die() {
    panic!("a test wants this worker to die");
}
