//! The loop of the load generator.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::connection::{Connection, State};
use super::fault::Fault;
use super::load::{Load, Mode};
use super::request::{Outcome, nonce};
use super::schedule::{Schedule, Spacing};
use super::tally::Tally;
use crate::sys::{Interest, Poller, Ready};

/// Connections being made at the same time: under any listener's queue.
const CONNECTING_MAX: usize = 128;
/// Arrivals of an open loop that may wait for a connection.
const BACKLOG_MAX: usize = 100_000;
/// How long a connection rests after a failure, so that a dead server is not asked in a busy loop.
pub(super) const REST_NS: u64 = 10_000_000;
/// A server's idle timeout may close a connection that has been idle so long just as the next request is sent.
const STALE_NS: u64 = 50_000_000;
/// How often requests are looked through for those that take too long.
const SWEEP_NS: u64 = 100_000_000;

/// The generator.
pub struct Engine {
    pub(super) load: Load,
    poller: Poller,
    pub(super) connections: Vec<Connection>,
    /// Connections without a request.
    pub(super) idle: Vec<usize>,
    /// Requests that are due: their intended start.
    pub(super) backlog: VecDeque<u64>,
    schedule: Option<Schedule>,
    /// First requests of a closed loop that are still to come.
    beginnings: usize,
    ramp: Schedule,
    /// Connections that rest after a failure, and until when.
    pub(super) resting: VecDeque<(u64, usize)>,
    pub(super) slow_timers: BinaryHeap<Reverse<(u64, usize)>>,
    origin: Instant,
    issued: u64,
    connecting: usize,
    pub(super) held: usize,
    next_sweep: u64,
    random: u64,
    weights: u32,
    pub(super) scratch: Vec<u8>,
    pub(super) tally: Tally,
    /// The measurement is over: nothing new begins.
    pub(super) draining: bool,
    /// The first nonce. Another one in every engine: a proxy's cache must not know this run's requests from an earlier one.
    first_nonce: u64,
}

impl Engine {
    /// A generator that has not begun.
    ///
    /// # Errors
    /// When the kernel refuses the poller.
    pub fn new(load: Load) -> io::Result<Self> {
        let connections: Vec<_> = std::iter::repeat_with(Connection::default).take(load.connections).collect();
        let scratch = vec![0; load.slow.map_or(128 * 1024, |slow| slow.bytes)];
        let weights = load.kinds.iter().map(|kind| kind.weight).sum::<u32>().max(1);
        let schedule = match load.mode {
            Mode::Open { rate, spacing } => Some(Schedule::new(rate, spacing, 0)),
            Mode::Closed | Mode::Hold => None,
        };
        // A closed loop begins with a request for every connection.
        let beginnings = if schedule.is_some() { 0 } else { load.connections };
        let ramp = Schedule::new(beginnings as f64 / load.ramp.as_secs_f64().max(1e-9), Spacing::Even, 0);
        Ok(Self {
            poller: Poller::new(256)?,
            idle: (0..connections.len()).rev().collect(),
            connections,
            backlog: VecDeque::new(),
            schedule,
            beginnings,
            ramp,
            resting: VecDeque::new(),
            slow_timers: BinaryHeap::new(),
            origin: Instant::now(),
            issued: 0,
            connecting: 0,
            held: 0,
            next_sweep: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            weights,
            scratch,
            tally: Tally::default(),
            draining: false,
            first_nonce: unlike_any_other(),
            load,
        })
    }

    /// What was counted since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// The warm-up is over: what was counted in it, and from here on times count.
    pub fn begin_window(&mut self) -> Tally {
        for connection in &mut self.connections {
            connection.arrivals.skip();
        }
        self.take_tally()
    }

