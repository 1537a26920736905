//! One core of the gateway: every file is a step of the path or a primitive of the core. Nothing here can be reached
//! from another thread, blocks, resolves a name or touches a file.

// Primitives.
pub mod budget;
pub mod buffers;
pub mod caught;
pub mod channel;
pub mod clock;
pub mod core;
pub mod deadline;
pub mod driver;
pub mod failure;
pub mod input;
pub mod journal;
pub mod mailbox;
pub mod meter;
pub mod pool;
pub mod socket;

// The way of a connection.
pub mod connection;
pub mod downstream;
pub mod listener;
pub mod worker;

// The path of a request.
pub mod request;

// Resources.
pub mod cache;

pub mod account;
pub mod admit;
pub mod collect;
pub mod connect;
pub mod egress;
pub mod exchange;
#[cfg(debug_assertions)]
pub mod faults;
pub mod forward;
pub mod guard;
pub mod heading;
pub mod local;
pub mod mode;
pub mod plan;
pub mod relay;
pub mod reply;
pub mod scrape;
pub mod send;
