//! Sans-io decisions; time and randomness are arguments.

pub mod fingerprint;
pub mod snapshot;
pub mod think_rules;
