//! The listening half of the demo server: one thread a connection, and a bound on how many.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::http::{Reader, Wire};
use super::pace::Pace;
use super::{ollama, openai};

/// Connections served at once; a further one is told 503. Each costs a thread.
const CONNECTIONS_MAX: usize = 256;
/// A kept connection without a request is closed after this.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A client that does not read is given up after this.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// A running server; dropping it closes the listener. Answers under way run to their end.
#[derive(Debug)]
pub struct ServerHandle {
    pub addr: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    stopping: AtomicBool,
    connections: AtomicUsize,
    answering: AtomicUsize,
}

impl ServerHandle {
    /// Requests being answered now: zero soon after a client has left.
    #[must_use]
    pub fn answering(&self) -> usize {
        self.state.answering.load(Ordering::SeqCst)
    }

    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr)); // wakes the accepting thread
    }
}

/// Starts the demo server on `addr` (port 0 takes a free one) and returns once it listens.
///
/// # Errors
/// When the address can't be bound or no thread can be started.
pub fn start_server(addr: SocketAddr, pace: Pace) -> io::Result<ServerHandle> {
    let listener = TcpListener::bind(addr)?;
    let handle = ServerHandle { addr: listener.local_addr()?, state: Arc::default() };
    let state = Arc::clone(&handle.state);
    thread::Builder::new().name("demo-accept".into()).spawn(move || accept(&listener, &state, pace))?;
    Ok(handle)
}

fn accept(listener: &TcpListener, state: &Arc<State>, pace: Pace) {
    while let Ok((stream, _)) = listener.accept() {
        if state.stopping.load(Ordering::SeqCst) {
            return;
        }
        let guard = Count::new(state, |state| &state.connections);
        let full = state.connections.load(Ordering::SeqCst) > CONNECTIONS_MAX;
        let work = move || {
            // A connection that fails is the client's business; there is nobody to tell.
            let _ = if full { refuse(stream) } else { converse(stream, &guard.state, pace) };
        };
        // Without a thread the closure is dropped, and with it the connection: the client sees it closed.
        let _ = thread::Builder::new().name("demo-connection".into()).stack_size(256 * 1024).spawn(work);
    }
}

fn refuse(stream: TcpStream) -> io::Result<()> {
    Wire::new(stream).whole(503, "text/plain", "too many connections")
}

fn converse(stream: TcpStream, state: &Arc<State>, pace: Pace) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(WRITE_MAX))?;
    let mut wire = Wire::new(stream.try_clone()?);
    let mut reader = Reader::new(stream);
    while let Some(request) = reader.next(&mut wire)? {
        let _answering = Count::new(state, |state| &state.answering);
        wire.answer_to(&request);
        let (method, path) = (request.method.as_str(), request.path.as_str());
        if path.starts_with("/v1/") {
            openai::serve(method, path, &request.body, &mut wire, pace)?;
        } else {
            ollama::serve(method, path, &request.body, &mut wire, pace)?;
        }
        if !wire.keeps_alive() {
            break;
        }
    }
    Ok(())
}

/// One in a counter for as long as it lives.
struct Count {
    state: Arc<State>,
    cell: fn(&State) -> &AtomicUsize,
}

impl Count {
    fn new(state: &Arc<State>, cell: fn(&State) -> &AtomicUsize) -> Self {
        cell(state).fetch_add(1, Ordering::SeqCst);
        Self { state: Arc::clone(state), cell }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        (self.cell)(&self.state).fetch_sub(1, Ordering::SeqCst);
    }
}
