//! Where a mock server's counters are read: in this process, or over HTTP from one that runs elsewhere.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::stats::Stats;
use crate::wire::head::parse_reply;

/// How long another process may take to tell its counters: it is asked beside the measurement, not for its sake.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// The counters are a few hundred bytes; what is longer is something else.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// What a mock server has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Counts {
    /// Chat requests read.
    pub requests: u64,
    /// Answers sent whole.
    pub completed: u64,
    /// Answers that the other side did not wait for.
    pub aborted: u64,
}

/// The counters of the mock server that is behind a proxy.
#[derive(Clone, Debug)]
pub enum Counters {
    /// The mock server of this process.
    Own(Arc<Stats>),
    /// A `loadtest upstream` at this address.
    Remote(Arc<Remote>),
}

/// A mock server in another process, perhaps on another machine.
#[derive(Debug)]
pub struct Remote {
    address: SocketAddr,
    /// It was said that its counters cannot be read.
    said: AtomicBool,
}

impl Counters {
    /// Those of the mock server at this address.
    #[must_use]
    pub fn remote(address: SocketAddr) -> Self {
        Counters::Remote(Arc::new(Remote { address, said: AtomicBool::new(false) }))
    }

    /// What they say now; `None` when they cannot be read, which is said once on standard error.
    #[must_use]
    pub fn read(&self) -> Option<Counts> {
        match self {
            Counters::Own(stats) => Some(Counts {
                requests: stats.requests.load(Ordering::Relaxed),
                completed: stats.completed.load(Ordering::Relaxed),
                aborted: stats.aborted.load(Ordering::Relaxed),
            }),
            Counters::Remote(remote) => remote.read(),
        }
    }
}

impl Remote {
    fn read(&self) -> Option<Counts> {
        let error = match ask(self.address) {
            Ok(counts) => return Some(counts),
            Err(error) => error,
        };
        if !self.said.swap(true, Ordering::Relaxed) {
            let _ = writeln!(
                io::stderr(),
                "loadtest: --upstream {}: its counters cannot be read, what reaches it is not measured: {error}",
                self.address
            );
        }
        None
    }
}

fn ask(address: SocketAddr) -> io::Result<Counts> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET /loadtest/stats HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let (mut bytes, mut part) = (Vec::new(), [0; 1024]);
    loop {
        // One limit for the whole answer: a server that sends a byte now and then must not hold up the run.
        let left = ANSWER_MAX.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?))?;
        match stream.read(&mut part)? {
            0 => return parse(&bytes).ok_or_else(|| io::Error::other("it is no `loadtest upstream`")),
            count => bytes.extend_from_slice(&part[..count]),
        }
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Err(io::Error::other("it is no `loadtest upstream`"));
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Counts> {
    let (head, length) = parse_reply(bytes).ok()??;
    if head.status == 200 { serde_json::from_slice(&bytes[length..]).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Mock, Settings};
    use std::net::TcpListener;

    #[test]
    fn another_process_is_asked_over_http() {
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            fallback: "mock-json".into(),
            turn: 1,
            core: None,
            outage: None,
        };
        let mock = Mock::start(&settings).unwrap();
        let remote = Counters::remote(mock.address);
        assert_eq!(remote.read(), Some(Counts::default()));
        let mut stream = TcpStream::connect(mock.address).unwrap();
        let body = r#"{"model":"mock-json"}"#;
        let length = body.len();
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(remote.read(), Some(Counts { requests: 1, completed: 1, aborted: 0 }));
        assert_eq!(Counters::Own(mock.stats.clone()).read(), remote.read());
    }

    #[test]
    fn what_is_no_mock_server_has_no_counters() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for answer in
                ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n{}", "SSH-2.0"]
            {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
            // The last one says nothing.
            let (stream, _) = listener.accept().unwrap();
            std::thread::sleep(ANSWER_MAX * 2);
            drop(stream);
        });
        let remote = Counters::remote(address);
        for _ in 0..3 {
            assert_eq!(remote.read(), None);
        }
        let begun = Instant::now();
        assert_eq!(remote.read(), None);
        assert!(begun.elapsed() < ANSWER_MAX + Duration::from_millis(700), "{:?}", begun.elapsed());
        server.join().unwrap();
        assert_eq!(remote.read(), None, "nobody listens any more");
    }
}
