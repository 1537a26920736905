//! Sans-io decisions; time and randomness are arguments.

pub mod snapshot;
