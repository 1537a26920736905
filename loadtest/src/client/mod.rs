//! The load generator: one thread, one epoll loop, many connections, every byte checked.

pub mod check;
pub mod connection;
mod drain;
pub mod engine;
pub mod expected;
pub mod fault;
pub mod lateness;
pub mod load;
mod replies;
pub mod reply;
pub mod request;
pub mod schedule;
pub mod tally;
