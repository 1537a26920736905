//! The request on its way out: head and collected body in one call, the rest as the upstream takes it.

use std::{
    io::{ErrorKind, IoSlice},
    pin::pin,
};

use super::{
    buffers::Buffers, channel::Channel, clock::Micros, core::Core, deadline::either, downstream::Interrupt,
    failure::Failure, guard::Guard,
};
use crate::{
    base::error::Kind,
    wire::http::{
        Framing,
        write::{CHUNK_END, LAST_CHUNK, chunk_head},
    },
};

/// A request as it goes upstream.
///
/// It is held until the answer begins, which takes a model seconds; so it is as large as it must be, and in one piece,
/// which one call sends.
pub struct Outgoing {
    /// The head, then the body as far as it was collected, without framing.
    bytes: Vec<u8>,
    head_len: usize,
    pub framing: Framing,
}

impl Outgoing {
    /// What there is nothing to send of.
    #[must_use]
    pub const fn nothing(framing: Framing) -> Self {
        Self { bytes: Vec::new(), head_len: 0, framing }
    }

    /// A request whose body is still to come; `room`: as much of it as will be appended at once.
    #[must_use]
    pub fn with_head(stock: &Buffers, head: &[u8], framing: Framing, room: usize) -> Self {
        let mut bytes = stock.take_small(head.len() + room);
        bytes.extend_from_slice(head);
        Self { bytes, head_len: head.len(), framing }
    }

    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.head_len..]
    }

    /// More of the body.
    pub fn append(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// Replaces `len` bytes of a body that is there as a whole, and corrects the length that the head announces.
    pub fn splice(&mut self, at: usize, len: usize, with: &[u8]) {
        let at = self.head_len + at;
        self.bytes.splice(at..at + len, with.iter().copied());
        if let Framing::Length(announced) = &mut self.framing {
            const NAME: &[u8] = b"\r\nContent-Length: ";
            *announced = (self.bytes.len() - self.head_len) as u64;
            let head = &self.bytes[..self.head_len];
            if let Some(name) = memchr::memmem::find(head, NAME) {
                let start = name + NAME.len();
                let end = start + memchr::memchr(b'\r', &head[start..]).unwrap_or(0);
                let digits = announced.to_string();
                self.head_len = self.head_len + digits.len() - (end - start);
                self.bytes.splice(start..end, digits.into_bytes());
            }
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Gives its memory back; nothing will be sent again.
    pub fn forget(&mut self, stock: &Buffers) {
        stock.give(std::mem::take(&mut self.bytes));
        self.head_len = 0;
    }
}

/// The limits that sending knows.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two bytes that the upstream takes.
    pub idle_us: u64,
    pub total_due: Micros,
}

/// Why sending stopped before its end: the upstream has already answered, or closed.
pub enum Stopped {
    Answered,
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Stopped::Failed(failure)
    }
}

/// Sends the head and what was collected of the body; `whole`: nothing of the body follows.
///
/// # Errors
/// Why not all of it was taken.
pub async fn send(
    guard: &mut impl Guard,
    outgoing: &Outgoing,
    whole: bool,
    channel: &Channel,
    pace: Pace,
) -> Result<(), Stopped> {
    match send_now(outgoing, whole, channel)? {
        None => Ok(()),
        Some(rest) => Box::pin(push(guard, channel, &rest, pace)).await,
    }
}

/// All in one call. Returns what the socket did not take.
fn send_now(outgoing: &Outgoing, whole: bool, channel: &Channel) -> Result<Option<Vec<u8>>, Failure> {
    let (head, body) = outgoing.bytes.split_at(outgoing.head_len);
    let chunked = outgoing.framing == Framing::Chunked;
    let mut size = Vec::new();
    let mut tail: &[u8] = &[];
    if chunked {
        if !body.is_empty() {
            chunk_head(&mut size, body.len());
            tail = CHUNK_END;
        }
        if whole {
            tail = if body.is_empty() { LAST_CHUNK } else { b"\r\n0\r\n\r\n" };
        }
    }
    let slices = [IoSlice::new(head), IoSlice::new(&size), IoSlice::new(body), IoSlice::new(tail)];
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let sent =
        if chunked { channel.send_vectored(&slices) } else { channel.send_vectored(&[IoSlice::new(&outgoing.bytes)]) };
    let taken = match sent {
        Ok(taken) => taken,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(lost(&error)),
    };
    if taken == total && !channel.wants_write() {
        return Ok(None);
    }
    let all = slices.iter().flat_map(|slice| slice.iter().copied());
    Ok(Some(all.skip(taken).collect()))
}

/// The upstream's connection broke.
#[must_use]
pub fn lost(error: &std::io::Error) -> Failure {
    Failure::with(Kind::UpstreamClosed, error)
}

/// Which limit it was that came.
#[must_use]
pub fn late(core: &Core, total_due: Micros, interrupt: Interrupt, phase: Kind) -> Failure {
    Failure::interrupted(interrupt, if core.clock.now() >= total_due { Kind::TotalTimeout } else { phase })
}

/// Sends all of `bytes`, unless the upstream answers first.
///
/// # Errors
/// Why not all of it was taken.
pub async fn push(guard: &mut impl Guard, channel: &Channel, mut bytes: &[u8], pace: Pace) -> Result<(), Stopped> {
    loop {
        match channel.send_vectored(&[IoSlice::new(bytes)]) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => channel.flush().map_err(|error| lost(&error))?,
            // Whoever answers and closes makes further writes fail; the answer is there all the same.
            Err(_) if channel.has_answer() => return Err(Stopped::Answered),
            Err(error) => return Err(Stopped::Failed(lost(&error))),
        }
        if bytes.is_empty() && !channel.wants_write() {
            return Ok(());
        }
        guard.timer().set((guard.core().clock.now() + pace.idle_us).min(pace.total_due));
        let mut writable = pin!(channel.socket.writable());
        let mut readable = pin!(channel.socket.readable());
        let mut first = pin!(either(writable.as_mut(), readable.as_mut()));
        let ready = guard.until(first.as_mut()).await;
        let ready = ready.map_err(|interrupt| late(guard.core(), pace.total_due, interrupt, Kind::FirstByteTimeout))?;
        match ready {
            Ok(ready) => ready.map_err(|error| lost(&error))?,
            Err(_) if channel.has_answer() => return Err(Stopped::Answered),
            Err(_) => {}
        }
    }
}
