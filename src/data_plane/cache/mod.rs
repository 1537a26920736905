//! Answers that are there already, and answers that are on their way: the step `lookup` and what it leads to.
//!
//! A request whose answer may be kept never asks the upstream itself. It follows a **flight**: a task of its own asks,
//! and writes what comes into a log that any number of clients read, each at its own pace, on whichever core it is. So
//! the client that came first may leave, a slow one slows nobody, and identical questions cost one call.

mod batch;
pub mod bells;
mod counts;
pub mod fetch;
pub mod finished;
pub mod flight;
pub mod follow;
pub mod hit;
pub mod lookup;
pub mod recall;
mod refusal;
pub mod registry;
pub mod stored;
mod strain;
