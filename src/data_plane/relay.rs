//! Step 6, second half: the body. Each time the upstream has something: one read into the core's buffer, framing off,
//! filter, framing on, one write. Nothing is kept while nothing comes; nothing more is read while the client is behind.

use std::{io::ErrorKind, pin::pin};

use super::{
    account,
    channel::Channel,
    clock::Micros,
    core::{Core, Scratch},
    downstream::{Downstream, Gone, Interrupt},
    egress::{Body, push},
    exchange::Exchange,
    failure::Failure,
    heading::{self, Begun},
    meter::Raised,
    socket::{Armed, ready},
};
use crate::{
    base::{bounds::WHOLE_BODY_BYTES_MAX, error::Kind, metric::Metric},
    wire::{
        dialect::{Dialect, error},
        http::{BodyDecoder, Framing, response, slots},
        think::{self, Filter, Out, Spec},
    },
};

/// The value of `X-Think-Applied` where the filter could not work.
pub const ENCODED: &str = "none; reason=content-encoding";
pub const OTHER_MEDIA: &str = "none; reason=content-type";
const TOO_LARGE: &str = "none; reason=too-large";

/// How an answer that was begun came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Complete,
    /// The client has a first part and sees that it is only that.
    Cut(Kind),
}

/// What is done with the body.
pub enum Mode {
    Pass,
    /// As `Pass`, where the filter was wanted and could not work, for this reason.
    Unfiltered(&'static str),
    Filter(Box<Filter>),
    Collect(Collected),
}

/// A body without stream, gathered to be edited as a whole.
pub struct Collected {
    spec: Box<Spec>,
    body: Vec<u8>,
    edited: Option<usize>,
}

impl Collected {
    #[must_use]
    pub fn new(spec: Box<Spec>) -> Self {
        Self { spec, body: Vec::new(), edited: None }
    }

    /// Length of the body once it was edited.
    #[must_use]
    pub fn edited_len(&self) -> usize {
        self.edited.unwrap_or(self.body.len())
    }
}

pub struct Relay {
    pub decoder: BodyDecoder,
    pub mode: Mode,
    /// Towards the client.
    pub framing: Framing,
    pub stream: bool,
    /// The upstream connection may carry another request after this one.
    pub reusable: bool,
    pub idle_hint_s: Option<u32>,
    /// The upstream's head, while the client's has to wait for it (`Mode::Collect`).
    pub head: Vec<u8>,
    pub done: bool,
    pub last_write: Micros,
    /// The answer to `HEAD`: its head speaks of a body that does not come.
    pub headless: bool,
    /// The last two bytes of the body that were written: does an event of our own begin a line?
    pub tail: [u8; 2],
}

/// Passes the rest of an answer on.
///
/// # Errors
/// Only while nothing was written: the gateway then answers itself.
pub async fn relay(down: &mut Downstream<'_>, exchange: &mut Exchange, begun: Begun) -> Result<Ending, Failure> {
    let Begun { channel, mut relay } = begun;
    let core = down.core;
    let _active = relay.stream.then(|| Raised::new(&core.meter, Metric::StreamsActive));
    let result = run(down, exchange, &channel, &mut relay).await;
    if relay.done && relay.reusable && result.is_ok() {
        let limits = &exchange.snapshot.limits;
        core.pool.keep(channel, exchange.snapshot.upstream.identity, core.clock.now(), limits, relay.idle_hint_s);
    }
    conclude(down, exchange, &mut relay, result).await
}

/// What the client is told of an end that came too early, and what is counted.
///
/// # Errors
/// As [`relay`].
pub async fn conclude(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    relay: &mut Relay,
    result: Result<(), Failure>,
) -> Result<Ending, Failure> {
    relay.report(down.core, exchange);
    match result {
        Ok(()) => Ok(Ending::Complete),
        Err(failure) if !relay.head.is_empty() => Err(failure),
        Err(failure) => {
            account::warn(down.core, exchange, &failure);
            Box::pin(end_cut(down, exchange, relay, failure.kind)).await;
            Ok(Ending::Cut(failure.kind))
        }
    }
}

async fn run(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    channel: &Channel,
    relay: &mut Relay,
) -> Result<(), Failure> {
    let idle_us = exchange.snapshot.limits.idle_us;
    let heartbeat = exchange.snapshot.think.heartbeat_us;
    let mut readable = pin!(Armed::new(|| channel.socket.readable()));
    // Signs of life of our own must not make the upstream's silence look shorter.
    let mut heard = down.core.clock.now();
    relay.last_write = heard;
    loop {
        if down.is_behind() {
            down.timer.set((down.core.clock.now() + idle_us).min(exchange.total_due));
            down.flush().await.map_err(|interrupt| Failure::interrupted(interrupt, Kind::ClientStalled))?;
            heard = down.core.clock.now();
        }
        if relay.done {
            return Ok(());
        }
        let idle_due = (heard + idle_us).min(exchange.total_due);
        if !channel.has_plaintext() {
            let beat_due = relay.beat_due(heartbeat);
            down.timer.set(idle_due.min(beat_due));
            let mut ready = pin!(ready(readable.as_mut()));
            match down.until(ready.as_mut()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Failure::with(Kind::UpstreamCut, error)),
                Err(Interrupt::Due) if beat_due <= down.core.clock.now() && beat_due < idle_due => {
                    relay.beat(down)?;
                    continue;
                }
                Err(interrupt) => return Err(late(down.core, exchange, interrupt)),
            }
        }
        relay.read(down, exchange, channel)?;
        heard = down.core.clock.now();
    }
}

