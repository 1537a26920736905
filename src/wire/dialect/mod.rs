//! What the four dialects call things: endpoints and their paths, errors, the gateway's own small answers.

pub mod endpoint;
pub mod error;
pub mod local;
pub mod route;

pub use endpoint::{Dialect, Endpoint};
pub use route::{Route, UpstreamPath, dialect_of, route};

#[cfg(test)]
mod tests;
