//! One worker: a thread, its ring, its core, and the tasks that live as long as they do.

use std::{
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc::SyncSender},
    time::Duration,
};

use super::{
    core::{Core, Shared},
    deadline::{Deadlines, TICK, either},
    driver::{self, Driver, Wanted},
    journal::Journal,
    listener,
    mailbox::{Letter, Mailbox},
    meter::Timing,
    socket::{Acceptor, Socket, shut_down_all},
};
use crate::{
    base::{metric::Metric, record::Batch},
    policy::snapshot::Snapshot,
};

/// What a worker is started with, and gives back when it dies, so that another can take its place.
pub struct Post {
    pub index: usize,
    /// CPU to stay on, if there is one for each worker.
    pub cpu: Option<usize>,
    pub wanted: Wanted,
    pub shared: Arc<Shared>,
    pub snapshot: Arc<Snapshot>,
    pub mailbox: Mailbox,
    pub listeners: Vec<OwnedFd>,
    pub log: SyncSender<Batch>,
}

/// How a worker ended.
pub enum End {
    /// It was told to, and all its connections have ended.
    Drained,
    /// No runtime is to be had.
    NoRuntime(std::io::Error),
    /// It died of a bug; its connections are closed.
    Died,
}

/// Runs a worker on the calling thread until it is drained or dies.
pub fn run(post: &mut Post) -> End {
    if let Some(cpu) = post.cpu {
        // Not being pinned costs speed and nothing else.
        let _ = monoio::utils::bind_to_cpu_set([cpu]);
    }
    let (mut runtime, driver) = match driver::build(post.wanted) {
        Ok(built) => built,
        Err(error) => return End::NoRuntime(error),
    };
    let seat = &post.shared.cores[post.index];
    seat.driver.store(Driver::ALL.iter().position(|one| *one == driver).unwrap_or(0) as u8, Relaxed);
    let deadlines = Deadlines::new();
    let survived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(post, &deadlines))));
    match survived {
        Ok(()) => End::Drained,
        Err(_) => {
            // What the runtime still holds can only be dropped inside it, so it is leaked; the peers must learn of the
            // end all the same.
            shut_down_all();
            std::mem::forget(runtime);
            // What waits in its mailbox is for its successor, and stays counted.
            let seat = &post.shared.cores[post.index];
            seat.load.fetch_sub(seat.held.swap(0, Relaxed), Relaxed);
            seat.meter.forget_gauges();
            let ring = |index: usize, flight| {
                let _ = post.shared.cores[index].door.send(Letter::Flight(flight));
            };
            post.shared.flights.bury(post.index, &ring);
            End::Died
        }
    }
}

async fn live(post: &mut Post, deadlines: &Rc<Deadlines>) {
    let journal = Journal::new(post.log.clone());
    let core =
        Core::new(post.index, Arc::clone(&post.shared), Arc::clone(&post.snapshot), journal, Rc::clone(deadlines));
    monoio::spawn(tick(Rc::clone(&core)));
    let mut acceptors = Vec::new();
    for listener in &post.listeners {
        let Ok(fd) = listener.try_clone() else { continue };
        monoio::spawn(accept(Rc::clone(&core), fd));
        if let Some(acceptor) = listener.try_clone().ok().and_then(|fd| Acceptor::adopt(fd).ok()) {
            acceptors.push(acceptor);
        }
    }
    let Ok(bell) = post.mailbox.wake_fd().and_then(Socket::adopt_descriptor) else { return };
    // What came before the bell was listened to.
    read_letters(post, &core);
    while !core.draining.get() {
        if bell.readable().await.is_err() {
            return;
        }
        read_letters(post, &core);
    }
    for acceptor in acceptors.drain(..) {
        listener::accept_rest(&core, &acceptor);
        acceptor.close();
    }
    post.listeners.clear();
    // Flights may have followers on other cores.
    while core.seat().load.load(Relaxed) > 0 || core.flying.get() > 0 {
        monoio::time::sleep(TICK).await;
        read_letters(post, &core);
    }
    core.journal.close();
}

fn read_letters(post: &mut Post, core: &Rc<Core>) {
    post.mailbox.answer();
    while let Some(letter) = post.mailbox.next() {
        match letter {
            Letter::Adopt(fd, peer) => listener::serve(core, fd, peer),
            Letter::Take(snapshot) => {
                core.pool.age_out(core.clock.now(), snapshot.upstream.identity);
                post.snapshot = Arc::clone(&snapshot);
                core.take_snapshot(snapshot);
                core.meter.one(Metric::SnapshotsTaken);
            }
            Letter::Flight(id) => core.bells.wake(id),
            Letter::Drain => {
                core.draining.set(true);
                core.deadlines.fire_idle();
                core.bells.wake_all();
            }
            Letter::End => {
                core.grace_over.set(true);
                core.deadlines.fire_all();
            }
            #[cfg(debug_assertions)]
            Letter::Die => super::faults::die(),
        }
    }
}

async fn accept(core: Rc<Core>, fd: OwnedFd) {
    if let Ok(acceptor) = Acceptor::adopt(fd) {
        listener::listen(core, acceptor).await;
    }
}

/// Looks after deadlines, idle connections and the log; sleeps deeply while there is no connection.
async fn tick(core: Rc<Core>) {
    const HOUSEKEEPING_TICKS: u32 = 25;
    const QUIET: Duration = Duration::from_millis(500);
    let mut count = 0_u32;
    loop {
        if core.deadlines.is_empty() {
            housekeeping(&core);
            if core.pool.is_empty() {
                core.deadlines.wanted().await;
            } else {
                // Only idle upstream connections are left to look after.
                let mut pause = pin!(monoio::time::sleep(QUIET));
                let mut wanted = pin!(core.deadlines.wanted());
                let _ = either(pause.as_mut(), wanted.as_mut()).await;
                if core.deadlines.is_empty() {
                    continue;
                }
            }
        }
        let before = core.clock.now();
        monoio::time::sleep(TICK).await;
        let now = core.clock.now();
        core.deadlines.sweep(now);
        if core.grace_over.get() {
            // Who had something better to do at the last firing has set another moment since.
            core.deadlines.fire_all();
        }
        count += 1;
        if count.is_multiple_of(HOUSEKEEPING_TICKS) {
            let slept = u64::try_from(TICK.as_micros()).unwrap_or(0);
            core.meter.time(Timing::LoopLag, (now - before).saturating_sub(slept));
            housekeeping(&core);
        }
        core.journal.flush();
    }
}

fn housekeeping(core: &Core) {
    core.pool.age_out(core.clock.now(), core.snapshot().upstream.identity);
    core.meter.set(Metric::UpstreamIdle, core.pool.len() as u64);
    core.meter.add(Metric::LogDropped, core.journal.take_dropped());
    core.bells.wake_all();
    core.journal.flush();
}
