//! From a checked configuration to a running gateway and back: listeners, workers, signals, reloads, the way out.
//! The only file of the control plane that starts the data plane.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    cache::Disk,
    config::{
        self, Loaded,
        settings::{Io, Scheme},
    },
    demo, host, introduction,
    keeper::{self, Keeper},
    listeners,
    log::{self, say},
    publish,
    resolve::{self, Name, Resolved},
    signals::{self, Signal},
};
use crate::base::record::Batch;
use crate::data_plane::{
    cache::registry::Registry,
    core::{CacheGauges, Seat, Shared},
    driver::Wanted,
    mailbox::{self, Letter, Mailbox, Returned},
    meter::Meter,
    worker::{self, End, Post},
};
use crate::policy::answers::Answers;

/// How often memory and descriptors are looked at.
const SAMPLE: Duration = Duration::from_secs(5);
/// How long the start waits for the upstream's name; after it requests wait for nothing and get 502.
const FIRST_RESOLVE: Duration = Duration::from_secs(2);
/// How long connections may take to be told that the grace is over.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long the last log lines may take to be written: a pipe that nobody reads must not hold the end up.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Signals this close together are one: `timeout` and the like tell the process and its group in one breath.
const ONE_SIGNAL: Duration = Duration::from_millis(5);
/// A worker that dies more often than this within a minute is a bug that restarting does not mend.
const DEATHS_A_MINUTE_MAX: u32 = 20;

/// What the control plane waits for.
pub enum Event {
    Signal(Signal),
    Resolved { name: Name, resolved: Resolved },
    WorkerEnded(Box<Post>, End),
}

/// A running gateway, seen from the thread that controls it.
pub struct Gateway {
    loaded: Loaded,
    shared: Arc<Shared>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    names: Sender<Name>,
    name: Name,
    resolved: Resolved,
    alive: usize,
    deaths: Vec<Instant>,
    addresses: Vec<SocketAddr>,
    log: Option<SyncSender<Batch>>,
    log_thread: JoinHandle<()>,
    /// The answer cache.
    keeper: Option<Keeper>,
    /// What was last said of its disk.
    disk: Cell<Disk>,
}

/// `thinkgate serve`.
///
/// # Errors
/// A sentence for the person who started it.
pub fn serve(loaded: Loaded) -> Result<(), String> {
    start(loaded)?.run()
}

/// `thinkgate demo`: the gateway in front of a built-in model server, one conversation shown before and after.
///
/// # Errors
/// As [`serve`].
pub fn demo(mut loaded: Loaded) -> Result<(), String> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = demo::start_server(any, demo::Pace::lifelike()).map_err(|error| format!("demo server: {error}"))?;
    let url = &mut loaded.settings.upstream.url;
    url.scheme = Scheme::Http;
    url.host = server.addr.ip().to_string();
    url.port = server.addr.port();
    url.path_prefix.clear();
    let gateway = start(loaded)?;
    let front = gateway.addresses().first().copied().ok_or("no listener")?;
    let back = server.addr;
    let show = move || {
        if let Err(error) = demo::run(front, back) {
            say(&format!("demo: {error}"));
        }
    };
    std::thread::Builder::new().name("demo".to_owned()).spawn(show).map_err(|error| error.to_string())?;
    gateway.run()
}

