//! Where a body ends, byte by byte: a state machine that can be cut anywhere and takes no byte back.

use super::field::Known;
use super::framing::{Framing, is_token};
use super::refusal::Refusal;
use crate::base::bounds::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::base::error::{Kind, Side};

/// What [`BodyDecoder::decode_in_place`] made of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of body, now at the front of the buffer.
    pub payload: usize,
    /// Bytes of the buffer that belong to this body. Less than the buffer only when `done`.
    pub consumed: usize,
    /// The body has ended; no call may follow.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    /// `Content-Length`: so many bytes are to come.
    Length {
        left: u64,
    },
    UntilClose,
    /// In the digits of a chunk size.
    Size {
        digits: u8,
        size: u64,
    },
    /// After the digits: blanks, then `;`.
    Blank {
        size: u64,
    },
    /// In an extension.
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    /// The LF of the empty line that ends it all.
    EndLf,
}

/// Reads one body. Allocates only for trailers.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Whose message it is, and so who is to blame.
    side: Side,
    /// Bytes of the chunk-size line after its digits.
    line: u16,
    /// Bytes of all extensions.
    overhead: u32,
    /// Bytes of the trailer section.
    trailer_bytes: u32,
    /// Bytes of body seen so far.
    payload: u64,
    /// Trailer fields kept, each with its CRLF; the last may be in the making.
    trailers: Vec<u8>,
    /// Where the line in the making starts in `trailers`.
    line_start: usize,
}

const UNCOUNTABLE: &str = "The chunks together are larger than can be counted.";

/// One step: what the bytes up to `at` were.
enum Step {
    /// Bytes of body.
    Data {
        from: usize,
        to: usize,
    },
    /// Everything was used up.
    Hungry,
    Done {
        at: usize,
    },
}

impl BodyDecoder {
    /// For a client's request; what breaks a rule is [`Kind::BadRequest`].
    #[must_use]
    pub fn request(framing: Framing) -> Self {
        Self::new(framing, Side::Downstream)
    }

    /// For an upstream's answer; what breaks a rule is [`Kind::UpstreamInvalid`].
    #[must_use]
    pub fn response(framing: Framing) -> Self {
        Self::new(framing, Side::Upstream)
    }

    fn new(framing: Framing, side: Side) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Size { digits: 0, size: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, side, line: 0, overhead: 0, trailer_bytes: 0, payload: 0, trailers: Vec::new(), line_start: 0 }
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of body so far, without framing.
    #[must_use]
    pub const fn payload(&self) -> u64 {
        self.payload
    }

    /// Bytes of body still to come at least, where it is known: the rest of the length or of the chunk.
    #[must_use]
    pub const fn announced(&self) -> u64 {
        match self.state {
            State::Length { left } | State::Data { left } => left,
            State::SizeLf { size } | State::Blank { size } | State::Extension { size } => size,
            _ => 0,
        }
    }

    /// Squeezes the framing out of `buf` and leaves the body at its front.
    ///
    /// # Errors
    /// The framing is broken: nothing of the connection can be trusted any more.
    pub fn decode_in_place(&mut self, buf: &mut [u8]) -> Result<Decoded, Refusal> {
        let (mut at, mut payload) = (0, 0);
        loop {
            match self.step(buf, at)? {
                Step::Data { from, to } => {
                    if from != payload {
                        buf.copy_within(from..to, payload);
                    }
                    payload += to - from;
                    at = to;
                }
                Step::Hungry => return Ok(Decoded { payload, consumed: buf.len(), done: self.is_done() }),
                Step::Done { at } => return Ok(Decoded { payload, consumed: at, done: true }),
            }
        }
    }

    /// Trailer fields that may be passed on, each with its CRLF; whole once the body is done.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// The sender closed the connection.
    ///
    /// # Errors
    /// The body was cut: [`Kind::UpstreamCut`] or [`Kind::ClientGone`].
    pub fn finish(&mut self) -> Result<(), Kind> {
        match (self.state, self.side) {
            (State::Done | State::UntilClose, _) => {
                self.state = State::Done;
                Ok(())
            }
            (_, Side::Downstream) => Err(Kind::ClientGone),
            (_, _) => Err(Kind::UpstreamCut),
        }
    }

    const fn fault(&self, rule: &'static str) -> Refusal {
        match self.side {
            Side::Downstream => Refusal::request(rule),
            _ => Refusal::answer(rule),
        }
    }

    /// Runs from `at` to the end of the next piece of body, of the message or of the buffer.
    fn step(&mut self, buf: &[u8], mut at: usize) -> Result<Step, Refusal> {
        while self.state != State::Done {
            let rest = buf.len() - at;
            let Some(&byte) = buf.get(at) else { return Ok(Step::Hungry) };
            let (take, next) = match self.state {
                State::UntilClose => (rest, State::UntilClose),
                State::Length { left } => match left.checked_sub(rest as u64) {
                    None | Some(0) => (left as usize, State::Done),
                    Some(left) => (rest, State::Length { left }),
                },
                State::Data { left } => match left.checked_sub(rest as u64) {
                    None | Some(0) => (left as usize, State::DataCr),
                    Some(left) => (rest, State::Data { left }),
                },
                state => {
                    let rest = &buf[at..];
                    if state == State::DataCr && rest.starts_with(b"\r\n") {
                        self.state = State::Size { digits: 0, size: 0 };
                        at += 2;
                    } else if matches!(state, State::Size { digits: 0, .. })
                        && let Some((size, len)) = plain_size(rest)
                    {
                        self.line = 0;
                        self.payload.checked_add(size).ok_or(self.fault(UNCOUNTABLE))?;
                        self.state = State::Data { left: size };
                        at += len;
                    } else {
                        self.state = self.framing_byte(byte)?;
                        at += 1;
                    }
                    continue;
                }
            };
            self.state = next;
            self.payload = self.payload.checked_add(take as u64).ok_or(self.fault(UNCOUNTABLE))?;
            return Ok(Step::Data { from: at, to: at + take });
        }
        Ok(Step::Done { at })
    }

