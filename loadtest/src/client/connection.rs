//! One client connection: its socket and where its request stands. Decisions are the engine's.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::lateness::Arrivals;
use super::reply::Reply;
use crate::script::text::NONCE_BYTES;
use crate::sys::{Interest, Poller};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No request; there may be a connection.
    Idle,
    /// The connection is being made.
    Connecting,
    /// The request is being sent.
    Sending,
    /// The reply is awaited or being read.
    Reading,
    /// A stream that is kept open after its first event.
    Held,
}

/// A place for a connection.
#[derive(Debug)]
pub struct Connection {
    socket: Option<TcpStream>,
    /// Where the request stands.
    pub state: State,
    watched: Interest,
    /// The request's bytes.
    pub out: Vec<u8>,
    out_at: usize,
    /// The reply.
    pub reply: Reply,
    /// Which kind of request it is.
    pub kind: usize,
    /// Its nonce.
    pub nonce: [u8; NONCE_BYTES],
    /// When it should have begun, in the engine's nanoseconds.
    pub intended: u64,
    /// When its first visible event came.
    pub first_event: Option<u64>,
    /// When the events of a paced stream came.
    pub arrivals: Arrivals,
    /// Bytes of the answer came, since the drain began if it has.
    pub progressed: bool,
    /// When the last request ended.
    pub idle_since: u64,
    /// The connection had been idle so long before this request that the server may have closed it as idle.
    pub may_be_stale: bool,
    /// Requests that this connection has served.
    pub served: u32,
    /// It was sent before on a connection that turned out closed.
    pub resent: bool,
    /// Leave after so many events.
    pub abandon_after: Option<u32>,
    /// A slow reader may not read before.
    pub may_read_at: u64,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            socket: None,
            state: State::Idle,
            watched: Interest::Nothing,
            out: Vec::new(),
            out_at: 0,
            reply: Reply::default(),
            kind: 0,
            nonce: [b'0'; NONCE_BYTES],
            intended: 0,
            first_event: None,
            arrivals: Arrivals::default(),
            progressed: false,
            idle_since: 0,
            may_be_stale: false,
            served: 0,
            resent: false,
            abandon_after: None,
            may_read_at: 0,
        }
    }
}

impl Connection {
    /// Whether there is a connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Begins to connect from `source` and watches for the result.
    ///
    /// # Errors
    /// When no socket or port is to be had, or the refusal comes at once.
    pub fn connect(
        &mut self,
        target: SocketAddr,
        source: Option<IpAddr>,
        receive_bytes: Option<usize>,
        poller: &Poller,
        token: u64,
    ) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = source {
            crate::sys::choose_port_late(socket.as_raw_fd());
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let stream: TcpStream = socket.into();
        poller.add(stream.as_raw_fd(), token, Interest::ReadWrite)?;
        self.watched = Interest::ReadWrite;
        self.socket = Some(stream);
        self.state = State::Connecting;
        self.served = 0;
        Ok(())
    }

    /// What became of the attempt to connect.
    ///
    /// # Errors
    /// The refusal.
    pub fn connected(&self) -> io::Result<()> {
        match self.socket.as_ref().map(TcpStream::take_error) {
            Some(Ok(None)) => Ok(()),
            Some(Ok(Some(error)) | Err(error)) => Err(error),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The request in `out` is new: send it from its start.
    pub fn rewind(&mut self) {
        self.out_at = 0;
    }

    /// Sends what the socket takes; true when all is sent.
    ///
    /// # Errors
    /// What the socket says, but not that it is full.
    pub fn send(&mut self) -> io::Result<bool> {
        let Some(socket) = &mut self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        while self.out_at < self.out.len() {
            match socket.write(&self.out[self.out_at..]) {
                Ok(count) => self.out_at += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads once; `None` when nothing is there.
    ///
    /// # Errors
    /// What the socket says.
    pub fn receive(&mut self, scratch: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(socket) = &mut self.socket else { return Ok(None) };
        match socket.read(scratch) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes what the poller watches, if it is not that already.
    ///
    /// # Errors
    /// What epoll says.
    pub fn watch(&mut self, wanted: Interest, poller: &Poller, token: u64) -> io::Result<()> {
        if let Some(socket) = &self.socket
            && wanted != self.watched
        {
            poller.modify(socket.as_raw_fd(), token, wanted)?;
            self.watched = wanted;
        }
        Ok(())
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.socket = None;
        self.state = State::Idle;
    }
}
