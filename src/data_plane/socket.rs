//! A TCP socket of this core: readiness comes from the ring (or from epoll), bytes move by plain calls that never
//! block.
//!
//! Asking for readiness and then reading straight into the core's own buffer keeps no buffer for a connection that
//! waits, and leaves nothing behind when a wait is given up.

use std::{
    cell::RefCell,
    collections::HashSet,
    future::Future,
    io::{self, ErrorKind, IoSlice},
    mem::MaybeUninit,
    net::{SocketAddr, TcpStream as StdTcpStream},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    pin::Pin,
    task::{Context, Poll},
};

use monoio::net::TcpStream;
use pin_project_lite::pin_project;
use socket2::{Domain, MsgHdr, Protocol, SockAddr, SockRef, Type};

/// What a look at a connection that should be silent shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Quiet,
    Data,
    Gone,
}

thread_local! {
    /// Connections of this core, for the day it dies: its tasks will then never run again and nobody else would close
    /// them.
    static OPEN: RefCell<HashSet<RawFd>> = RefCell::default();
}

/// Ends all connections of a core that died, on its thread.
pub fn shut_down_all() {
    for fd in OPEN.with(RefCell::take) {
        // SAFETY: a plain system call; the descriptors are open, since what owned them was leaked.
        unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
    }
}

pub struct Socket {
    /// In a box: the driver's type is large, and sockets are moved along the path.
    stream: Box<TcpStream>,
    /// It is in [`OPEN`].
    counted: bool,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.counted {
            // The thread's own data may be gone already when the thread ends; then nobody asks any more.
            let _ = OPEN.try_with(|open| open.try_borrow_mut().map(|mut open| open.remove(&self.fd())));
        }
    }
}

impl Socket {
    /// Takes over an open connection. It is made non-blocking, which both drivers can live with since they are only
    /// asked for readiness.
    ///
    /// # Errors
    /// When the driver cannot register it.
    pub fn adopt(fd: OwnedFd, peer: SocketAddr) -> io::Result<Self> {
        let mut socket = Self::adopt_descriptor(fd)?;
        socket.counted = true;
        OPEN.with(|open| open.borrow_mut().insert(socket.fd()));
        // Small events must leave at once; failure costs only speed.
        let _ = socket.sock().set_tcp_nodelay(true);
        if peer.ip().to_canonical().is_loopback() {
            // There is no bottleneck to find inside a machine. Where BBR is the default its pacing costs a twelfth of a
            // request, so the plainest congestion control is asked for, which every kernel has.
            let _ = socket.sock().set_tcp_congestion(b"reno");
        }
        Ok(socket)
    }

    /// Starts to connect; [`Self::writable`] and then [`Self::connected`] tell the end.
    ///
    /// # Errors
    /// What `connect` says at once: no route, no descriptor, refused.
    pub fn start_connect(address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        match socket.connect(&SockAddr::from(address)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Self::adopt(OwnedFd::from(socket), address)
    }

    /// How a connect that was started has ended, once the socket is writable.
    ///
    /// # Errors
    /// Why it failed.
    pub fn connected(&self) -> io::Result<()> {
        match self.sock().take_error()? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn sock(&self) -> SockRef<'_> {
        SockRef::from(self)
    }

    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Ready when a read would not block. Consumes nothing; may be dropped at any time.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.stream.readable(false)
    }

    /// Ready when a write would not block. Consumes nothing; may be dropped at any time.
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.stream.writable(false)
    }

    /// Reads into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // SAFETY: `buffer` is valid for writes of its length for the duration of the call.
            match unsafe { recv(self.fd(), buffer.as_mut_ptr(), buffer.len()) } {
                Ok(n) => return Ok(n),
                Err(_) => retry_if_interrupted()?,
            }
        }
    }

    /// Appends what is there to `buffer`, up to `room` bytes; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn recv_append(&self, buffer: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        debug_assert!(room > 0, "a read into no room looks like the end of the stream");
        buffer.reserve(room);
        let start = buffer.len();
        loop {
            let spare = &mut buffer.spare_capacity_mut()[..room];
            // SAFETY: `spare` is owned, allocated and `room` bytes long; the kernel writes at most that.
            match unsafe { recv(self.fd(), spare.as_mut_ptr().cast(), room) } {
                Ok(n) => {
                    // SAFETY: the kernel has written the first `n` bytes of the spare capacity.
                    unsafe { buffer.set_len(start + n) };
                    return Ok(n);
                }
                Err(_) => retry_if_interrupted()?,
            }
        }
    }

    /// Sends as much as the socket takes.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing, else why the connection is lost. Never a signal.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            // SAFETY: `bytes` is valid for reads of its length for the duration of the call.
            match unsafe { send(self.fd(), bytes.as_ptr(), bytes.len()) } {
                Ok(n) => return Ok(n),
                Err(_) => retry_if_interrupted()?,
            }
        }
    }

    /// Sends as much of all slices as the socket takes, in one call.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [only] = slices {
            return self.send(only);
        }
        let header = MsgHdr::new().with_buffers(slices);
        loop {
            match self.sock().sendmsg(&header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// A listener stops to be one, for everybody who holds it.
    pub fn stop_listening(&self) {
        let _ = self.sock().shutdown(std::net::Shutdown::Both);
    }

    /// What waits on the connection, without taking it.
    #[must_use]
    pub fn look(&self) -> Look {
        let mut byte = [MaybeUninit::uninit(); 1];
        match self.sock().recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
            Ok(0) => Look::Gone,
            Ok(_) => Look::Data,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Look::Quiet,
            Err(_) => Look::Gone,
        }
    }

    /// Tells the peer that nothing more will come.
    pub fn finish_writing(&self) {
        let _ = self.sock().shutdown(std::net::Shutdown::Write);
    }

    /// Closes so that the peer learns at once that the rest is missing: a reset, not an ordinary end.
    pub fn reset_on_close(&self) {
        let _ = self.sock().set_linger(Some(std::time::Duration::ZERO));
    }
}