    /// One byte of chunk framing. Every pair that is not listed is a fault.
    fn framing_byte(&mut self, byte: u8) -> Result<State, Refusal> {
        let next = match (self.state, byte) {
            (State::Size { digits, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 16 => {
                State::Size { digits: digits + 1, size: size << 4 | hex(byte) }
            }
            (State::Size { digits: 1.., size }, b'\r') => self.sized(size)?,
            (State::Size { digits: 1.., size }, b';') => self.overhead(State::Extension { size })?,
            (State::Size { digits: 1.., size } | State::Blank { size }, b' ' | b'\t') => {
                self.overhead(State::Blank { size })?
            }
            (State::Blank { size }, b';') => self.overhead(State::Extension { size })?,
            (State::Extension { size }, b'\r') => self.sized(size)?,
            (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => self.overhead(State::Extension { size })?,
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0, size: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Done,
            (State::TrailerStart, _) if is_token(byte) => self.trailer_starts(byte),
            (State::TrailerName, _) if is_token(byte) => self.trailer(byte, State::TrailerName)?,
            (State::TrailerName, b':') => self.trailer(byte, State::TrailerValue)?,
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => self.trailer(byte, State::TrailerValue)?,
            (State::TrailerValue, b'\r') => self.trailer(byte, State::TrailerLf)?,
            (State::TrailerLf, b'\n') => self.trailer_ends()?,
            (State::DataCr | State::DataLf, _) => return Err(self.fault("A chunk is longer than its size says.")),
            (State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf | State::EndLf, _) => {
                return Err(self.fault("A line after the last chunk is not a field."));
            }
            _ => return Err(self.fault("A chunk's size is not a hexadecimal number on a line of its own.")),
        };
        Ok(next)
    }

    /// The size line is about to end; all sizes together must stay countable.
    fn sized(&mut self, size: u64) -> Result<State, Refusal> {
        self.line = 0;
        self.payload.checked_add(size).map(|_| State::SizeLf { size }).ok_or(self.fault(UNCOUNTABLE))
    }

    /// A byte of a chunk-size line that says nothing.
    fn overhead(&mut self, next: State) -> Result<State, Refusal> {
        self.line += 1;
        self.overhead += 1;
        let fits = usize::from(self.line) + 16 <= CHUNK_LINE_BYTES_MAX;
        if fits && self.overhead as usize <= CHUNK_EXTENSION_BYTES_MAX {
            Ok(next)
        } else {
            Err(self.fault("Chunk extensions are too long."))
        }
    }

    fn trailer_starts(&mut self, byte: u8) -> State {
        self.line_start = self.trailers.len();
        self.trailers.push(byte);
        self.trailer_bytes += 1;
        State::TrailerName
    }

    fn trailer(&mut self, byte: u8, next: State) -> Result<State, Refusal> {
        self.trailers.push(byte);
        self.trailer_bytes += 1;
        if self.trailer_bytes as usize <= TRAILER_BYTES_MAX {
            Ok(next)
        } else {
            Err(self.fault("The fields after the last chunk are too long."))
        }
    }

    /// Keeps the line, or forgets it where it speaks of what only a head may speak of.
    fn trailer_ends(&mut self) -> Result<State, Refusal> {
        let next = self.trailer(b'\n', State::TrailerStart)?;
        let line = &self.trailers[self.line_start..];
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        if is_forbidden_trailer(&line[..colon]) {
            self.trailers.truncate(self.line_start);
        }
        Ok(next)
    }
}

/// A chunk-size line as all servers write it, whole and without an extension: the size, and the line's length. Others,
/// and the last chunk's, are read byte by byte.
fn plain_size(line: &[u8]) -> Option<(u64, usize)> {
    const DIGITS_MAX: usize = 5;
    let mut size = 0;
    for (nth, byte) in line.iter().take(DIGITS_MAX + 1).enumerate() {
        match byte {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' if nth < DIGITS_MAX => size = size << 4 | hex(*byte),
            b'\r' => return (size > 0 && line.get(nth + 1) == Some(&b'\n')).then_some((size, nth + 2)),
            _ => return None,
        }
    }
    None
}

const fn hex(byte: u8) -> u64 {
    (match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }) as u64
}

/// RFC 9110 §6.5.1: framing, routing, authentication, request modifiers, response control and content format have been
/// acted on by the time a trailer comes; whoever merges one later would act on something else.
fn is_forbidden_trailer(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return true };
    let known = Known::of(name);
    let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let harmless = matches!(known, Known::Other | Known::ServerTiming | Known::Etag | Known::Link);
    !harmless || starts("if-") || starts("access-control-") || starts("proxy-") || starts("content-")
}
