//! Real clients and a real model server: curl, the official SDKs for Python and Node, llama.cpp, promtool.
//!
//! Not part of `cargo test`, since it needs PyPI, npm and a minute: `cargo test --test clients`. What it installs goes
//! below `target/`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod curl;
mod realup;
mod sdks;
mod tools;
