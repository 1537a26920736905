//! This crate's own reading of HTTP/1.1, server-sent events and lines of JSON: bytes in, bytes out, no sockets.
//! It shares no code with any gateway, so that it is a second opinion.

pub mod body;
pub mod events;
pub mod head;
pub mod json;
