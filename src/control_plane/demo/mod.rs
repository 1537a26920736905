//! `thinkgate demo`: a small built-in model server, the gateway in front of it, one conversation shown before and after.
//!
//! The server is plain blocking code with one thread a connection, so that it stays an independent witness: it shares
//! nothing with the data plane that it demonstrates. Its model is canned and thinks aloud; the same request always gets
//! the same words, which also makes it an upstream for tests.

mod clock;
mod http;
mod model;
mod ollama;
mod openai;
mod pace;
mod screen;
mod server;
mod show;
mod visitor;

pub use pace::Pace;
pub use server::{ServerHandle, start_server};
pub use show::run;

#[cfg(test)]
mod tests;
