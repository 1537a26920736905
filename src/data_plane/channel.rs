//! A connection to an upstream: plain or TLS, one face. rustls is driven directly (its sans-io connection over our
//! non-blocking socket), so that giving up a wait can never lose ciphertext.

use std::{
    cell::RefCell,
    io::{self, ErrorKind, IoSlice, Read, Write},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use super::{
    meter::Meter,
    socket::{Look, Socket},
};
use crate::base::metric::Metric;

/// Plaintext accepted and ciphertext not yet sent, together, a connection.
const TLS_BUFFER_BYTES_MAX: usize = 64 * 1024;

pub struct Channel {
    pub socket: Socket,
    /// Counted as open until it is dropped.
    _open: Opened,
    tls: Option<Box<RefCell<Tls>>>,
}

/// Counts an open connection for as long as it lives.
struct Opened(Arc<Meter>);

impl Opened {
    fn new(meter: &Arc<Meter>) -> Self {
        meter.one(Metric::UpstreamOpen);
        Self(Arc::clone(meter))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.sub(Metric::UpstreamOpen, 1);
    }
}

struct Tls {
    connection: ClientConnection,
    /// Decrypted bytes that no read has taken yet: the socket may be silent and there is still something to read.
    plaintext: usize,
}

/// rustls wants `Read` and `Write`; the socket's calls take `&self`.
struct Raw<'a>(&'a Socket);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored(slices)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tls {
    fn pull(&mut self, socket: &Socket) -> io::Result<usize> {
        let n = self.connection.read_tls(&mut Raw(socket))?;
        let state =
            self.connection.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.plaintext = state.plaintext_bytes_to_read();
        // Alerts and key updates that the peer's bytes provoked; what does not fit now goes with the next write.
        self.push(socket)?;
        Ok(n)
    }

    fn push(&mut self, socket: &Socket) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Raw(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Channel {
    #[must_use]
    pub fn plain(socket: Socket, meter: &Arc<Meter>) -> Self {
        Self { socket, _open: Opened::new(meter), tls: None }
    }

    /// A TLS client on a connected socket; [`Self::handshake`] has to follow.
    ///
    /// # Errors
    /// What rustls says of the configuration.
    pub fn tls(
        socket: Socket,
        meter: &Arc<Meter>,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
        let tls = Tls { connection, plaintext: 0 };
        Ok(Self { socket, _open: Opened::new(meter), tls: Some(Box::new(RefCell::new(tls))) })
    }

    /// One step of the handshake. `Ok(true)`: done. `Ok(false)`: wait until readable, or writable if
    /// [`Self::wants_write`], and call again.
    ///
    /// # Errors
    /// Why it failed; the source of an `InvalidData` error is rustls' own.
    pub fn handshake(&self) -> io::Result<bool> {
        let Some(tls) = &self.tls else { return Ok(true) };
        let mut tls = tls.borrow_mut();
        tls.push(&self.socket)?;
        while tls.connection.is_handshaking() {
            match tls.pull(&self.socket) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(!tls.connection.wants_write())
    }

    /// Bytes accepted by [`Self::send_vectored`] that still wait for the socket.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.borrow().connection.wants_write())
    }

    /// Something can be read although the socket may stay silent.
    #[must_use]
    pub fn has_plaintext(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.borrow().plaintext > 0)
    }

    /// Reads; 0 is the end of the stream, properly announced where the peer speaks TLS.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, `UnexpectedEof` when TLS ended without its closing alert.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.socket.recv(buffer) };
        let mut tls = tls.borrow_mut();
        loop {
            match tls.connection.reader().read(buffer) {
                Ok(n) => {
                    tls.plaintext = tls.plaintext.saturating_sub(n);
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            tls.pull(&self.socket)?;
        }
    }

    /// Sends as much as is taken; for TLS, also [`Self::wants_write`] until it has left.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is taken, else why the connection is lost.
    pub fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.socket.send_vectored(slices) };
        let mut tls = tls.borrow_mut();
        let taken = tls.connection.writer().write_vectored(slices)?;
        tls.push(&self.socket)?;
        if taken == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    /// Moves accepted bytes on.
    ///
    /// # Errors
    /// Why the connection is lost.
    pub fn flush(&self) -> io::Result<()> {
        match &self.tls {
            Some(tls) => tls.borrow_mut().push(&self.socket),
            None => Ok(()),
        }
    }

    /// Has the upstream begun to answer, or closed? Readiness alone does not say so: TLS talks to itself (session
    /// tickets, key updates) whenever it likes.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        let Some(tls) = &self.tls else { return self.socket.look() != Look::Quiet };
        let mut tls = tls.borrow_mut();
        loop {
            if tls.plaintext > 0 {
                return true;
            }
            match tls.pull(&self.socket) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }

    /// May an idle connection carry another request? Nothing may have arrived on it but TLS' own bookkeeping.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        match (self.socket.look(), &self.tls) {
            (Look::Quiet, _) => !self.has_plaintext(),
            (Look::Data, Some(tls)) => {
                let mut tls = tls.borrow_mut();
                let pulled = tls.pull(&self.socket);
                let ended = tls.connection.reader().read(&mut [0]).is_ok();
                matches!(pulled, Ok(1..)) && !ended && tls.plaintext == 0
            }
            _ => false,
        }
    }
}
