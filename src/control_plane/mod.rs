//! Everything that is allowed to block: configuration, signals, name resolution, the demo.

pub mod boot;
pub mod cache;
pub mod cli;
pub mod config;
pub mod demo;
pub mod host;
pub mod introduction;
pub mod keeper;
pub mod listeners;
pub mod log;
pub mod publish;
pub mod resolve;
pub mod signals;
pub mod trust;
