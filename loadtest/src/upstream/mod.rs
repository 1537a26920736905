//! The mock model server: one thread, one epoll loop, answers made beforehand.
//!
//! It shares a core with the client in most runs, so it must cost little: a request is a look at two fields, an answer is a
//! copy of prepared bytes with the nonce filled in, an event is one `send`.

mod connection;
pub mod counters;
mod routes;
pub mod size;
pub mod stats;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sys::{Interest, Poller, Ready};
use connection::{Connection, Next};
use routes::Routes;
use stats::Stats;

/// More connections than this are closed at once.
const CONNECTIONS_MAX: usize = 100_000;
/// The longest wait: how late a request to stop may be noticed.
const WAIT_MAX: Duration = Duration::from_millis(50);
const LISTENER: u64 = 0;

/// How the mock server runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The script of models that are no script.
    pub fallback: String,
    /// Writes that one stream may do before the next one's turn. Many: a stream's events meet in the socket buffer, as from a server
    /// that is faster than the proxy. One: streams take turns event by event, as from a server that batches its streams.
    pub turn: u32,
    /// The core its thread is bound to.
    pub core: Option<usize>,
    /// Times in which it refuses connections and drops those it has.
    pub outage: Option<Outage>,
}

/// Outages at a fixed pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// From the start of one to the start of the next.
    pub every: Duration,
    /// How long each lasts.
    pub length: Duration,
}

impl Outage {
    /// Whether there is one at this time since the start; the first comes after `every`.
    #[must_use]
    pub fn is_on(&self, since_start: Duration) -> bool {
        let every = self.every.as_nanos().max(1);
        let at = since_start.as_nanos();
        at >= every && at % every < self.length.as_nanos()
    }
}

