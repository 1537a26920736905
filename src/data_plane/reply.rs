//! An answer on its way to the client: framing off, filter, framing on, one write. Whoever has bytes of it calls `body`
//! with what came from a connection, or `piece` with what has no framing any more.

use std::io::ErrorKind;

use super::{
    account,
    channel::Channel,
    clock::Micros,
    core::{Core, Output, Scratch},
    downstream::{Downstream, Gone},
    egress::{Body, push},
    exchange::Exchange,
    failure::Failure,
    mode::{Mode, TOO_LARGE, write_head},
};
use crate::{
    base::{bounds::WHOLE_BODY_BYTES_MAX, error::Kind, metric::Metric},
    wire::{
        http::{BodyDecoder, Framing, Method, ResponseHead, response, slots},
        think,
    },
};

pub struct Reply {
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

/// The head of an answer, as text, and whether its body is still as long as the head says.
pub struct Opening<'a> {
    pub head: &'a [u8],
    /// Something is taken out of the body before it comes here.
    pub resized: bool,
}

impl Reply {
    /// Decides what is done with the body (which is there already, or not: `here`) and writes the head for it.
    pub fn begin(
        core: &Core,
        exchange: &mut Exchange,
        head: &ResponseHead<'_>,
        here: Option<&[u8]>,
        write: &mut Vec<u8>,
    ) -> Self {
        exchange.status = head.status;
        account::debug_answer(core, exchange, head);
        let mode = Mode::of(core, exchange, head, here);
        let stream = head.media.is_stream();
        let (framing, keep_alive) = write_head(write, exchange, head, &mode, core.draining.get());
        exchange.keep_alive = keep_alive;
        Self {
            decoder: BodyDecoder::response(head.framing),
            mode,
            framing,
            stream,
            reusable: head.keep_alive && exchange.decoder.is_done(),
            idle_hint_s: head.keep_alive_timeout,
            head: Vec::new(),
            done: false,
            last_write: core.clock.now(),
            headless: exchange.method == Method::Head,
            tail: [b'\n'; 2],
        }
    }

    /// Begins an answer of which the gateway has the head, with what there is of its body.
    ///
    /// # Errors
    /// The client is gone.
    pub fn open(
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        opening: &Opening<'_>,
        payload: &[u8],
        last: bool,
    ) -> Result<Self, Failure> {
        let mut slots = slots();
        let head = opening.head;
        let parsed = response::parse(head, Method::Post, &mut slots)?;
        let mut parsed = parsed.ok_or_else(|| Failure::of(Kind::Internal))?;
        if opening.resized && matches!(parsed.framing, Framing::Length(_)) {
            parsed.framing = Framing::Chunked;
        }
        let core = down.core;
        let mut scratch = core.scratch.borrow_mut();
        let out = &mut scratch.out;
        out.write.clear();
        let mut reply = Self::begin(core, exchange, &parsed, None, &mut out.write);
        reply.hold_head_if_collecting(head, &mut out.write);
        reply.piece(down, exchange, out, payload, last)?;
        Ok(reply)
    }

    /// One read from the upstream, passed on.
    ///
    /// # Errors
    /// The client is gone, or the upstream broke or broke its word.
    pub fn read(
        &mut self,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        channel: &Channel,
    ) -> Result<(), Failure> {
        let core = down.core;
        let mut scratch = core.scratch.borrow_mut();
        let Scratch { read, out } = &mut *scratch;
        out.write.clear();
        match channel.recv(read) {
            Ok(0) => self.end_of_stream(down, exchange, out),
            Ok(n) => self.body(down, exchange, out, &mut read[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                self.flush_filter(down, out)?;
                Err(Failure::with(Kind::UpstreamCut, error))
            }
        }
    }

    /// Writes what the filter still holds, from outside a read.
    ///
    /// # Errors
    /// The client is gone.
    pub fn release(&mut self, down: &mut Downstream<'_>) -> Result<(), Gone> {
        let core = down.core;
        self.flush_filter(down, &mut core.scratch.borrow_mut().out)
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
        out: &mut Output,
    ) -> Result<(), Failure> {
        self.reusable = false;
        match self.decoder.finish() {
            Ok(()) => self.piece(down, exchange, out, &[], true),
            Err(kind) => {
                self.flush_filter(down, out)?;
                Err(Failure::with(kind, "the connection ended first"))
            }
        }
    }

    /// What the filter still holds belongs to the client even if the answer was cut.
    ///
    /// # Errors
    /// The client is gone.
    pub fn flush_filter(&mut self, down: &mut Downstream<'_>, out: &mut Output) -> Result<(), Gone> {
        let Output { write, think } = out;
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
        out: &mut Output,
        data: &mut [u8],
    ) -> Result<(), Failure> {
        if self.decoder.is_done() {
            self.reusable &= data.is_empty();
            return self.piece(down, exchange, out, &[], true);
        }
        let decoded = match self.decoder.decode_in_place(data) {
            Ok(decoded) => decoded,
            Err(refusal) => {
                self.reusable = false;
                return Err(refusal.into());
            }
        };
        // Bytes after the end answer no question of ours.
        self.reusable &= decoded.consumed == data.len();
        self.piece(down, exchange, out, &data[..decoded.payload], decoded.done)
    }

    /// A piece of the body without its framing; `last`: nothing follows.
    ///
    /// # Errors
    /// The client is gone.
    pub fn piece(
        &mut self,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        out: &mut Output,
        payload: &[u8],
        last: bool,
    ) -> Result<(), Failure> {
        let Output { write, think } = out;
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
            Mode::Collect(_) => self.collect(down, exchange, out, payload, last)?,
        }
        Ok(())
    }

    fn collect(
        &mut self,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        out: &mut Output,
        payload: &[u8],
        last: bool,
    ) -> Result<(), Failure> {
        let Output { write, think } = out;
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
        let (framing, keep_alive) = write_head(write, exchange, &head, &self.mode, core.draining.get());
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

    /// Counts what the filter did.
    pub fn report(&self, core: &Core, exchange: &mut Exchange) {
        if let Mode::Filter(filter) = &self.mode {
            account::think(core, exchange, &filter.stats());
        }
    }
}
