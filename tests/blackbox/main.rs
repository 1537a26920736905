//! The whole gateway over loopback, black box: a module per subject. Every test runs on both io drivers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod access_log;
mod balance;
mod cache;
mod cancel;
mod captures;
mod cuts;
mod demo;
mod errors;
mod faults;
mod forward;
mod grace;
mod headers;
mod limits;
mod ours;
mod pool;
mod routes;
mod signals;
mod stream;
mod strict_answers;
mod strict_requests;
mod think;
mod think_corpus;
mod tls;
