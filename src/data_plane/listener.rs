//! New connections: taken as they come, and handed to a core that has fewer.
//!
//! The kernel spreads connections over the cores' listeners by a hash, which is even only for many; an edge box has few.

use std::{net::SocketAddr, os::fd::OwnedFd, rc::Rc, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    connection,
    core::Core,
    mailbox::{Letter, Returned},
    socket::{Acceptor, Socket},
};
use crate::base::{bounds::TURNED_AWAY_MAX, metric::Metric};

/// Connections taken between two looks at everything else.
const ACCEPTS_A_TURN: usize = 64;
/// How long to wait when no descriptor is left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Accepts until the core drains. Ends when the listener is of no use any more.
pub async fn listen(core: Rc<Core>, acceptor: Acceptor) {
    while !core.draining.get() {
        if acceptor.readable().await.is_err() {
            break;
        }
        if !accept_some(&core, &acceptor) {
            monoio::time::sleep(EXHAUSTED).await;
        }
    }
}

/// Takes what still waits in the queue: clients that the kernel has already greeted would otherwise be reset. Bounded by
/// the length of the kernel's queue.
pub fn accept_rest(core: &Rc<Core>, acceptor: &Acceptor) {
    while let Ok((fd, peer)) = acceptor.accept() {
        place(core, fd, peer);
    }
}

/// False: no descriptors are left.
fn accept_some(core: &Rc<Core>, acceptor: &Acceptor) -> bool {
    for _ in 0..ACCEPTS_A_TURN {
        match acceptor.accept() {
            Ok((fd, peer)) => place(core, fd, peer),
            Err(error) => {
                return !matches!(
                    error.raw_os_error(),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
                );
            }
        }
    }
    true
}

fn place(core: &Rc<Core>, fd: OwnedFd, peer: SocketAddr) {
    core.meter.one(Metric::ConnectionsAccepted);
    let seats = &core.shared.cores;
    let own = seats[core.index].load.load(Relaxed);
    let emptiest = seats.iter().enumerate().min_by_key(|(_, seat)| seat.load.load(Relaxed));
    if let Some((index, seat)) = emptiest {
        let other = seat.load.load(Relaxed);
        // Evenness matters while connections are few; among many, a small difference is not worth a hand-over.
        if index != core.index && own > other + other / 16 {
            seat.load.fetch_add(1, Relaxed);
            match seat.door.send(Letter::Adopt(fd, peer)) {
                Ok(()) => core.meter.one(Metric::ConnectionsHanded),
                Err(Returned::Full(letter) | Returned::Gone(letter)) => {
                    seat.load.fetch_sub(1, Relaxed);
                    if let Letter::Adopt(fd, peer) = letter {
                        seats[core.index].load.fetch_add(1, Relaxed);
                        serve(core, fd, peer);
                    }
                }
            }
            return;
        }
    }
    seats[core.index].load.fetch_add(1, Relaxed);
    serve(core, fd, peer);
}

/// Starts to serve a connection that is already counted in this core's load.
pub fn serve(core: &Rc<Core>, fd: OwnedFd, peer: SocketAddr) {
    let load = &core.seat().load;
    let over = load.load(Relaxed).saturating_sub(core.shared.connections_max);
    if over > 0 {
        core.meter.one(Metric::ConnectionsRefused);
    }
    if over > TURNED_AWAY_MAX {
        load.fetch_sub(1, Relaxed);
        return;
    }
    match Socket::adopt(fd, peer) {
        Ok(socket) => {
            core.seat().held.fetch_add(1, Relaxed);
            monoio::spawn(connection::serve(Rc::clone(core), socket, peer, over > 0));
        }
        Err(_) => {
            load.fetch_sub(1, Relaxed);
            core.meter.one(Metric::ConnectionsRefused);
        }
    }
}
