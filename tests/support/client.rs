//! A client that writes what it is told, byte for byte, and reads strictly.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::message::{Framing, Inbox, Reply};

pub struct Client {
    stream: TcpStream,
    inbox: Inbox<TcpStream>,
}

impl Client {
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&addr, PATIENCE).expect("the gateway accepts connections"))
    }

    /// With a receive buffer so small that a reader that stops is noticed soon.
    #[track_caller]
    pub fn connect_with_small_window(addr: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&addr.into()).expect("the gateway accepts connections");
        Self::of(socket.into())
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let inbox = Inbox::new(stream.try_clone().unwrap());
        Self { stream, inbox }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the gateway takes the request");
    }

    /// For requests that the gateway may refuse before their end.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with RST instead of FIN.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The whole reply to a request that was not HEAD.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply("GET").unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    #[track_caller]
    pub fn reply_to(&mut self, method: &str) -> Reply {
        self.try_reply(method).unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    pub fn try_reply(&mut self, method: &str) -> io::Result<Reply> {
        let mut reply = self.try_head(method)?;
        (reply.body, reply.trailers) = self.inbox.body(reply.framing)?;
        Ok(reply)
    }

    /// The reply without its body, which is left for [`Client::chunk`] or [`Client::read_some`].
    #[track_caller]
    pub fn head(&mut self) -> Reply {
        self.try_head("GET").unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    pub fn try_head(&mut self, method: &str) -> io::Result<Reply> {
        let mut interim = Vec::new();
        loop {
            let head = self.inbox.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = parse_status(&head.line)?;
            if (100..200).contains(&status) {
                interim.push(status);
                continue;
            }
            let bodiless = method == "HEAD" || status == 204 || status == 304;
            let announced = head.framing(Framing::UntilClose)?; // an ambiguous one is an error even without a body
            let framing = if bodiless { Framing::None } else { announced };
            let (line, fields) = (head.line, head.fields);
            return Ok(Reply { status, line, fields, interim, framing, body: Vec::new(), trailers: Vec::new() });
        }
    }

    /// The body after [`Client::head`].
    #[track_caller]
    pub fn body(&mut self, framing: Framing) -> Vec<u8> {
        self.inbox.body(framing).expect("a whole body").0
    }

    /// The status of one head, 1xx included; its fields are thrown away.
    #[track_caller]
    pub fn any_status(&mut self) -> u16 {
        let head = self.inbox.head().expect("a head").expect("a head before the end");
        parse_status(&head.line).unwrap()
    }

    /// The next chunk of a chunked body; `None` after the last, trailers read.
    #[track_caller]
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        self.try_chunk().unwrap_or_else(|error| panic!("no chunk: {error}"))
    }

    pub fn try_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let chunk = self.inbox.chunk()?;
        if chunk.is_none() {
            self.inbox.trailers()?;
        }
        Ok(chunk)
    }

    /// Reads chunks until what came since the call holds `needle`.
    #[track_caller]
    pub fn chunks_until(&mut self, needle: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(needle) {
            let chunk = self.chunk().unwrap_or_else(|| panic!("the stream ended without {needle:?}: {seen}"));
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
        seen
    }

    /// Whatever bytes come next, at most `count`; empty at the end.
    pub fn read_some(&mut self, count: usize) -> io::Result<Vec<u8>> {
        if self.inbox.pending.is_empty() {
            let mut buffer = vec![0; count];
            let read = (&self.stream).read(&mut buffer)?;
            buffer.truncate(read);
            return Ok(buffer);
        }
        let count = count.min(self.inbox.pending.len());
        Ok(self.inbox.pending.drain(..count).collect())
    }

    /// Whether a byte can be read within `time`.
    pub fn readable_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let answer = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        answer.is_ok()
    }

    /// Everything until the end of the connection, a reset counted as one.
    pub fn drain(&mut self) -> Vec<u8> {
        while self.inbox.fill().is_ok_and(|read| read > 0) {}
        std::mem::take(&mut self.inbox.pending)
    }

    /// Asserts that the gateway closes this connection without a further byte, and returns how long it took.
    #[track_caller]
    pub fn expect_closed(&mut self) -> Duration {
        let started = Instant::now();
        match self.inbox.fill() {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Ok(_) => panic!("more came: {:?}", String::from_utf8_lossy(&self.inbox.pending)),
            Err(error) => panic!("the connection stays open: {error}"),
        }
        assert!(self.inbox.pending.is_empty(), "more came: {:?}", String::from_utf8_lossy(&self.inbox.pending));
        started.elapsed()
    }
}

fn parse_status(line: &str) -> io::Result<u16> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("status line {line:?}"));
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(bad)?;
    rest.get(..3).and_then(|digits| digits.parse().ok()).ok_or_else(bad)
}
