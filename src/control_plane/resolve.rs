//! Names to addresses, away from the workers: the system's resolver blocks for as long as it likes.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// Names are asked for again after this long: the system's resolver does not tell how long an answer holds.
const REFRESH: Duration = Duration::from_secs(30);
/// While there is no answer, or an upstream could not be reached.
const RETRY: Duration = Duration::from_secs(1);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// What a name stands for now.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Resolved {
    pub addresses: Vec<SocketAddr>,
    /// Why there are none.
    pub failure: Option<String>,
}

/// An address written as such needs no resolver.
#[must_use]
pub fn literal(host: &str, port: u16) -> Option<Resolved> {
    let address: IpAddr = host.parse().ok()?;
    Some(Resolved { addresses: vec![SocketAddr::new(address, port)], failure: None })
}

/// Asks the system. Blocks.
#[must_use]
pub fn ask(host: &str, port: u16) -> Resolved {
    if let Some(resolved) = literal(host, port) {
        return resolved;
    }
    match (host, port).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found {
                if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
                    addresses.push(address);
                }
            }
            // A name server that turns its answer round every time names the same servers; which family goes first is
            // the system's choice.
            let v4_first = addresses.first().is_some_and(SocketAddr::is_ipv4);
            addresses.sort_by_key(|address| (address.is_ipv4() != v4_first, *address));
            let failure = addresses.is_empty().then(|| "the name has no address".to_owned());
            Resolved { addresses, failure }
        }
        Err(error) => Resolved { addresses: Vec::new(), failure: Some(error.to_string()) },
    }
}

/// A host and its port.
pub type Name = (String, u16);

/// Runs the resolver's thread: names come from `names`, `tell` gets the answers and says whether anybody still listens.
///
/// # Errors
/// When no thread is to be had.
pub fn start(
    wanted: Arc<AtomicBool>,
    names: Receiver<Name>,
    tell: impl Fn(Name, Resolved) -> bool + Send + 'static,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("resolve".to_owned()).spawn(move || watch(&wanted, &names, &tell)).map(drop)
}

fn watch(wanted: &AtomicBool, names: &Receiver<Name>, tell: &dyn Fn(Name, Resolved) -> bool) {
    let Ok(mut name) = names.recv() else { return };
    loop {
        let resolved = ask(&name.0, name.1);
        let good = resolved.failure.is_none();
        let fixed = literal(&name.0, name.1).is_some();
        wanted.store(false, Relaxed);
        if !tell(name.clone(), resolved) {
            return;
        }
        let asked = Instant::now();
        // Nothing about a literal address can change: sleep until there is another name.
        let pause = if fixed { Duration::from_secs(86_400) } else { RETRY };
        loop {
            match names.recv_timeout(pause) {
                Ok(other) => {
                    name = other;
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if fixed => {}
                Err(RecvTimeoutError::Timeout) => {
                    if !good || wanted.load(Relaxed) || asked.elapsed() >= REFRESH {
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_localhost() {
        assert_eq!(literal("127.0.0.1", 80).unwrap().addresses.len(), 1);
        assert_eq!(literal("::1", 80).unwrap().addresses[0].to_string(), "[::1]:80");
        assert!(literal("localhost", 80).is_none());
        assert!(ask("localhost", 11434).addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(ask("does-not-exist.invalid", 1).failure.is_some());
    }
}
