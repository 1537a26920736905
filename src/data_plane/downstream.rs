//! The client's side of a connection: what it sends, what it is sent, and whether it is still there.
//!
//! One question for readability is open all the time an answer is awaited or streamed. It notices at once when the
//! client leaves, it takes in pipelined requests (bounded), and it is the same question that then waits for the next
//! request: watching costs nothing extra.

use std::{
    future::Future,
    io::{ErrorKind, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll},
};

pub use super::guard::Interrupt;
use super::{
    core::Core,
    deadline::{self, Ended, Timer},
    guard::Guard,
    input::Input,
    socket::{Readiness, Socket},
};
use crate::base::metric::Metric;

/// Slices in one call; past it they are copied together. Far below the kernel's 1,024.
const SLICES_MAX: usize = 64;

/// The connection can carry nothing more to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl From<Gone> for Interrupt {
    fn from(_: Gone) -> Self {
        Interrupt::ClientGone
    }
}

pub struct Downstream<'a> {
    pub core: &'a Core,
    socket: &'a Socket,
    arrival: Pin<&'a mut dyn Readiness>,
    pub timer: Timer,
    pub input: Input,
    /// Accepted for the client and not yet taken by its socket; `unsent_from` on.
    unsent: Vec<u8>,
    unsent_from: usize,
    pub peer: SocketAddr,
    /// Everything that was read and written on this connection.
    pub received: u64,
    pub sent: u64,
}

impl Guard for Downstream<'_> {
    fn core(&self) -> &Core {
        self.core
    }

    fn timer(&self) -> &Timer {
        &self.timer
    }

    async fn until<T>(&mut self, event: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Result<T, Interrupt> {
        Downstream::until(self, event).await
    }
}

impl<'a> Downstream<'a> {
    #[must_use]
    pub fn new(core: &'a Core, socket: &'a Socket, arrival: Pin<&'a mut dyn Readiness>, peer: SocketAddr) -> Self {
        let timer = core.deadlines.timer();
        Self {
            core,
            socket,
            arrival,
            timer,
            input: Input::default(),
            unsent: Vec::new(),
            unsent_from: 0,
            peer,
            received: 0,
            sent: 0,
        }
    }

    /// Takes in what the client sent. Ready with a count when something came, with `Gone` at the end.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        loop {
            if self.input.is_full() {
                return Poll::Pending;
            }
            match self.arrival.as_mut().poll_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone)),
                Poll::Ready(Ok(())) => {}
            }
            match self.input.fill(self.socket, &self.core.buffers) {
                Ok(0) => return Poll::Ready(Err(Gone)),
                Ok(n) => {
                    self.received += n as u64;
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(Err(Gone)),
            }
        }
    }

    /// Waits for more from the client.
    ///
    /// # Errors
    /// It left, or the timer's moment came.
    pub async fn arrival(&mut self) -> Result<(), Interrupt> {
        let mut never = pin!(std::future::pending::<()>());
        match self.until_or_arrival(never.as_mut()).await? {
            Some(()) | None => Ok(()),
        }
    }

    /// Waits for `event` while watching the client.
    ///
    /// # Errors
    /// The client left, or the timer's moment came; `event` may then be dropped.
    pub async fn until<T>(&mut self, mut event: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Result<T, Interrupt> {
        loop {
            if let Some(value) = self.until_or_arrival(event.as_mut()).await? {
                return Ok(value);
            }
        }
    }

    /// Waits for `event` (`Some`) or for more from the client (`None`).
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn until_or_arrival<T>(
        &mut self,
        event: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    ) -> Result<Option<T>, Interrupt> {
        // The closure needs all of `self` but the timer, which therefore steps aside for the length of the wait.
        let timer = self.timer.handle();
        let ended = deadline::until_watched(&timer, event, |cx| self.poll_arrival(cx)).await;
        match ended {
            Ended::Event(value) => Ok(Some(value)),
            Ended::Watch(Ok(_)) => Ok(None),
            Ended::Watch(Err(Gone)) => Err(Interrupt::ClientGone),
            Ended::Due => Err(Interrupt::due(self.core)),
        }
    }

    /// Sends what the socket takes now; the rest is kept for [`Self::flush`], which has to follow if
    /// [`Self::is_behind`], before anything else is pushed.
    ///
    /// # Errors
    /// The client is gone.
    pub fn push(&mut self, slices: &mut [IoSlice<'_>]) -> Result<(), Gone> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total == 0 {
            return Ok(());
        }
        self.sent += total as u64;
        if self.is_behind() || slices.len() > SLICES_MAX {
            self.keep(slices, 0);
            return if self.unsent.len() == total { self.push_unsent().map(drop) } else { Ok(()) };
        }
        match self.socket.send_vectored(slices) {
            Ok(n) if n == total => Ok(()),
            Ok(n) => {
                self.keep(slices, n);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.keep(slices, 0);
                Ok(())
            }
            Err(_) => Err(Gone),
        }
    }

    fn keep(&mut self, slices: &[IoSlice<'_>], mut skip: usize) {
        if self.unsent.capacity() == 0 {
            self.unsent = self.core.buffers.take();
        }
        for slice in slices {
            let from = skip.min(slice.len());
            self.unsent.extend_from_slice(&slice[from..]);
            skip -= from;
        }
    }

    /// Something accepted still waits for the socket.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// `Ok(true)`: nothing waits any more.
    fn push_unsent(&mut self) -> Result<bool, Gone> {
        match self.socket.send(&self.unsent[self.unsent_from..]) {
            Ok(n) => self.unsent_from += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Gone),
        }
        if self.unsent_from < self.unsent.len() {
            return Ok(false);
        }
        self.unsent_from = 0;
        self.core.buffers.give(std::mem::take(&mut self.unsent));
        Ok(true)
    }

    /// Waits until the client has taken everything.
    ///
    /// # Errors
    /// The client left, or the timer's moment came.
    pub async fn flush(&mut self) -> Result<(), Interrupt> {
        // In a box of its own: a client that is behind is rare, and every connection would pay for the size of this wait.
        if self.is_behind() { Box::pin(self.catch_up()).await } else { Ok(()) }
    }

    async fn catch_up(&mut self) -> Result<(), Interrupt> {
        while self.is_behind() {
            let socket = self.socket;
            let mut writable = pin!(socket.writable());
            self.until(writable.as_mut()).await?.map_err(|_| Interrupt::ClientGone)?;
            self.push_unsent()?;
        }
        Ok(())
    }

    /// Ends the connection so that a client that is still sending can read the answer: nothing more is written, what
    /// comes is thrown away for a bounded time and amount, then the socket closes. Closing at once would reset the
    /// connection and could destroy the answer on its way.
    pub async fn linger(&mut self) {
        const LINGER_US: u64 = 1_000_000;
        const LINGER_BYTES_MAX: u64 = 1024 * 1024;
        self.socket.finish_writing();
        self.timer.set(self.core.clock.now() + LINGER_US);
        let end = self.received + LINGER_BYTES_MAX;
        while self.received < end {
            self.input.clear(&self.core.buffers);
            if self.arrival().await.is_err() {
                break;
            }
        }
    }

    /// Closes so that the client sees a broken connection, not an ordinary end.
    pub fn reset_on_close(&self) {
        self.socket.reset_on_close();
    }

    /// Adds what moved since the last call to the core's counters.
    pub fn meter_bytes(&mut self) {
        self.core.meter.add(Metric::BytesIn, std::mem::take(&mut self.received));
        self.core.meter.add(Metric::BytesOut, std::mem::take(&mut self.sent));
    }
}
