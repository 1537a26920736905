//! Bodies: a length, chunks, or until the end of the connection.

use super::head::Framing;

/// Where the decoder stands. Strict: a chunk line ends in CR LF, sizes are hexadecimal, nothing else is taken for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// So many bytes to come.
    Length(u64),
    /// In a chunk's size, of which `digits` were read.
    Size { size: u64, digits: u8 },
    /// In a chunk extension, which is skipped.
    Extension { size: u64 },
    /// After the CR of the size line.
    SizeLineFeed { size: u64 },
    /// In a chunk's bytes.
    Data { left: u64 },
    /// After them: CR, then LF.
    DataReturn,
    /// See [`Decoder::DataReturn`].
    DataLineFeed,
    /// In the trailer, at the start of a line or not.
    Trailer { empty: bool },
    /// After the CR of a trailer's line.
    TrailerLineFeed { empty: bool },
    /// Until the connection ends.
    UntilClose,
    /// Nothing more to come.
    Done,
}

/// A chunked body that breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

/// What one step took and gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// So many bytes of the input were used.
    pub used: usize,
    /// The body's bytes among them (one run).
    pub data: &'a [u8],
}

impl Decoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Decoder::Done,
            Framing::Length(left) => Decoder::Length(left),
            Framing::Chunked => Decoder::Size { size: 0, digits: 0 },
            Framing::UntilClose => Decoder::UntilClose,
        }
    }

    /// The body is complete.
    #[must_use]
    pub fn is_done(self) -> bool {
        self == Decoder::Done
    }

    /// Reads until one run of body bytes was found or `input` is used up. Call again with the rest until it is.
    ///
    /// # Errors
    /// [`BadChunk`], after which the decoder is of no use.
    pub fn step<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, BadChunk> {
        let mut used = 0;
        while used < input.len() {
            match &mut *self {
                Decoder::Done => break,
                Decoder::UntilClose => return Ok(Step { used: input.len(), data: &input[used..] }),
                Decoder::Length(left) | Decoder::Data { left } => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len() - used);
                    *left -= count as u64;
                    if *left == 0 {
                        *self = if matches!(self, Decoder::Length(_)) { Decoder::Done } else { Decoder::DataReturn };
                    }
                    return Ok(Step { used: used + count, data: &input[used..used + count] });
                }
                state => {
                    *state = state.after(input[used])?;
                    used += 1;
                }
            }
        }
        Ok(Step { used, data: &[] })
    }

    fn after(self, byte: u8) -> Result<Self, BadChunk> {
        Ok(match (self, byte) {
            (Decoder::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                Decoder::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Decoder::Size { size, digits: 1.. } | Decoder::Extension { size }, b'\r') => {
                Decoder::SizeLineFeed { size }
            }
            (Decoder::Size { size, digits: 1.. }, b';' | b' ') => Decoder::Extension { size },
            (Decoder::Extension { size }, 0x20..) => Decoder::Extension { size },
            (Decoder::SizeLineFeed { size: 0 }, b'\n') => Decoder::Trailer { empty: true },
            (Decoder::SizeLineFeed { size }, b'\n') => Decoder::Data { left: size },
            (Decoder::DataReturn, b'\r') => Decoder::DataLineFeed,
            (Decoder::DataLineFeed, b'\n') => Decoder::Size { size: 0, digits: 0 },
            (Decoder::Trailer { empty }, b'\r') => Decoder::TrailerLineFeed { empty },
            (Decoder::Trailer { .. }, 0x20..) => Decoder::Trailer { empty: false },
            (Decoder::TrailerLineFeed { empty: true }, b'\n') => Decoder::Done,
            (Decoder::TrailerLineFeed { empty: false }, b'\n') => Decoder::Trailer { empty: true },
            _ => return Err(BadChunk),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(framing: Framing, parts: &[&[u8]]) -> Result<(Vec<u8>, Decoder, usize), BadChunk> {
        let mut decoder = Decoder::new(framing);
        let (mut out, mut over) = (Vec::new(), 0);
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let step = decoder.step(rest)?;
                out.extend_from_slice(step.data);
                rest = &rest[step.used..];
                if decoder.is_done() {
                    over += rest.len();
                    break;
                }
            }
        }
        Ok((out, decoder, over))
    }

    const CHUNKED: &[u8] = b"5\r\nhello\r\n1;x=y\r\n!\r\n0A\r\n0123456789\r\n0\r\nx: y\r\n\r\n";

    #[test]
    fn chunks_are_the_same_at_every_pair_of_cuts() {
        for first in 0..CHUNKED.len() {
            for second in first..CHUNKED.len() {
                let parts = [&CHUNKED[..first], &CHUNKED[first..second], &CHUNKED[second..]];
                let got = decode(Framing::Chunked, &parts);
                assert_eq!(got, Ok((b"hello!0123456789".to_vec(), Decoder::Done, 0)), "{first} {second}");
            }
        }
    }

    #[test]
    fn every_missing_tail_is_not_done() {
        for cut in 0..CHUNKED.len() {
            assert_ne!(decode(Framing::Chunked, &[&CHUNKED[..cut]]).unwrap().1, Decoder::Done, "cut {cut}");
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for bad in ["\r\n", "g\r\n", "5\nhello", "5\r\nhello0\r\n", "5\r\nhello\n", "1111111111111111\r\n", "0\r\n\n"] {
            assert_eq!(decode(Framing::Chunked, &[bad.as_bytes()]), Err(BadChunk), "{bad:?}");
        }
    }

    #[test]
    fn a_length_ends_where_it_says() {
        assert_eq!(decode(Framing::Length(3), &[b"ab", b"cd"]), Ok((b"abc".to_vec(), Decoder::Done, 1)));
        assert_eq!(decode(Framing::UntilClose, &[b"ab"]), Ok((b"ab".to_vec(), Decoder::UntilClose, 0)));
        assert!(Decoder::new(Framing::Length(0)).is_done());
    }
}
