//! A scripted upstream: plain blocking sockets, every request recorded byte for byte, every fault at will.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::message::{Framing, Inbox, Request};
use super::{PATIENCE, eventually};

/// What to do with the connection after a request was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Keep,
    Close,
}

pub trait Transport: Read + Write + Send {}
impl<T: Read + Write + Send> Transport for T {}

/// One connection from the gateway, in the hands of a script.
pub struct Conn {
    tcp: TcpStream,
    inbox: Inbox<Box<dyn Transport>>,
    out: Option<Box<dyn Transport>>,
    pub number: usize,
    shared: Arc<Shared>,
}

impl Conn {
    /// Sends; a gateway that has left is noted, not an error.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = match &mut self.out {
            Some(out) => out.write_all(bytes.as_ref()).and_then(|()| out.flush()),
            None => self.tcp.write_all(bytes.as_ref()),
        };
        if sent.is_err() {
            self.note_closed();
        }
        sent.is_ok()
    }

    /// Sends one byte at a time, each as a segment of its own.
    pub fn send_slowly(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> bool {
        bytes.as_ref().chunks(1).all(|byte| {
            thread::sleep(pause);
            self.send(byte)
        })
    }

    /// Waits until the gateway closes its side, and notes when.
    pub fn wait_closed(&mut self) {
        while !self.shared.stopping.load(Ordering::SeqCst) {
            match self.inbox.fill() {
                Ok(0) => return self.note_closed(),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(_) => return self.note_closed(),
            }
        }
    }

    /// Whatever of the request has not been read, e.g. when the script reads the body itself.
    pub fn read_some(&mut self) -> io::Result<usize> {
        if self.inbox.pending.is_empty() {
            self.inbox.fill()?;
        }
        Ok(std::mem::take(&mut self.inbox.pending).len())
    }

    pub fn reset(&mut self) {
        socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }

    pub fn half_close(&mut self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    fn note_closed(&self) {
        self.shared.closed.lock().unwrap().push((self.number, Instant::now()));
    }

    fn next_request(&mut self, body_too: bool) -> io::Result<Option<Request>> {
        let Some(head) = self.inbox.head()? else { return Ok(None) };
        let framing = head.framing(Framing::None)?;
        if head.field("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let (body, trailers) = if body_too { self.inbox.body(framing)? } else { (Vec::new(), Vec::new()) };
        let (raw_head, line, fields) = (head.raw, head.line, head.fields);
        Ok(Some(Request { connection: self.number, raw_head, line, fields, body, trailers }))
    }
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    closed: Mutex<Vec<(usize, Instant)>>,
    faults: Mutex<Vec<String>>,
    /// Of the open connections.
    sockets: Mutex<HashMap<usize, TcpStream>>,
}

pub struct Upstream {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

type Script = Arc<dyn Fn(&mut Conn, &Request) -> After + Send + Sync>;

impl Upstream {
    /// Every request, with its whole body, goes to `script`.
    pub fn start(script: impl Fn(&mut Conn, &Request) -> After + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", true, Arc::new(script))
    }

    /// As [`Upstream::start`], but the body is left unread.
    pub fn start_heads_only(script: impl Fn(&mut Conn, &Request) -> After + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", false, Arc::new(script))
    }

    /// The same bytes for every request.
    pub fn answering(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::start(move |conn, _| {
            conn.send(&reply);
            After::Keep
        })
    }

    /// On an address of the caller's choice.
    pub fn start_at(addr: &str, script: impl Fn(&mut Conn, &Request) -> After + Send + Sync + 'static) -> Self {
        Self::start_on(addr, true, Arc::new(script))
    }

    fn start_on(addr: &str, body_too: bool, script: Script) -> Self {
        let listener = TcpListener::bind(addr).expect("a port for the upstream");
        Self::serve(&listener, move |tcp, number, shared| {
            let reading: Box<dyn Transport> = Box::new(tcp.try_clone().unwrap());
            let conn = Conn { tcp, inbox: Inbox::new(reading), out: None, number, shared };
            converse(conn, body_too, &script);
        })
    }

    /// Accepts on a thread; each connection gets one of its own.
    fn serve(listener: &TcpListener, converse: impl Fn(TcpStream, usize, Arc<Shared>) + Send + Sync + 'static) -> Self {
        let addr = listener.local_addr().unwrap();
        let listener = listener.try_clone().unwrap();
        let shared = Arc::new(Shared::default());
        let (state, converse) = (Arc::clone(&shared), Arc::new(converse));
        thread::spawn(move || {
            while let Ok((tcp, _)) = listener.accept() {
                if state.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let number = state.connections.fetch_add(1, Ordering::SeqCst);
                state.open.fetch_add(1, Ordering::SeqCst);
                tcp.set_nodelay(true).unwrap();
                state.sockets.lock().unwrap().insert(number, tcp.try_clone().unwrap());
                let (state, converse) = (Arc::clone(&state), Arc::clone(&converse));
                thread::spawn(move || {
                    converse(tcp, number, Arc::clone(&state));
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { addr, shared }
    }

    /// As [`Upstream::start`], behind a wrapper of the socket such as TLS. A connection whose wrapper fails is closed.
    pub fn start_wrapped(
        wrap: impl Fn(TcpStream) -> io::Result<Box<dyn Transport>> + Send + Sync + 'static,
        script: impl Fn(&mut Conn, &Request) -> After + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the upstream");
        let script: Script = Arc::new(script);
        Self::serve(&listener, move |tcp, number, shared| {
            let Ok(wrapped) = wrap(tcp.try_clone().unwrap()) else { return };
            let both = Arc::new(Mutex::new(wrapped));
            let (reading, out) = (Box::new(Half(Arc::clone(&both))), Box::new(Half(both)));
            converse(Conn { tcp, inbox: Inbox::new(reading), out: Some(out), number, shared }, true, &script);
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The only request that came.
    #[track_caller]
    pub fn only_request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "one request: {requests:?}");
        requests.into_iter().next().unwrap()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that neither side has closed.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        eventually(&format!("{count} requests at the upstream"), || {
            self.shared.requests.lock().unwrap().len() >= count
        });
    }

    /// When the gateway closed a connection in the middle of a script; waits for it.
    #[track_caller]
    pub fn wait_for_close(&self) -> Instant {
        eventually("the gateway closes its connection to the upstream", || {
            !self.shared.closed.lock().unwrap().is_empty()
        });
        self.shared.closed.lock().unwrap()[0].1
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
        // A stopped upstream answers nobody, kept connections included.
        for (_, socket) in self.shared.sockets.lock().unwrap().drain() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let faults = self.shared.faults.lock().unwrap();
        if !thread::panicking() {
            assert!(faults.is_empty(), "what the gateway sent was not valid HTTP: {faults:?}");
        }
    }
}

fn converse(mut conn: Conn, body_too: bool, script: &Script) {
    exchange(&mut conn, body_too, script);
    // The last descriptor but the one in `conn`: dropping that closes the connection.
    conn.shared.sockets.lock().unwrap().remove(&conn.number);
}

fn exchange(conn: &mut Conn, body_too: bool, script: &Script) {
    // Short, so that a waiting script notices the end of its test.
    conn.tcp.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    loop {
        conn.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = match conn.next_request(body_too) {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    conn.shared.faults.lock().unwrap().push(error.to_string());
                }
                return conn.note_closed();
            }
        };
        conn.tcp.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        conn.shared.requests.lock().unwrap().push(request.clone());
        if script(conn, &request) == After::Close {
            return;
        }
    }
}

/// Reading and writing half of something that can't be cloned. The script is one thread, so the lock is never contended.
struct Half(Arc<Mutex<Box<dyn Transport>>>);

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap().read(buffer)
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

/// A listener whose queue is full: a connection attempt hangs, as it does with a host that drops packets.
pub struct Deaf {
    pub addr: SocketAddr,
    _listener: socket2::Socket,
    _fillers: Vec<TcpStream>,
}

impl Deaf {
    pub fn start() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let mut fillers = Vec::new();
        // Linux queues one more than the backlog says; connect until one attempt hangs.
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            fillers.push(stream);
            assert!(fillers.len() < 16, "the queue never fills");
        }
        Self { addr, _listener: listener, _fillers: fillers }
    }
}
