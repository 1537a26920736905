//! The end of a measurement: what is still on its way must come. Without this a proxy that stops answering would lose nothing but its
//! open requests, which nobody would count.

use std::io;
use std::time::Duration;

use super::connection::State;
use super::engine::Engine;
use super::fault::Fault;
use super::load::Load;
use super::request::Outcome;
use super::tally::Tally;

/// The shortest time in which a healthy proxy passes something on.
const DRAIN_MIN: Duration = Duration::from_secs(1);
/// What a machine under load may add.
const SLACK: Duration = Duration::from_millis(500);

impl Load {
    /// How long an open request may be silent before it counts as forgotten.
    #[must_use]
    pub fn drain_time(&self) -> Duration {
        let slow = self.slow.map_or(Duration::ZERO, |slow| Duration::from_nanos(slow.every_ns));
        // The silence of a model that nobody knows is limited by the timeout alone.
        let silence = |kind: &super::request::Kind| kind.silence.unwrap_or(self.timeout);
        let longest = self.kinds.iter().map(silence).max().unwrap_or_default().max(slow);
        (longest.saturating_mul(2) + SLACK).max(DRAIN_MIN)
    }
}

impl Engine {
    /// Lets what was begun or due come to its end and starts nothing new. Returns what the drain adds to the measurement: times and
    /// faults, and the counts of the drain, which are not the measurement's.
    ///
    /// # Errors
    /// When the poller fails.
    pub fn drain(&mut self) -> io::Result<Tally> {
        let now = self.now();
        self.take_arrivals(now);
        self.draining = true;
        if self.is_closed_loop() {
            self.backlog.clear();
        }
        for connection in &mut self.connections {
            connection.progressed = false;
        }
        let time = self.load.drain_time();
        self.run(time, Engine::is_drained)?;
        if !crate::sys::interrupted() {
            self.give_up(time);
        }
        Ok(self.take_tally())
    }

    /// Nothing is on its way and nothing waits for a connection.
    fn is_drained(&self) -> bool {
        let waiting = !self.backlog.is_empty() && !self.all_issued();
        if waiting {
            return false;
        }
        // The quick answer first: the loop asks after every wake-up.
        let running = self.in_flight() - self.resting.len();
        running == 0
            || (self.load.kinds.iter().any(|kind| kind.outcome == Outcome::Stalled)
                && (0..self.connections.len()).all(|index| !self.is_awaited(index)))
    }

    /// There is a request whose answer must come. Those that may stall and streams that are held have rules of their own.
    fn is_awaited(&self, index: usize) -> bool {
        let connection = &self.connections[index];
        !matches!(connection.state, State::Idle | State::Held)
            && self.load.kinds[connection.kind].outcome != Outcome::Stalled
    }

    /// The requests of which nothing came, and those that were never sent, have failed.
    fn give_up(&mut self, waited: Duration) {
        let now = self.now();
        for index in 0..self.connections.len() {
            if !self.is_awaited(index) {
                continue;
            }
            let connection = &self.connections[index];
            if connection.progressed {
                self.judge_lateness(index, Some(now));
                continue;
            }
            self.time_out(index, &format!("nothing came in the {waited:?} after the measurement"));
        }
        let unsent = if self.all_issued() { 0 } else { self.backlog.len() };
        for intended in self.backlog.drain(..).take(unsent) {
            self.tally.latency.record(now.saturating_sub(intended));
            self.tally.fault(Fault::Timeout, || "due, and never sent: no connection became free".to_owned());
        }
    }
}