/// `recv(2)` without blocking; `Err`: `errno` says why. The C library's own wrapper is a cancellation point, which costs
/// two locked instructions a call in a program with threads; nobody cancels threads here.
///
/// # Safety
/// `room` bytes from `into` on are valid for writes.
unsafe fn recv(fd: RawFd, into: *mut u8, room: usize) -> Result<usize, std::num::TryFromIntError> {
    let nobody = std::ptr::null::<libc::c_void>();
    // SAFETY: what the caller promised; the last two arguments say that the sender's address is not wanted.
    usize::try_from(unsafe { libc::syscall(libc::SYS_recvfrom, fd, into, room, libc::MSG_DONTWAIT, nobody, nobody) })
}

/// `send(2)` without blocking and without a signal, as [`recv`].
///
/// # Safety
/// `len` bytes from `from` on are valid for reads.
unsafe fn send(fd: RawFd, from: *const u8, len: usize) -> Result<usize, std::num::TryFromIntError> {
    const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let nobody = std::ptr::null::<libc::c_void>();
    // SAFETY: what the caller promised; the connection knows its peer.
    usize::try_from(unsafe { libc::syscall(libc::SYS_sendto, fd, from, len, FLAGS, nobody, 0_usize) })
}

fn retry_if_interrupted() -> io::Result<()> {
    let error = io::Error::last_os_error();
    if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor stays open as long as `self`, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.fd()) }
    }
}

/// A listening socket, asked for readiness like any other.
pub struct Acceptor {
    socket: Socket,
}

impl Socket {
    /// Any descriptor that can become readable: the driver needs a stream type to ask, and asks the kernel only about
    /// readiness.
    ///
    /// # Errors
    /// When the driver cannot register it.
    pub fn adopt_descriptor(fd: OwnedFd) -> io::Result<Self> {
        let stream = StdTcpStream::from(fd);
        stream.set_nonblocking(true)?;
        Ok(Self { stream: Box::new(TcpStream::from_std(stream)?), counted: false })
    }
}

impl Acceptor {
    /// # Errors
    /// When the driver cannot register it.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: Socket::adopt_descriptor(fd)? })
    }

    pub fn readable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.socket.readable()
    }

    /// Nobody is greeted any more, through whichever descriptor.
    pub fn close(&self) {
        self.socket.stop_listening();
    }

    /// One waiting connection.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; what else `accept` says.
    pub fn accept(&self) -> io::Result<(OwnedFd, SocketAddr)> {
        let (socket, address) = self.socket.sock().accept()?;
        let address = address.as_socket().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        Ok((OwnedFd::from(socket), address))
    }
}

/// A question for readiness that can be asked again and again without a new allocation.
pub trait Readiness {
    /// Ready once for each time the socket is found ready; the next poll asks anew.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

pin_project! {
    /// [`Readiness`] made of a function that starts the question.
    pub struct Armed<M, F> {
        ask: M,
        #[pin]
        pending: Option<F>,
    }
}

impl<M: Fn() -> F, F: Future<Output = io::Result<()>>> Armed<M, F> {
    pub fn new(ask: M) -> Self {
        Self { ask, pending: None }
    }
}

impl<M: Fn() -> F, F: Future<Output = io::Result<()>>> Readiness for Armed<M, F> {
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if this.pending.is_none() {
            let question = (this.ask)();
            this.pending.set(Some(question));
        }
        let polled = match this.pending.as_mut().as_pin_mut() {
            Some(question) => question.poll(cx),
            None => Poll::Ready(Ok(())),
        };
        if polled.is_ready() {
            this.pending.set(None);
        }
        polled
    }
}

/// One answer of a question that is asked again and again.
pub async fn ready(mut question: Pin<&mut (impl Readiness + ?Sized)>) -> io::Result<()> {
    std::future::poll_fn(|cx| question.as_mut().poll_ready(cx)).await
}
