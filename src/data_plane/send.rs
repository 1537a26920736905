//! The request on its way out: head and collected body in one call, the rest as the upstream takes it.

use std::{
    io::{ErrorKind, IoSlice},
    pin::pin,
};

use super::{
    channel::Channel, clock::Micros, core::Core, deadline::either, downstream::Interrupt, failure::Failure,
    guard::Guard,
};
use crate::{
    base::error::Kind,
    wire::http::{
        Framing,
        write::{CHUNK_END, LAST_CHUNK, chunk_head},
    },
};

/// A request as it goes upstream.
pub struct Outgoing {
    pub head: Vec<u8>,
    /// The body, as far as it was collected, without framing.
    pub body: Vec<u8>,
    pub framing: Framing,
}

impl Outgoing {
    /// Gives its buffers back; nothing will be sent again.
    pub fn forget(&mut self, core: &Core) {
        core.buffers.give(std::mem::take(&mut self.head));
        core.buffers.give(std::mem::take(&mut self.body));
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
    let Outgoing { head, body, framing } = outgoing;
    let chunked = *framing == Framing::Chunked;
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
    let taken = match channel.send_vectored(&slices) {
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
