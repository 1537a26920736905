//! The sockets that clients connect to, bound before any worker starts so that what is wrong with them is said at once.

use std::{io, net::SocketAddr, os::fd::OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

/// Queue of connections that the kernel has greeted and nobody has taken; it is cut to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;
/// Binds every address once a worker. `SO_REUSEPORT` lets the kernel spread connections over them; port 0 is the same
/// port for all.
///
/// # Errors
/// A sentence about the first address that cannot be had.
pub fn bind_all(wanted: &[SocketAddr], workers: usize) -> Result<(Vec<SocketAddr>, Vec<Vec<OwnedFd>>), String> {
    let mut addresses = Vec::new();
    let mut listeners: Vec<Vec<OwnedFd>> = (0..workers).map(|_| Vec::new()).collect();
    for address in wanted {
        let mut actual = *address;
        claim(*address).map_err(|error| format!("listen on {address}: {error}"))?;
        for own in &mut listeners {
            let socket = bind(actual).map_err(|error| format!("listen on {address}: {error}"))?;
            if let Some(bound) = socket.local_addr().ok().and_then(|bound| bound.as_socket()) {
                actual = bound;
            }
            own.push(OwnedFd::from(socket));
        }
        addresses.push(actual);
    }
    Ok((addresses, listeners))
}

/// Fails when anybody listens there. With `SO_REUSEPORT` alone a second gateway of the same user would start without a
/// word and take half of the connections.
fn claim(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        let _ = socket.set_only_v6(false);
    }
    socket.bind(&address.into())
}

fn bind(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // `[::]` serves IPv4 clients too where the host lets it.
        let _ = socket.set_only_v6(false);
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}
