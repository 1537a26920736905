//! A new connection to the upstream: its addresses in order, TLS where the URL says so, all within one limit and while
//! the client is watched.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{channel::Channel, clock::Micros, downstream::Interrupt, failure::Failure, guard::Guard, socket::Socket};
use crate::{
    base::{error::Kind, metric::Metric},
    policy::snapshot::{Limits, Tls, Upstream},
};

/// Connects, at most until `total_due` and within the connect limit.
///
/// # Errors
/// `ResolveFailed`, `ConnectFailed`, `ConnectTimeout`, `TlsFailed`, `TotalTimeout` or `ClientGone`; the detail names
/// the upstream and every address that failed.
pub async fn connect(
    guard: &mut impl Guard,
    upstream: &Upstream,
    limits: &Limits,
    total_due: Micros,
) -> Result<Channel, Failure> {
    if upstream.addresses.is_empty() {
        guard.core().shared.resolve_wanted.store(true, Relaxed);
        let why = upstream.unresolved.as_deref().unwrap_or("not resolved yet");
        return Err(Failure::with(Kind::ResolveFailed, format_args!("{}: {why}", upstream.url)));
    }
    let due = guard.core().clock.now().saturating_add(limits.connect_us).min(total_due);
    let late = if due == total_due { Kind::TotalTimeout } else { Kind::ConnectTimeout };
    let mut failures = String::new();
    for (n, address) in upstream.addresses.iter().enumerate() {
        // An address that swallows packets must not eat the time of those behind it.
        let left = upstream.addresses.len() - n;
        let now = guard.core().clock.now();
        guard.timer().set(now + due.saturating_sub(now) / left as u64);
        guard.core().meter.one(Metric::UpstreamConnects);
        match attempt(guard, *address).await {
            Ok(socket) => {
                guard.timer().set(due);
                return match &upstream.tls {
                    None => Ok(Channel::plain(socket, &guard.core().meter)),
                    Some(tls) => secure(guard, socket, tls, upstream, late).await,
                };
            }
            Err(Trouble::Io(error)) => note(&mut failures, *address, &error.to_string()),
            Err(Trouble::Interrupt(Interrupt::Due)) => note(&mut failures, *address, "no answer in time"),
            Err(Trouble::Interrupt(interrupt)) => return Err(Failure::interrupted(interrupt, late)),
        }
    }
    guard.core().shared.resolve_wanted.store(true, Relaxed);
    let kind = if guard.core().clock.now() >= due { late } else { Kind::ConnectFailed };
    Err(Failure::with(kind, format_args!("{}: {failures}", upstream.url)))
}

enum Trouble {
    Io(io::Error),
    Interrupt(Interrupt),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Io(error)
    }
}

fn note(failures: &mut String, address: SocketAddr, why: &str) {
    use std::fmt::Write;
    let separator = if failures.is_empty() { "" } else { "; " };
    // Writing to a string cannot fail.
    let _ = write!(failures, "{separator}{address}: {why}");
}

async fn attempt(guard: &mut impl Guard, address: SocketAddr) -> Result<Socket, Trouble> {
    let socket = Socket::start_connect(address)?;
    {
        let mut writable = pin!(socket.writable());
        guard.until(writable.as_mut()).await.map_err(Trouble::Interrupt)??;
    }
    socket.connected()?;
    Ok(socket)
}

async fn secure(
    guard: &mut impl Guard,
    socket: Socket,
    tls: &Tls,
    upstream: &Upstream,
    late: Kind,
) -> Result<Channel, Failure> {
    let failed = |error: io::Error| {
        // rustls' own words (expired, unknown issuer, …) are the source of the outer error.
        let why = error.get_ref().map_or_else(|| error.to_string(), ToString::to_string);
        Failure::with(Kind::TlsFailed, format_args!("{}: {why}", upstream.url))
    };
    let channel =
        Channel::tls(socket, &guard.core().meter, Arc::clone(&tls.config), tls.name.clone()).map_err(failed)?;
    while !channel.handshake().map_err(failed)? {
        let waited = if channel.wants_write() {
            let mut writable = pin!(channel.socket.writable());
            guard.until(writable.as_mut()).await
        } else {
            let mut readable = pin!(channel.socket.readable());
            guard.until(readable.as_mut()).await
        };
        waited.map_err(|interrupt| Failure::interrupted(interrupt, late))?.map_err(failed)?;
    }
    Ok(channel)
}
