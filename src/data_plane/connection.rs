//! One client connection from its first byte to its last: heads in order, one request at a time.

use std::{net::SocketAddr, pin::pin, rc::Rc};

use super::{
    account,
    admit::{Admitted, admit},
    caught::Caught,
    core::Core,
    downstream::Downstream,
    exchange::Exchange,
    local::{self, Asked},
    meter::{Outcome, Raised},
    request::{self, After},
    socket::{Armed, Socket},
};
use crate::{
    base::{error::Kind, metric::Metric},
    wire::{
        dialect::{Dialect, dialect_of},
        http::request::Progress,
    },
};

use std::sync::atomic::Ordering::Relaxed;

/// Serves one connection to its end. A panic ends this connection and nothing else; it is counted.
/// `turned_away`: there is no room for it; it is told so and closed.
pub async fn serve(core: Rc<Core>, socket: Socket, peer: SocketAddr, turned_away: bool) {
    let _open = Raised::new(&core.meter, Metric::ConnectionsOpen);
    let survived = if turned_away {
        Caught::new(Box::pin(turn_away(&core, &socket, peer))).await
    } else {
        Caught::new(run(&core, &socket, peer)).await
    };
    if !survived {
        core.meter.one(Metric::ConnectionPanics);
    }
    core.seat().held.fetch_sub(1, Relaxed);
    core.seat().load.fetch_sub(1, Relaxed);
}

async fn run(core: &Core, socket: &Socket, peer: SocketAddr) {
    let arrival = pin!(Armed::new(|| socket.readable()));
    let mut down = Downstream::new(core, socket, arrival, peer);
    let mut after = After::Next;
    let mut first = true;
    while after == After::Next {
        after = match next_request(&mut down, std::mem::take(&mut first)).await {
            Some(Next::Forward(exchange)) => request::handle(&mut down, exchange).await,
            Some(Next::Own(exchange)) => answer_own(&mut down, exchange).await,
            Some(Next::Refused(kind, dialect, detail)) => refuse(&mut down, kind, dialect, detail).await,
            None => After::Close,
        };
        if after == After::Next && core.draining.get() {
            after = After::Close;
        }
    }
    if after == After::Linger {
        down.linger().await;
    }
    down.meter_bytes();
}

/// Waits for a head, so that the answer has a question, and says that there is no room.
async fn turn_away(core: &Core, socket: &Socket, peer: SocketAddr) {
    let arrival = pin!(Armed::new(|| socket.readable()));
    let mut down = Downstream::new(core, socket, arrival, peer);
    down.timer.set(core.clock.now() + LATE_US);
    if down.arrival().await.is_ok() && refuse(&mut down, Kind::Overloaded, Dialect::OpenAi, "").await == After::Linger {
        down.linger().await;
    }
    down.meter_bytes();
}

enum Next {
    Forward(Box<Exchange>),
    Own(Box<Exchange>),
    Refused(Kind, Dialect, &'static str),
}

/// A connection that came while the core was already draining may still say what it wants, if it does so soon.
const LATE_US: u64 = 1_000_000;

/// Waits for a whole head. `None`: the client left, or was silent for as long as a connection may be.
async fn next_request(down: &mut Downstream<'_>, first: bool) -> Option<Next> {
    let core = down.core;
    let mut progress = Progress::default();
    let late = first && core.draining.get();
    let idle_us = if late { LATE_US } else { core.snapshot().limits.keep_alive_us };
    down.timer.set(core.clock.now() + idle_us);
    let mut begun = false;
    loop {
        if !down.input.is_empty() {
            match admit(down, &mut progress) {
                Admitted::Partial => {}
                Admitted::Forward(exchange) => return Some(Next::Forward(exchange)),
                Admitted::Own(exchange) => return Some(Next::Own(exchange)),
                Admitted::Refused(kind, dialect, detail) => return Some(Next::Refused(kind, dialect, detail)),
            }
            if !begun {
                // From the first byte on the whole head has one limit, however slowly it drips in.
                begun = true;
                down.timer.set(core.clock.now() + core.snapshot().limits.head_us);
            }
        } else if core.draining.get() && !late {
            return None;
        }
        down.timer.set_idle(!begun);
        let arrived = down.arrival().await;
        down.timer.set_idle(false);
        match arrived {
            Ok(()) => {}
            Err(super::downstream::Interrupt::Due) if begun => {
                return Some(Next::Refused(Kind::RequestTimeout, dialect_of(down.input.bytes()), ""));
            }
            Err(_) => return None,
        }
    }
}

/// A head that cannot be served: nobody knows where the next request would start, so this one is the last.
async fn refuse(down: &mut Downstream<'_>, kind: Kind, dialect: Dialect, detail: &str) -> After {
    account::refused(down, kind, detail);
    let asked = Asked { dialect, ..Asked::unreadable() };
    let sent = local::error(down, &asked, kind, detail);
    finish(down, sent.is_ok(), After::Linger).await
}

async fn answer_own(down: &mut Downstream<'_>, mut exchange: Box<Exchange>) -> After {
    let core = down.core;
    let keep_alive = exchange.keep_alive && exchange.decoder.is_done() && !core.draining.get();
    let status = local::own(down, &Asked::by(&exchange, keep_alive), exchange.endpoint);
    exchange.status = status.unwrap_or(499);
    exchange.settled = Some(if status.is_ok() { Outcome::Complete } else { Outcome::ClientGone });
    let wanted = match (keep_alive, exchange.decoder.is_done()) {
        (true, _) => After::Next,
        (false, true) => After::Close,
        (false, false) => After::Linger,
    };
    let after = finish(down, status.is_ok(), wanted).await;
    account::close(down, exchange);
    after
}

/// Waits until the answer has left.
async fn finish(down: &mut Downstream<'_>, sent: bool, wanted: After) -> After {
    if !sent {
        return After::Close;
    }
    down.timer.set(down.core.clock.now() + down.core.snapshot().limits.idle_us);
    match down.flush().await {
        Ok(()) => wanted,
        Err(_) => After::Close,
    }
}