fn late(core: &Core, exchange: &Exchange, interrupt: Interrupt) -> Failure {
    let total = core.clock.now() >= exchange.total_due;
    Failure::interrupted(interrupt, if total { Kind::TotalTimeout } else { Kind::IdleTimeout })
}

/// An answer that cannot be completed: a stream that our own limits cut gets an error event, so that the client
/// learns why; what the upstream cut is passed on as that, a missing end.
async fn end_cut(down: &mut Downstream<'_>, exchange: &Exchange, relay: &mut Relay, kind: Kind) {
    let ours = matches!(kind, Kind::IdleTimeout | Kind::TotalTimeout);
    if ours && relay.stream && relay.framing == Framing::Chunked && !down.is_behind() {
        let mut event = Vec::new();
        if relay.release(down).is_err() {
            return;
        }
        // It must not become part of an event that the upstream left unfinished.
        match relay.tail {
            [b'\n', b'\n'] => {}
            [_, b'\n'] if exchange.dialect == Dialect::Ollama => {}
            [_, b'\n'] => event.push(b'\n'),
            _ => event.extend_from_slice(b"\n\n"),
        }
        error::event(&mut event, exchange.dialect, &kind.into());
        let written = push(down, relay.framing, &mut Vec::new(), Body::Plain(&event), &[], true);
        if written.is_ok() {
            down.timer.set(down.core.clock.now() + 1_000_000);
            let _ = down.flush().await;
        }
        return;
    }
    if relay.framing == Framing::UntilClose {
        // Closing would look like the end of the answer.
        down.reset_on_close();
    }
}

