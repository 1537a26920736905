//! Vocabulary that every other room may use. Nothing here reads a clock, opens a socket or allocates in bulk.

pub mod bounds;
pub mod error;
pub mod metric;
pub mod secret;
