//! Everything that is allowed to block: configuration, signals, name resolution, the demo.

pub mod cli;
pub mod config;
pub mod demo;