impl Relay {
    /// One read from the upstream, passed on.
    fn read(&mut self, down: &mut Downstream<'_>, exchange: &mut Exchange, channel: &Channel) -> Result<(), Failure> {
        let core = down.core;
        let mut scratch = core.scratch.borrow_mut();
        let Scratch { read, write, think } = &mut *scratch;
        write.clear();
        match channel.recv(read) {
            Ok(0) => self.end_of_stream(down, exchange, write, think),
            Ok(n) => self.body(down, exchange, write, &mut read[..n], think),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                self.flush_filter(down, write, think)?;
                Err(Failure::with(Kind::UpstreamCut, error))
            }
        }
    }

    /// Writes what the filter still holds, from outside a read.
    fn release(&mut self, down: &mut Downstream<'_>) -> Result<(), Gone> {
        let core = down.core;
        let mut scratch = core.scratch.borrow_mut();
        let Scratch { write, think, .. } = &mut *scratch;
        self.flush_filter(down, write, think)
    }

    /// Keeps the end of what is about to be written.
    fn remember_tail(tail: &mut [u8; 2], bytes: &[u8]) {
        match *bytes {
            [.., a, b] => *tail = [a, b],
            [b] => *tail = [tail[1], b],
            [] => {}
        }
    }

    fn end_of_stream(
        &mut self,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        write: &mut Vec<u8>,
        think: &mut Out,
    ) -> Result<(), Failure> {
        self.reusable = false;
        match self.decoder.finish() {
            Ok(()) => self.piece(down, exchange, write, &[], true, think),
            Err(kind) => {
                self.flush_filter(down, write, think)?;
                Err(Failure::with(kind, "the connection ended first"))
            }
        }
    }

    /// What the filter still holds belongs to the client even if the answer was cut.
    ///
    /// # Errors
    /// The client is gone.
    pub fn flush_filter(
        &mut self,
        down: &mut Downstream<'_>,
        write: &mut Vec<u8>,
        think: &mut Out,
    ) -> Result<(), Gone> {
        if let Mode::Filter(filter) = &mut self.mode {
            think.clear();
            filter.finish(think);
            write.clear();
            think.segs().iter().for_each(|seg| Self::remember_tail(&mut self.tail, think.bytes(*seg, &[])));
            return push(down, self.framing, write, Body::Edited { input: &[], out: think }, &[], false);
        }
        Ok(())
    }

    /// Bytes of the body as they came from the connection; `write` may already hold the head.
    ///
    /// # Errors
    /// The client is gone or the body is broken.
    pub fn body(
        &mut self,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        write: &mut Vec<u8>,
        data: &mut [u8],
        think: &mut Out,
    ) -> Result<(), Failure> {
        if self.decoder.is_done() {
            self.reusable &= data.is_empty();
            return self.piece(down, exchange, write, &[], true, think);
        }
        let decoded = match self.decoder.decode_in_place(data) {
            Ok(decoded) => decoded,
            Err(kind) => {
                self.reusable = false;
                return Err(Failure::with(kind, "its body is not framed as announced"));
            }
        };
        // Bytes after the end answer no question of ours.
        self.reusable &= decoded.consumed == data.len();
        self.piece(down, exchange, write, &data[..decoded.payload], decoded.done, think)
    }

    /// A piece of the body without its framing; `last`: nothing follows.
    ///
    /// # Errors
    /// The client is gone.
    pub fn piece(
        &mut self,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        write: &mut Vec<u8>,
        payload: &[u8],
        last: bool,
        think: &mut Out,
    ) -> Result<(), Failure> {
        let trailers = self.decoder.trailers();
        self.done = last;
        match &mut self.mode {
            Mode::Pass | Mode::Unfiltered(_) => {
                exchange.show(payload.len(), &down.core.clock);
                let framing = if self.headless { Framing::None } else { self.framing };
                Self::remember_tail(&mut self.tail, payload);
                push(down, framing, write, Body::Plain(payload), trailers, last)?;
            }
            Mode::Filter(filter) => {
                think.clear();
                if filter.bypass() && !last {
                    exchange.show(payload.len(), &down.core.clock);
                    Self::remember_tail(&mut self.tail, payload);
                    push(down, self.framing, write, Body::Plain(payload), trailers, last)?;
                    return Ok(());
                }
                filter.feed(payload, think);
                if let [.., last] = think.segs() {
                    Self::remember_tail(&mut self.tail, think.bytes(*last, payload));
                }
                if !think.is_empty() {
                    self.last_write = down.core.clock.now();
                    exchange.show(think.len(), &down.core.clock);
                }
                if !last {
                    push(down, self.framing, write, Body::Edited { input: payload, out: think }, &[], false)?;
                } else {
                    // What the last bytes left and what the filter still held go out together, once a stream.
                    let mut rest = down.core.buffers.take();
                    think.copy_to(payload, &mut rest);
                    filter.finish(think);
                    think.copy_to(&[], &mut rest);
                    push(down, self.framing, write, Body::Plain(&rest), trailers, true)?;
                    down.core.buffers.give(rest);
                }
            }
            Mode::Collect(_) => self.collect(down, exchange, write, payload, last, think)?,
        }
        Ok(())
    }

    fn collect(
        &mut self,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        write: &mut Vec<u8>,
        payload: &[u8],
        last: bool,
        think: &mut Out,
    ) -> Result<(), Failure> {
        let Mode::Collect(collected) = &mut self.mode else { return Ok(()) };
        let mut too_large = false;
        if !last || !collected.body.is_empty() {
            collected.body.extend_from_slice(payload);
            too_large = collected.body.len() > WHOLE_BODY_BYTES_MAX || exchange.charge.draw(payload.len()).is_err();
        }
        if !last && !too_large {
            return Ok(());
        }
        let gathered = std::mem::take(&mut collected.body);
        let body: &[u8] = if gathered.is_empty() { payload } else { &gathered };
        let head = std::mem::take(&mut self.head);
        think.clear();
        if too_large {
            // Passed on as it is from here: said in a header and a metric.
            down.core.meter.one(Metric::ThinkSkipped);
            self.mode = Mode::Unfiltered(TOO_LARGE);
            self.write_late_head(write, exchange, &head, down.core)?;
            return Ok(push(down, self.framing, write, Body::Plain(body), &[], last)?);
        }
        let stats = think::whole(&collected.spec, body, think);
        collected.edited = Some(think.len());
        account::think(down.core, exchange, &stats);
        self.write_late_head(write, exchange, &head, down.core)?;
        exchange.show(think.len(), &down.core.clock);
        Ok(push(down, self.framing, write, Body::Edited { input: body, out: think }, &[], last)?)
    }

    /// Where the body has to be edited first, the head waits for its length: true, and `write` is empty again.
    pub fn hold_head_if_collecting(&mut self, head: &[u8], write: &mut Vec<u8>) -> bool {
        let collecting = matches!(self.mode, Mode::Collect(_));
        if collecting {
            self.head = head.to_vec();
            write.clear();
        }
        collecting
    }

    /// Writes the client's head from the upstream's, which was kept.
    fn write_late_head(
        &mut self,
        write: &mut Vec<u8>,
        exchange: &mut Exchange,
        head: &[u8],
        core: &Core,
    ) -> Result<(), Failure> {
        let mut slots = slots();
        // It was parsed before, so it is whole and valid.
        let parsed = response::parse(head, exchange.method, &mut slots)?;
        let head = parsed.ok_or_else(|| Failure::of(Kind::Internal))?;
        write.clear();
        let (framing, keep_alive) = heading::write_head(write, exchange, &head, &self.mode, core.draining.get());
        self.framing = framing;
        exchange.keep_alive = keep_alive;
        Ok(())
    }

    pub fn beat_due(&self, heartbeat_us: Micros) -> Micros {
        match &self.mode {
            Mode::Filter(filter) if heartbeat_us > 0 && filter.stats().suppressing => {
                self.last_write.saturating_add(heartbeat_us)
            }
            _ => Micros::MAX,
        }
    }

    /// A sign of life while thinking is suppressed.
    pub fn beat(&mut self, down: &mut Downstream<'_>) -> Result<(), Gone> {
        self.last_write = down.core.clock.now();
        let Mode::Filter(filter) = &mut self.mode else { return Ok(()) };
        let mut bytes = Vec::new();
        if filter.heartbeat(&mut bytes) {
            down.core.meter.one(Metric::ThinkHeartbeats);
            let mut write = Vec::new();
            push(down, self.framing, &mut write, Body::Plain(&bytes), &[], false)?;
        }
        Ok(())
    }

    fn report(&self, core: &Core, exchange: &mut Exchange) {
        if let Mode::Filter(filter) = &self.mode {
            account::think(core, exchange, &filter.stats());
        }
    }
}
