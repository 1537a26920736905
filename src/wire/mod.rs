//! Sans-io: bytes in, bytes out. No clock, socket, thread or async; every cut of the input gives the same events.

pub mod answer;
pub mod dialect;
pub mod frame;
pub mod http;
pub mod json;
pub mod ndjson;
pub mod sse;
pub mod think;