/// Starts everything.
///
/// # Errors
/// A sentence about what could not be had: an address, a descriptor, a certificate file, io_uring where it was demanded.
pub fn start(loaded: Loaded) -> Result<Gateway, String> {
    let settings = &loaded.settings;
    let descriptors = host::raise_descriptor_limit();
    let cpus = host::usable_cpus();
    let workers = settings.workers.unwrap_or_else(|| host::default_workers(&cpus));
    let (addresses, mut listeners) = listeners::bind_all(&settings.listen, workers)?;
    let keeper = Keeper::open(&settings.cache)?;
    let (shared, mailboxes) = share(workers, descriptors, keeper.as_ref().map(Keeper::door))
        .map_err(|error| format!("no room to start: {error}"))?;

    let (sender, events) = mpsc::channel();
    let (names, wanted_names) = mpsc::channel();
    let tell = sender.clone();
    let tell = move |name, resolved| tell.send(Event::Resolved { name, resolved }).is_ok();
    resolve::start(Arc::clone(&shared.resolve_wanted), wanted_names, tell).map_err(|error| error.to_string())?;
    let name = (settings.upstream.url.host.clone(), settings.upstream.url.port);
    let resolved = first_answer(&name, &names, &events);
    let snapshot = publish::snapshot(settings, &resolved)?;

    let (log, log_thread) = log::start(settings.log.access.as_ref()).map_err(|error| error.to_string())?;
    let wanted = match settings.io {
        Io::Auto => Wanted::Auto,
        Io::Uring => Wanted::Uring,
        Io::Epoll => Wanted::Epoll,
    };
    for (index, mailbox) in mailboxes.into_iter().enumerate() {
        let post = Post {
            index,
            cpu: if workers <= cpus.len() { cpus.get(index).copied() } else { None },
            wanted,
            shared: Arc::clone(&shared),
            snapshot: Arc::clone(&snapshot),
            mailbox,
            listeners: std::mem::take(&mut listeners[index]),
            log: log.clone(),
        };
        employ(Box::new(post), &sender).map_err(|error| format!("worker {index}: {error}"))?;
    }
    let mut gateway = Gateway {
        loaded,
        shared,
        events,
        sender,
        names,
        name,
        resolved,
        alive: workers,
        deaths: Vec::new(),
        addresses,
        log: Some(log),
        log_thread,
        keeper,
        disk: Cell::new(Disk::Open),
    };
    gateway.wait_until_up()?;
    gateway.sample();
    gateway.introduce();
    Ok(gateway)
}

