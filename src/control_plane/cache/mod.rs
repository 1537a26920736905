//! The answer cache: a memory tier that any core asks in a hundred nanoseconds, and a disk tier that survives restarts.
//!
//! foyer does both. What it lacks is here: a time to live (in the value, checked on every hit), a bound on the number of
//! entries (`ledger`), a directory that is known to be ours and used by one process (`directory`).
//!
//! Nothing here can stop the gateway: without a usable directory the memory tier goes on alone, and
//! [`Store::problem`] says why. A hit is right or there is none: keys are compared, checksums checked, lengths doubted.

mod cli;
mod config;
mod counts;
mod directory;
mod entry;
mod ledger;
mod scribe;
mod store;
mod tiers;

pub use cli::{clear, status};
pub use config::Config;
pub use directory::could_open;
pub use store::{Disk, Hit, Status, Store};
