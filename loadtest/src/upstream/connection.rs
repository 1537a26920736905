//! One connection to the mock server: read a request, write its answer at its pace, again.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::routes::{Plan, Routes};
use super::stats::Stats;
use crate::script::Fault;
use crate::sys::{Interest, Poller};
use crate::wire::body::Decoder;
use crate::wire::head::{Framing, parse_request};

/// A request longer than this is closed upon: the longest body of a scenario, and room for its head and its chunks.
const REQUEST_BYTES_MAX: usize = crate::scenario::BODY_BYTES_MAX + (1 << 20);

/// What the loop does with the connection next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write as far as the turn allows.
    Write,
    /// Look for a request in what was read.
    Begin,
    /// Its turn is over, it has more.
    Again,
    /// Nothing until then.
    At(Instant),
    /// Nothing until the socket says so.
    Wait,
    /// The end.
    Close,
}

struct Reply {
    plan: Rc<Plan>,
    /// The next write.
    write: usize,
    /// Bytes sent.
    sent: usize,
    /// When the next write is due; paced answers count from here, so lateness does not add up.
    due: Instant,
    keep_alive: bool,
}

pub(super) struct Connection {
    stream: TcpStream,
    pub(super) generation: u32,
    input: Vec<u8>,
    bytes: Vec<u8>,
    reply: Option<Reply>,
    blocked: bool,
    watched: Interest,
    aborted: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, generation: u32) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            generation,
            input: Vec::new(),
            bytes: Vec::new(),
            reply: None,
            blocked: false,
            watched: Interest::Read,
            aborted: false,
        })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Reads once; an end of file, also in the middle of an answer, is an error.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        match self.stream.read(scratch) {
            Ok(0) => {
                self.aborted = self.is_answering();
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(count) if self.input.len() + count > REQUEST_BYTES_MAX => Err(io::ErrorKind::OutOfMemory.into()),
            Ok(count) => {
                self.input.extend_from_slice(&scratch[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                self.aborted = self.is_answering();
                Err(error)
            }
        }
    }

    /// Starts the answer if a whole request is there and no answer is under way.
    pub(super) fn begin(&mut self, routes: &mut Routes) -> Next {
        if self.reply.is_some() || self.input.is_empty() {
            return Next::Wait;
        }
        let (head, head_length) = match parse_request(&self.input) {
            Ok(Some(found)) => found,
            Ok(None) => return Next::Wait,
            Err(_) => return Next::Close,
        };
        let rest = &self.input[head_length..];
        let ((plan, nonce), body_length) = match head.framing {
            Framing::Length(length) => match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
                Some(body) => (routes.answer(&head, body), body.len()),
                None => return Next::Wait,
            },
            _ => match unchunk(rest) {
                Ok(Some((body, used))) => (routes.answer(&head, &body), used),
                Ok(None) => return Next::Wait,
                Err(()) => return Next::Close,
            },
        };
        self.input.drain(..head_length + body_length);
        plan.answer.fill(nonce, &mut self.bytes);
        let now = Instant::now();
        let fault = plan.script.fault;
        self.reply = Some(Reply { plan, write: 0, sent: 0, due: now, keep_alive: head.keep_alive });
        match fault {
            Some(Fault::Reset) => {
                let socket = socket2::SockRef::from(&self.stream);
                let _ = socket.set_linger(Some(Duration::ZERO));
                Next::Close
            }
            Some(Fault::Hang) => Next::Wait,
            Some(Fault::SlowHead { ms }) => {
                let due = now + Duration::from_millis(u64::from(ms));
                if let Some(reply) = &mut self.reply {
                    reply.due = due;
                }
                Next::At(due)
            }
            _ => Next::Write,
        }
    }

    /// The socket has room again, or its turn came; a paced answer that is not due stays where it is.
    pub(super) fn pump_unblocked(&mut self) -> Next {
        if self.reply.is_none() {
            return Next::Begin;
        }
        let paced = !self.blocked && self.reply.as_ref().is_some_and(|reply| reply.due > Instant::now());
        self.blocked = false;
        if paced { Next::Wait } else { Next::Write }
    }

    /// Its time has come.
    pub(super) fn pump_on_time(&mut self) -> Next {
        if self.reply.is_some() && !self.blocked { Next::Write } else { Next::Wait }
    }

    /// Up to `turn` writes.
    pub(super) fn write(&mut self, turn: u32, stats: &Stats) -> Next {
        let Some(reply) = &mut self.reply else { return Next::Wait };
        let (answer, script) = (&reply.plan.answer, &reply.plan.script);
        for _ in 0..turn {
            let Some(&end) = answer.writes.get(reply.write) else { break };
            match self.stream.write(&self.bytes[reply.sent..end]) {
                Ok(count) => reply.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Next::Wait;
                }
                Err(_) => {
                    self.aborted = reply.plan.chat;
                    return Next::Close;
                }
            }
            if reply.sent < end {
                continue;
            }
            let before = if reply.write == 0 { 0 } else { answer.events[reply.write - 1] };
            Stats::add(&stats.events, u64::from(answer.events[reply.write] - before));
            reply.write += 1;
            let gap = if reply.write == 1 && !script.hold.is_zero() { script.hold } else { script.pace };
            if !gap.is_zero() && reply.write < answer.writes.len() {
                reply.due += gap;
                if reply.due > Instant::now() {
                    return Next::At(reply.due);
                }
            }
        }
        if reply.write < answer.writes.len() {
            return Next::Again;
        }
        let closes = answer.closes || !reply.keep_alive;
        Stats::add(&stats.completed, u64::from(reply.plan.chat));
        self.reply = None;
        if closes { Next::Close } else { Next::Begin }
    }

    /// Tells the poller what it must watch now.
    pub(super) fn watch(&mut self, poller: &Poller, token: u64) -> io::Result<()> {
        let wanted = if self.blocked { Interest::ReadWrite } else { Interest::Read };
        if wanted != self.watched {
            poller.modify(self.fd(), token, wanted)?;
            self.watched = wanted;
        }
        Ok(())
    }

    /// The answer to a chat request is under way.
    fn is_answering(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.plan.chat)
    }

    /// Counts an answer that the other side did not wait for; scripted resets count as sent.
    pub(super) fn count_end(&self, stats: &Stats) {
        if self.aborted {
            Stats::add(&stats.aborted, 1);
        } else if self.is_answering() {
            Stats::add(&stats.completed, 1);
        }
    }
}

/// A chunked body and its length on the wire, if it is complete.
fn unchunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut body, mut used) = (Vec::new(), 0);
    while used < bytes.len() && !decoder.is_done() {
        let step = decoder.step(&bytes[used..]).map_err(|_| ())?;
        body.extend_from_slice(step.data);
        used += step.used;
    }
    Ok(decoder.is_done().then_some((body, used)))
}