fn share(
    workers: usize,
    descriptors: u64,
    answers: Option<Arc<dyn Answers>>,
) -> io::Result<(Arc<Shared>, Vec<Mailbox>)> {
    let mut seats = Vec::with_capacity(workers);
    let mut mailboxes = Vec::with_capacity(workers);
    for _ in 0..workers {
        let (door, mailbox) = mailbox::mailbox()?;
        seats.push(Seat {
            door,
            load: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            meter: Arc::new(Meter::new()),
            driver: AtomicU8::new(u8::MAX),
        });
        mailboxes.push(mailbox);
    }
    // Each client connection may need an upstream one; some descriptors belong to rings, logs and listeners.
    let spare = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(128);
    let shared = Shared {
        cores: seats.into_boxed_slice(),
        answers,
        flights: Registry::default(),
        draining: AtomicBool::new(false),
        resolve_wanted: Arc::new(AtomicBool::new(false)),
        cache: CacheGauges::default(),
        worker_restarts: AtomicU64::new(0),
        reloads: AtomicU64::new(0),
        reload_failures: AtomicU64::new(0),
        resident_bytes: AtomicU64::new(0),
        open_fds: AtomicU64::new(0),
        connections_max: (spare / 2 / workers).max(16),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok((Arc::new(shared), mailboxes))
}

fn first_answer(name: &Name, names: &Sender<Name>, events: &Receiver<Event>) -> Resolved {
    // The resolver lives as long as its senders, and this is one of them.
    let _ = names.send(name.clone());
    match events.recv_timeout(FIRST_RESOLVE) {
        Ok(Event::Resolved { resolved, .. }) => resolved,
        _ => Resolved::default(),
    }
}

/// Puts a worker on a thread of its own, which reports its end.
fn employ(mut post: Box<Post>, events: &Sender<Event>) -> io::Result<()> {
    let events = events.clone();
    let name = format!("worker-{}", post.index);
    std::thread::Builder::new()
        .name(name)
        .spawn(move || {
            let end = worker::run(&mut post);
            // Nobody listens any more only when the process is ending anyway.
            let _ = events.send(Event::WorkerEnded(post, end));
        })
        .map(drop)
}

impl Gateway {
    /// The addresses it listens on, ports filled in.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn wait_until_up(&mut self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(10);
        while self.shared.cores.iter().any(|seat| seat.driver.load(Relaxed) == u8::MAX) {
            match self.events.recv_timeout(Duration::from_millis(2)) {
                Ok(Event::WorkerEnded(_, End::NoRuntime(error))) => {
                    return Err(format!("--io {}: {error}", self.loaded.settings.io.name()));
                }
                Ok(Event::Resolved { name, resolved }) => self.take_resolved(name, resolved),
                Ok(_) => return Err("a worker ended while starting".to_owned()),
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(_) => return Err("the workers did not start".to_owned()),
            }
        }
        Ok(())
    }

    fn introduce(&self) {
        let drivers: Vec<&str> = self.shared.cores.iter().map(|seat| seat.driver().label()).collect();
        introduction::say_all(
            &self.loaded,
            &introduction::Facts {
                addresses: &self.addresses,
                unresolved: self.resolved.failure.as_deref(),
                cache: self.keeper.as_ref().map(Keeper::introduction),
                drivers: &drivers,
                connections_max: self.shared.connections_max,
                version: self.shared.version,
            },
        );
    }

    /// Stays until a signal ends it.
    ///
    /// # Errors
    /// A sentence when it has to end by itself.
    pub fn run(mut self) -> Result<(), String> {
        self.listen_to_signals()?;
        host::notify("READY=1");
        let mut sample_at = Instant::now();
        loop {
            if Instant::now() >= sample_at {
                self.sample();
                sample_at = Instant::now() + SAMPLE;
            }
            match self.events.recv_timeout(sample_at.saturating_duration_since(Instant::now())) {
                Ok(Event::Signal(Signal::Reload)) => self.reload(),
                Ok(Event::Signal(Signal::Stop)) => break,
                Ok(Event::Resolved { name, resolved }) => self.take_resolved(name, resolved),
                Ok(Event::WorkerEnded(post, end)) => self.replace(post, &end)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("the control plane lost its threads".to_owned()),
            }
        }
        self.drain();
        Ok(())
    }

    fn listen_to_signals(&self) -> Result<(), String> {
        let sender = self.sender.clone();
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread
            .spawn(move || while signals::wait().is_ok_and(|signal| sender.send(Event::Signal(signal)).is_ok()) {})
            .map(drop)
            .map_err(|error| format!("signals: {error}"))
    }

    fn sample(&self) {
        let (resident, descriptors) = host::memory_and_descriptors();
        self.shared.resident_bytes.store(resident, Relaxed);
        self.shared.open_fds.store(descriptors, Relaxed);
        if let Some(keeper) = &self.keeper {
            let status = keeper.status();
            let gauges = &self.shared.cache;
            for (gauge, value) in [
                (&gauges.memory_entries, status.memory_entries),
                (&gauges.memory_bytes, status.memory_bytes),
                (&gauges.disk_entries, status.disk_entries),
                (&gauges.disk_bytes, status.disk_bytes),
                (&gauges.disk_skipped, status.disk_skipped),
                (&gauges.memory_evicted, status.memory_evicted),
                (&gauges.disk_evicted, status.disk_evicted),
                (&gauges.recovered, status.recovered),
                (&gauges.recovery_ms, status.recovery_ms),
                (&gauges.disk_open, u64::from(status.disk == Disk::Open)),
            ] {
                gauge.store(value, Relaxed);
            }
            let before = self.disk.replace(status.disk);
            if let Some(news) = keeper::news(before, status.disk) {
                say(news);
            }
        }
    }

    fn take_resolved(&mut self, name: Name, resolved: Resolved) {
        if name != self.name {
            return;
        }
        // A resolver that fails for a while must not take away addresses that worked.
        if resolved == self.resolved || (resolved.failure.is_some() && !self.resolved.addresses.is_empty()) {
            return;
        }
        self.resolved = resolved;
        if let Err(error) = self.publish() {
            say(&error);
        }
    }

    fn publish(&self) -> Result<(), String> {
        let snapshot = publish::snapshot(&self.loaded.settings, &self.resolved)?;
        let taken = self.tell_all(|| Letter::Take(Arc::clone(&snapshot)));
        if taken { Ok(()) } else { Err("a worker does not take the new configuration".to_owned()) }
    }

    /// Sends every core a letter that must not get lost: a full mailbox empties within a turn of its core. False: one did
    /// not within a second; the others have theirs all the same. A core that has ended needs none.
    fn tell_all(&self, letter: impl Fn() -> Letter) -> bool {
        let until = Instant::now() + Duration::from_secs(1);
        let tell = |door: &mailbox::Sender| {
            let mut letter = letter();
            loop {
                match door.send(letter) {
                    Ok(()) | Err(Returned::Gone(_)) => return true,
                    Err(Returned::Full(_)) if Instant::now() >= until => return false,
                    Err(Returned::Full(back)) => letter = back,
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        // Each is told, also after one that does not listen.
        let deaf = self.shared.cores.iter().filter(|seat| !tell(&seat.door)).count();
        deaf == 0
    }

    /// All of the new configuration, or all of the old one.
    fn reload(&mut self) {
        let reloaded = match config::reload(&self.loaded) {
            Ok(reloaded) => reloaded,
            Err(problems) => {
                self.shared.reload_failures.fetch_add(1, Relaxed);
                for problem in problems {
                    say(&format!("reload refused, the old configuration stays: {problem}"));
                }
                return;
            }
        };
        // Everything that can fail is tried before anything is changed.
        if let Err(error) = publish::snapshot(&reloaded.loaded.settings, &self.resolved) {
            self.shared.reload_failures.fetch_add(1, Relaxed);
            say(&format!("reload refused, the old configuration stays: {error}"));
            return;
        }
        self.shared.reloads.fetch_add(1, Relaxed);
        let changed = if reloaded.changed.is_empty() { "nothing".to_owned() } else { reloaded.changed.join(", ") };
        say(&format!("configuration read again; changed: {changed}"));
        if !reloaded.needs_restart.is_empty() {
            say(&format!("these apply at the next start only: {}", reloaded.needs_restart.join(", ")));
        }
        self.loaded = reloaded.loaded;
        let url = &self.loaded.settings.upstream.url;
        let name = (url.host.clone(), url.port);
        if name != self.name {
            // Requests go to the old addresses under the old name until the new name is known: `publish` follows then.
            self.name = name.clone();
            match resolve::literal(&name.0, name.1) {
                Some(resolved) => self.resolved = resolved,
                None => self.resolved = Resolved::default(),
            }
            let _ = self.names.send(name);
            if self.resolved.addresses.is_empty() {
                return;
            }
        }
        if let Err(error) = self.publish() {
            say(&error);
        }
    }

    fn replace(&mut self, mut post: Box<Post>, end: &End) -> Result<(), String> {
        self.shared.worker_restarts.fetch_add(1, Relaxed);
        let minute_ago = Instant::now().checked_sub(Duration::from_secs(60));
        self.deaths.retain(|at| minute_ago.is_none_or(|minute_ago| *at > minute_ago));
        self.deaths.push(Instant::now());
        let why = match end {
            End::Died => "died of a bug".to_owned(),
            End::NoRuntime(error) => format!("has no runtime: {error}"),
            End::Drained => "ended early".to_owned(),
        };
        say(&format!("worker {} {why}; another takes its place", post.index));
        if self.deaths.len() > DEATHS_A_MINUTE_MAX as usize {
            return Err("workers die faster than they can be replaced".to_owned());
        }
        // The letters of its time are gone with it.
        if let Ok(snapshot) = publish::snapshot(&self.loaded.settings, &self.resolved) {
            post.snapshot = snapshot;
        }
        employ(post, &self.sender).map_err(|error| format!("worker: {error}"))
    }

    /// Readiness turns false, no new connections are taken, answers in progress may end within the grace; a second
    /// signal ends it at once.
    fn drain(mut self) {
        host::notify("STOPPING=1");
        self.shared.draining.store(true, Relaxed);
        if !self.tell_all(|| Letter::Drain) {
            say("a worker does not listen; its connections end with the grace");
        }
        let grace = Duration::from_millis(self.loaded.settings.shutdown.grace_ms);
        say(&format!("stopping; answers in progress have {grace:?}, a second signal ends them"));
        if let Some(why) = self.wait_for_workers(grace) {
            let left: usize = self.shared.cores.iter().map(|seat| seat.held.load(Relaxed)).sum();
            say(&format!("{why}; connections cut: {left}"));
            // One that does not listen is ended with the process.
            self.tell_all(|| Letter::End);
            self.wait_for_workers(LAST_WORDS);
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.close();
        }
        // Every worker has handed its last lines on; the writer ends when the last sender is gone.
        self.log = None;
        drop(self.sender);
        let until = Instant::now() + LAST_LINES;
        while !self.log_thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        say("stopped");
    }

    /// Waits until all workers have ended, for `grace` or until the next signal: then the reason not to wait on.
    fn wait_for_workers(&mut self, grace: Duration) -> Option<&'static str> {
        let started = Instant::now();
        let until = started + grace;
        while self.alive > 0 {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Event::WorkerEnded(..)) => self.alive -= 1,
                Ok(Event::Signal(Signal::Stop)) if started.elapsed() >= ONE_SIGNAL => return Some("another signal"),
                Ok(_) => {}
                Err(_) => return Some("grace is over"),
            }
        }
        None
    }
}
