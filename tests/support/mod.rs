//! What the black-box tests stand on: a gateway process, a scripted upstream, a raw client. Only std, so that nothing the
//! gateway is made of checks itself; every parser here is written a second time, on purpose, and is strict.

// Each test crate uses its own part of this.
#![allow(dead_code, unused_imports)]

mod client;
pub mod deltas;
mod gateway;
mod message;
mod tls;
mod upstream;

use std::time::{Duration, Instant};

pub use client::Client;
pub use gateway::{Builder, Gateway, Io, post};
pub use message::{Framing, Inbox, Reply, Request, find};
pub use tls::{Authority, TlsUpstream};
pub use upstream::{After, Conn, Deaf, Upstream};

/// Waiting longer than this for anything is a failure. Generous: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `is` says yes.
///
/// # Panics
/// After [`PATIENCE`], with `what` in the message.
#[track_caller]
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Turns `fn name(io: Io)` into two tests, `name::uring` and `name::epoll`.
#[macro_export]
macro_rules! both_drivers {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            #[test]
            fn uring() {
                super::$name($crate::support::Io::Uring);
            }
            #[test]
            fn epoll() {
                super::$name($crate::support::Io::Epoll);
            }
        }
    )* };
}

/// A JSON answer with `Content-Length`, ready to be sent.
pub fn json_reply(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The head of a chunked answer.
pub fn stream_head(content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes()
}

/// One chunk of a body.
pub fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// One OpenAI chat event with `text` as its content.
pub fn chat_event(text: &str) -> String {
    let delta = serde_json::json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    format!("data: {delta}\n\n")
}

/// Bytes that are never the same for two seeds and compress into no pattern (xorshift).
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}
