//! The part of the engine that judges: what came on a connection, whether it is right, what the connection does next.

use super::connection::State;
use super::engine::{Engine, REST_NS};
use super::fault::Fault;
use super::load::Mode;
use super::reply::Progress;
use super::request::Outcome;

impl Engine {
    pub(super) fn receive(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let read = connection.receive(&mut self.scratch);
        let count = match read {
            Ok(None) => return,
            Ok(Some(0)) => return self.closed(index, "closed"),
            Ok(Some(count)) => count,
            Err(error) => return self.closed(index, &error.to_string()),
        };
        self.tally.bytes += count as u64;
        connection.progressed = true;
        let kind = &self.load.kinds[connection.kind];
        let before = connection.reply.events();
        let progress = connection.reply.feed(&self.scratch[..count], kind);
        self.note_events(index, before);
        match progress {
            Ok(Progress::More) => self.go_on(index),
            Ok(Progress::Whole) => self.complete(index),
            Err(fault) => self.wrong(index, fault),
        }
    }

    /// Counts and times the events that the last read brought.
    fn note_events(&mut self, index: usize, before: u32) {
        let now = self.now();
        let connection = &mut self.connections[index];
        if connection.first_event.is_none() && connection.reply.has_text() {
            connection.first_event = Some(now);
            self.tally.first_event.record(now.saturating_sub(connection.intended));
        }
        let after = connection.reply.events();
        if after == before {
            return;
        }
        let kind = &self.load.kinds[connection.kind];
        let fresh = u64::from(after - before);
        self.tally.events += fresh;
        self.tally.upstream_events += fresh as f64 * kind.upstream_share;
        if kind.timetable.is_some() {
            connection.arrivals.note(now, after);
        }
    }

    /// Counts how late the stream's events were; with `still_open` (the time) also the one that has not come.
    pub(super) fn judge_lateness(&mut self, index: usize, still_open: Option<u64>) {
        let connection = &mut self.connections[index];
        if let Some(table) = &self.load.kinds[connection.kind].timetable {
            connection.arrivals.judge(table, still_open, |ns| self.tally.lateness.record(ns));
        }
    }

    /// The reply has more to come: stay, hold, or leave.
    fn go_on(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let reply = &connection.reply;
        if self.load.mode == Mode::Hold && connection.state == State::Reading && reply.has_text() {
            connection.state = State::Held;
            self.held += 1;
        } else if connection.abandon_after.is_some_and(|limit| reply.events() >= limit) {
            self.close(index);
            self.judge_lateness(index, None);
            self.tally.abandoned += 1;
            self.finish(index);
        } else if self.load.slow.is_some() {
            self.pause_reader(index);
        }
    }

    fn complete(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let kind = &self.load.kinds[connection.kind];
        if let Err(fault) = connection.reply.verdict(kind) {
            return self.wrong(index, fault);
        }
        self.tally.error_replies +=
            u64::from(kind.outcome == Outcome::WholeOrStatus && connection.reply.status() >= 400);
        self.right(index);
    }

    /// A request ended as it should.
    pub(super) fn right(&mut self, index: usize) {
        let now = self.now();
        self.tally.requests += 1;
        self.judge_lateness(index, None);
        let connection = &mut self.connections[index];
        self.tally.latency.record(now.saturating_sub(connection.intended));
        connection.served += 1;
        if self.load.fresh || !connection.reply.keep_alive() {
            self.close(index);
        }
        self.finish(index);
    }

    /// Closes the connection. Always before [`Engine::finish`], which may start the next request on what is still open.
    pub(super) fn close(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if connection.state == State::Held {
            self.held -= 1;
        }
        connection.close();
    }

    /// The connection has ended; perhaps the reply too.
    pub(super) fn closed(&mut self, index: usize, why: &str) {
        let connection = &mut self.connections[index];
        let kind = &self.load.kinds[connection.kind];
        // A server may close a connection as idle just as the next request is sent; every client sends such a request again, once.
        // One that was busy a moment ago was not idle: whoever closes it without an answer loses the request.
        let unanswered = connection.served > 0 && connection.reply.is_untouched() && !connection.resent;
        if unanswered && connection.may_be_stale {
            connection.close();
            connection.resent = true;
            self.tally.resent += 1;
            return self.send_anew(index);
        }
        let why = if unanswered { "closed a kept connection without an answer" } else { why };
        match connection.reply.closed(kind) {
            Ok(()) => {
                self.close(index);
                self.right(index);
            }
            Err(fault) => self.fail(index, fault, why),
        }
    }

    /// The reply is wrong: fine if a broken one was expected.
    fn wrong(&mut self, index: usize, fault: Fault) {
        let connection = &self.connections[index];
        let kind = &self.load.kinds[connection.kind];
        match connection.reply.excuse(fault, kind) {
            Ok(()) => {
                self.close(index);
                self.right(index);
            }
            Err(fault) => self.fail(index, fault, ""),
        }
    }

    pub(super) fn fail(&mut self, index: usize, fault: Fault, why: &str) {
        self.judge_lateness(index, None);
        let connection = &self.connections[index];
        let model = &self.load.kinds[connection.kind].model;
        let excerpt = connection.reply.excerpt();
        self.tally.fault(fault, || format!("{model}: {why} ({excerpt})"));
        self.close(index);
        self.resting.push_back((self.now() + REST_NS, index));
    }

    pub(super) fn end_rests(&mut self, now: u64) {
        while self.resting.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, index)) = self.resting.pop_front() {
                self.finish(index);
            }
        }
    }

    /// The connection is free; a closed loop wants its next request at once.
    pub(super) fn finish(&mut self, index: usize) {
        if self.connections[index].state == State::Held {
            self.held -= 1;
        }
        let now = self.now();
        let connection = &mut self.connections[index];
        connection.state = State::Idle;
        connection.idle_since = now;
        self.idle.push(index);
        if self.load.mode == Mode::Closed && !self.draining {
            self.backlog.push_back(0);
        }
        // Without this turn through the backlog a connection would wait for the next poll.
        if self.connections[index].is_open() {
            self.start_requests();
        }
    }
}