    /// What was counted so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Requests that were begun, whatever became of them.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.issued
    }

    /// Streams that are held open.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Requests that have begun and not ended; held streams are not among them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.load.connections - self.idle.len() - self.held
    }

    /// Runs for so long, or until `enough` says so.
    ///
    /// # Errors
    /// When the poller fails; broken connections are counted, not errors.
    pub fn run(&mut self, time: Duration, mut enough: impl FnMut(&Self) -> bool) -> io::Result<()> {
        let end = self.now() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2);
        let mut ready = Vec::new();
        loop {
            let now = self.now();
            if now >= end || enough(self) || crate::sys::interrupted() {
                return Ok(());
            }
            self.take_arrivals(now);
            self.end_rests(now);
            self.start_requests();
            self.wake_slow_readers(now);
            let wait = self.wait_until(end).saturating_sub(self.now());
            self.poller.wait(Some(Duration::from_nanos(wait)), &mut ready)?;
            for event in &ready {
                self.handle(*event);
            }
            self.sweep();
        }
    }

    /// All requests that may be sent are answered.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.all_issued() && self.in_flight() == 0
    }

    /// No more requests may be sent.
    pub(super) fn all_issued(&self) -> bool {
        self.load.requests_max.is_some_and(|max| self.issued >= max)
    }

    pub(super) fn is_closed_loop(&self) -> bool {
        self.schedule.is_none()
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wait_until(&self, end: u64) -> u64 {
        let arrival = self.schedule.as_ref().filter(|_| !self.draining).map_or(u64::MAX, Schedule::next_ns);
        let slow = self.slow_timers.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let rest = self.resting.front().map_or(u64::MAX, |(at, _)| *at);
        let beginning = if self.beginnings > 0 && !self.draining { self.ramp.next_ns() } else { u64::MAX };
        end.min(arrival).min(beginning).min(slow).min(rest).min(self.next_sweep)
    }

    pub(super) fn take_arrivals(&mut self, now: u64) {
        if self.draining {
            return;
        }
        while self.beginnings > 0 && self.ramp.due(now).is_some() {
            self.beginnings -= 1;
            self.backlog.push_back(0);
        }
        let Some(schedule) = &mut self.schedule else { return };
        while let Some(intended) = schedule.due(now) {
            if self.backlog.len() < BACKLOG_MAX {
                self.backlog.push_back(intended);
            } else {
                self.tally.dropped += 1;
            }
        }
    }

    pub(super) fn start_requests(&mut self) {
        while self.connecting < CONNECTING_MAX && !self.backlog.is_empty() && !self.idle.is_empty() {
            if self.all_issued() {
                return;
            }
            let (Some(intended), Some(index)) = (self.backlog.pop_front(), self.idle.pop()) else { return };
            self.start(index, intended);
        }
    }

    /// Gives a connection a new request.
    fn start(&mut self, index: usize, intended: u64) {
        self.issued += 1;
        let kind = self.choose();
        let number = nonce(self.first_nonce.wrapping_add(self.load.sameness.identity(self.issued - 1)));
        let abandon_after = self.load.abandon.map(|(low, high)| low + self.below(high.saturating_sub(low) + 1));
        let closed_loop = self.is_closed_loop();
        let now = self.now();
        let connection = &mut self.connections[index];
        connection.kind = kind;
        connection.nonce = number;
        connection.abandon_after = abandon_after;
        connection.intended = if closed_loop { now } else { intended };
        connection.resent = false;
        self.load.kinds[kind].fill(number, &mut connection.out);
        self.send_anew(index);
    }

    /// Sends the request that is in `out`, over a connection if there is one.
    pub(super) fn send_anew(&mut self, index: usize) {
        let now = self.now();
        let connection = &mut self.connections[index];
        connection.rewind();
        connection.first_event = None;
        connection.progressed = false;
        connection.arrivals.clear();
        connection.reply.begin(&self.load.kinds[connection.kind], connection.nonce);
        if connection.is_open() {
            connection.state = State::Sending;
            connection.may_be_stale = now.saturating_sub(connection.idle_since) >= STALE_NS;
            self.send(index);
            return;
        }
        let sources = &self.load.sources;
        let source = if sources.is_empty() { None } else { Some(sources[index % sources.len()]) };
        let receive_bytes = self.load.slow.map(|slow| slow.bytes.max(4096));
        match connection.connect(self.load.target, source, receive_bytes, &self.poller, index as u64) {
            Ok(()) => {
                self.connecting += 1;
                self.tally.connects += 1;
            }
            Err(error) => self.fail(index, Fault::Connect, &error.to_string()),
        }
    }

    fn handle(&mut self, event: Ready) {
        let index = event.token as usize;
        match self.connections[index].state {
            State::Connecting => {
                self.connecting -= 1;
                match self.connections[index].connected() {
                    Ok(()) => {
                        self.connections[index].state = State::Sending;
                        self.send(index);
                    }
                    Err(error) => self.fail(index, Fault::Connect, &error.to_string()),
                }
            }
            State::Sending if event.write => self.send(index),
            // A server may answer before it has read all, a refusal for instance.
            State::Sending | State::Reading | State::Held if event.read => self.receive(index),
            State::Idle => self.idle_event(index),
            _ => {}
        }
    }

    /// An idle connection that reports anything was closed by the server; bytes on it belong to nobody.
    fn idle_event(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if let Ok(Some(count @ 1..)) = connection.receive(&mut self.scratch) {
            self.tally.fault(Fault::Framing, || format!("{count} bytes on an idle connection"));
        }
        connection.close();
    }

    fn send(&mut self, index: usize) {
        let slow = self.load.slow.is_some();
        let connection = &mut self.connections[index];
        match connection.send() {
            Ok(done) => {
                if done {
                    connection.state = State::Reading;
                }
                let interest = if done { Interest::Read } else { Interest::ReadWrite };
                if let Err(error) = connection.watch(interest, &self.poller, index as u64) {
                    self.fail(index, Fault::Connect, &error.to_string());
                } else if slow && done {
                    self.pause_reader(index);
                }
            }
            Err(error) => self.closed(index, &error.to_string()),
        }
    }

    pub(super) fn pause_reader(&mut self, index: usize) {
        let Some(slow) = self.load.slow else { return };
        let at = self.now() + slow.every_ns;
        let connection = &mut self.connections[index];
        connection.may_read_at = at;
        if connection.watch(Interest::Nothing, &self.poller, index as u64).is_ok() {
            self.slow_timers.push(Reverse((at, index)));
        }
    }

    fn wake_slow_readers(&mut self, now: u64) {
        while let Some(&Reverse((at, index))) = self.slow_timers.peek() {
            if at > now {
                return;
            }
            self.slow_timers.pop();
            let connection = &mut self.connections[index];
            let current = connection.may_read_at == at && connection.state == State::Reading;
            if current && connection.watch(Interest::Read, &self.poller, index as u64).is_err() {
                self.fail(index, Fault::Connect, "epoll");
            }
        }
    }

    /// Ends the requests that take too long.
    fn sweep(&mut self) {
        let now = self.now();
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP_NS;
        let limit = u64::try_from(self.load.timeout.as_nanos()).unwrap_or(u64::MAX);
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            let running = !matches!(connection.state, State::Idle | State::Held);
            if !running || now.saturating_sub(connection.intended) < limit {
                continue;
            }
            if self.load.kinds[connection.kind].outcome == Outcome::Stalled {
                self.forget_connecting(index);
                self.close(index);
                self.right(index);
            } else {
                self.time_out(index, "too slow");
            }
        }
    }

    /// The request is given up; its age is a latency, or the slowest requests would make the figures better.
    pub(super) fn time_out(&mut self, index: usize, why: &str) {
        self.forget_connecting(index);
        let now = self.now();
        self.tally.latency.record(now.saturating_sub(self.connections[index].intended));
        self.judge_lateness(index, Some(now));
        self.fail(index, Fault::Timeout, why);
    }

    fn forget_connecting(&mut self, index: usize) {
        if self.connections[index].state == State::Connecting {
            self.connecting -= 1;
        }
    }

    fn choose(&mut self) -> usize {
        if self.load.kinds.len() == 1 {
            return 0;
        }
        let mut at = self.below(self.weights);
        self.load
            .kinds
            .iter()
            .position(|kind| {
                let here = at < kind.weight;
                at = at.saturating_sub(kind.weight);
                here
            })
            .unwrap_or(0)
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 32) % u64::from(limit.max(1))) as u32
    }
}

/// A number that no other engine has, in this process or another: the nonces are its last 32 bits and what follows.
fn unlike_any_other() -> u64 {
    static ENGINES: AtomicU64 = AtomicU64::new(0);
    let engine = ENGINES.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let mut mixed = time ^ (u64::from(std::process::id()) << 32) ^ engine.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The finish of splitmix64: every bit of the input changes half of the output's.
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
