//! The think filter against its oracle: the corpus, generated streams, and the properties that both must have.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cases;
mod corpus;
mod drive;
mod generate;
mod oracle;
mod properties;
