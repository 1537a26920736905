//! Framing on: a head (or none), a piece of body, and what must stand around it, in one write.

use std::io::IoSlice;

use super::downstream::{Downstream, Gone};
use crate::wire::{
    http::{
        Framing,
        write::{CHUNK_END, LAST_CHUNK, chunk_head},
    },
    think::Out,
};

/// What is written of a body.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    Plain(&'a [u8]),
    /// What the filter left of an input.
    Edited {
        input: &'a [u8],
        out: &'a Out,
    },
}

impl Body<'_> {
    fn len(&self) -> usize {
        match self {
            Body::Plain(bytes) => bytes.len(),
            Body::Edited { out, .. } => out.len(),
        }
    }
}

/// What is shorter is copied into one piece: `send` of one costs less than `sendmsg` of several.
const COPY_BYTES_MAX: usize = 4 * 1024;

/// Slices without a detour over memory of their own; the rest of a read that was edited in many places is copied.
const SLICES: usize = 48;

/// Writes `write` (a head or nothing), then `body` framed; `last` ends it, with `trailers` where it can have any.
/// With [`Framing::None`] the body stays unwritten.
///
/// # Errors
/// The client is gone.
pub fn push(
    down: &mut Downstream<'_>,
    framing: Framing,
    write: &mut Vec<u8>,
    body: Body<'_>,
    trailers: &[u8],
    last: bool,
) -> Result<(), Gone> {
    let len = if framing == Framing::None { 0 } else { body.len() };
    let chunk = framing == Framing::Chunked && len > 0;
    if chunk {
        chunk_head(write, len);
    }
    let start = write.len();
    let mut end: &[u8] = match (chunk, last && framing == Framing::Chunked) {
        (true, true) => b"\r\n0\r\n\r\n",
        (true, false) => CHUNK_END,
        (false, true) => LAST_CHUNK,
        (false, false) => b"",
    };
    if last && framing == Framing::Chunked && !trailers.is_empty() {
        write.extend_from_slice(if chunk { b"\r\n0\r\n" } else { b"0\r\n" });
        write.extend_from_slice(trailers);
        write.extend_from_slice(b"\r\n");
        end = b"";
    }
    if len <= COPY_BYTES_MAX && write.len() == start {
        match body {
            _ if len == 0 => {}
            Body::Plain(bytes) => write.extend_from_slice(bytes),
            Body::Edited { input, out } => out.copy_to(input, write),
        }
        write.extend_from_slice(end);
        return down.push(&mut [IoSlice::new(write)]);
    }
    let (before, after) = write.split_at(start);
    let end = if after.is_empty() { end } else { after };
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut used = 0;
    let mut add = |bytes| {
        if used < SLICES {
            slices[used] = IoSlice::new(bytes);
        }
        used += 1;
    };
    if !before.is_empty() {
        add(before);
    }
    match body {
        _ if len == 0 => {}
        Body::Plain(bytes) => add(bytes),
        Body::Edited { input, out } => out.segs().iter().for_each(|seg| add(out.bytes(*seg, input))),
    }
    if !end.is_empty() {
        add(end);
    }
    if used <= SLICES {
        return down.push(&mut slices[..used]);
    }
    let mut together = Vec::with_capacity(before.len() + len + end.len());
    together.extend_from_slice(before);
    if let Body::Edited { input, out } = body {
        out.copy_to(input, &mut together);
    }
    together.extend_from_slice(end);
    down.push(&mut [IoSlice::new(&together)])
}