/// A mock server in a thread of this process.
pub struct Mock {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has done so far.
    pub stats: Arc<Stats>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Mock {
    /// Listens and starts the thread.
    ///
    /// # Errors
    /// When the address cannot be had, or the fallback is no script (as `InvalidInput`).
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let stats = Arc::new(Stats::default());
        let stop = Arc::new(AtomicBool::new(false));
        let routes = Routes::new(&settings.fallback, stats.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listener = listen(settings.listen)?;
        let address = listener.local_addr()?;
        let (stopping, counters) = (stop.clone(), stats.clone());
        let (core, turn, outage) = (settings.core, settings.turn.max(1), settings.outage);
        let thread = std::thread::Builder::new().name("mock".into()).spawn(move || {
            if let Some(core) = core {
                crate::sys::pin_to(&[core])?;
            }
            crate::sys::exact_timers();
            // `Routes` shares prepared answers without counting across threads, so it is born here.
            let mut server = Server::new(listener, routes.open(), counters, turn)?;
            server.run(&stopping, outage)
        })?;
        Ok(Self { address, stats, stop, thread: Some(thread) })
    }

    /// Waits until the thread ends (it does so only on an error or when told).
    ///
    /// # Errors
    /// What ended it.
    pub fn join(mut self) -> io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the mock server's thread died")),
            None => Ok(()),
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A connection's time: its place in the table and which of the connections that had the place is meant.
type Timer = Reverse<(Instant, u64, u32)>;

struct Server {
    poller: Poller,
    /// None during an outage.
    listener: Option<TcpListener>,
    address: SocketAddr,
    routes: Routes,
    stats: Arc<Stats>,
    turn: u32,
    connections: Vec<Option<Connection>>,
    free: Vec<u64>,
    /// Connections with more to write at once.
    runnable: VecDeque<u64>,
    timers: BinaryHeap<Timer>,
    generation: u32,
    scratch: Vec<u8>,
}

impl Server {
    fn new(listener: TcpListener, routes: Routes, stats: Arc<Stats>, turn: u32) -> io::Result<Self> {
        let poller = Poller::new(256)?;
        poller.add(listener.as_raw_fd(), LISTENER, Interest::Read)?;
        Ok(Self {
            poller,
            address: listener.local_addr()?,
            listener: Some(listener),
            routes,
            stats,
            turn,
            connections: vec![None],
            free: Vec::new(),
            runnable: VecDeque::new(),
            timers: BinaryHeap::new(),
            generation: 0,
            scratch: vec![0; 64 * 1024],
        })
    }

    fn run(&mut self, stop: &AtomicBool, outage: Option<Outage>) -> io::Result<()> {
        let begun = Instant::now();
        let mut ready = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            if let Some(outage) = outage {
                self.keep_outage(outage.is_on(begun.elapsed()))?;
            }
            let wait = self.wait_time();
            self.poller.wait(Some(wait), &mut ready)?;
            for event in ready.drain(..) {
                match event.token {
                    LISTENER => self.accept()?,
                    token => self.handle(token, event),
                }
            }
            self.fire_timers();
            for _ in 0..self.runnable.len() {
                if let Some(token) = self.runnable.pop_front() {
                    self.step(token, |connection, _, _| connection.pump_unblocked());
                }
            }
        }
        Ok(())
    }

    /// Stops or starts to listen.
    fn keep_outage(&mut self, on: bool) -> io::Result<()> {
        if on && self.listener.take().is_some() {
            for token in 1..self.connections.len() as u64 {
                self.close(token);
            }
        } else if !on && self.listener.is_none() {
            let listener = listen(self.address)?;
            self.poller.add(listener.as_raw_fd(), LISTENER, Interest::Read)?;
            self.listener = Some(listener);
        }
        Ok(())
    }

    fn wait_time(&self) -> Duration {
        if !self.runnable.is_empty() {
            return Duration::ZERO;
        }
        let first = self.timers.peek().map(|Reverse((due, ..))| due.saturating_duration_since(Instant::now()));
        first.unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let Some(listener) = &self.listener else { return Ok(()) };
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Out of descriptors, or a connection that was reset while it waited: the others go on.
                Err(_) => return Ok(()),
            };
            if self.connections.len() > CONNECTIONS_MAX && self.free.is_empty() {
                continue;
            }
            let token = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() as u64 - 1
            });
            self.generation = self.generation.wrapping_add(1);
            let connection = Connection::new(stream, self.generation)?;
            self.poller.add(connection.fd(), token, Interest::Read)?;
            self.connections[token as usize] = Some(connection);
            Stats::add(&self.stats.accepted, 1);
            Stats::add(&self.stats.open, 1);
        }
    }

    fn handle(&mut self, token: u64, event: Ready) {
        self.step(token, |connection, routes, scratch| {
            if event.read && connection.receive(scratch).is_err() {
                return Next::Close;
            }
            if event.write { connection.pump_unblocked() } else { connection.begin(routes) }
        });
    }

    fn fire_timers(&mut self) {
        while let Some(&Reverse((due, token, generation))) = self.timers.peek() {
            if due > Instant::now() {
                return;
            }
            self.timers.pop();
            let same = self.connections[token as usize].as_ref().is_some_and(|c| c.generation == generation);
            if same {
                self.step(token, |connection, _, _| connection.pump_on_time());
            }
        }
    }

    /// Does one thing with a connection, then lets it write as far as it may.
    fn step(&mut self, token: u64, act: impl FnOnce(&mut Connection, &mut Routes, &mut [u8]) -> Next) {
        let Some(connection) = self.connections.get_mut(token as usize).and_then(Option::as_mut) else { return };
        let mut next = act(connection, &mut self.routes, &mut self.scratch);
        loop {
            next = match next {
                Next::Write => connection.write(self.turn, &self.stats),
                Next::Begin => connection.begin(&mut self.routes),
                Next::Again => {
                    self.runnable.push_back(token);
                    break;
                }
                Next::At(due) => {
                    self.timers.push(Reverse((due, token, connection.generation)));
                    break;
                }
                Next::Wait => break,
                Next::Close => {
                    self.close(token);
                    return;
                }
            };
        }
        let connection = self.connections[token as usize].as_mut();
        let failed = connection.is_some_and(|c| c.watch(&self.poller, token).is_err());
        if failed {
            self.close(token);
        }
    }

    fn close(&mut self, token: u64) {
        if let Some(connection) = self.connections[token as usize].take() {
            connection.count_end(&self.stats);
            Stats::subtract(&self.stats.open, 1);
            self.free.push(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_come_at_their_pace() {
        let outage = Outage { every: Duration::from_secs(3), length: Duration::from_secs(1) };
        let on: Vec<bool> = (0..9).map(|s| outage.is_on(Duration::from_secs(s))).collect();
        assert_eq!(on, [false, false, false, true, false, false, true, false, false]);
    }
}
