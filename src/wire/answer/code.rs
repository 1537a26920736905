//! An answer as bytes: version, fixed fields, then lists with their lengths before them, numbers as LEB128.
//!
//! Reading trusts nothing: a length is only believed as far as there are bytes, and every list is bounded by the bytes
//! that are left, so that any input costs at most a small multiple of itself.

use std::borrow::Cow;

use super::json::is_number_array;
use super::{Answer, Call, Family, Finish, Kind, Piece, ReasoningField, Usage, Vector};

/// Raised with every change of the form; other versions are misses.
const VERSION: u8 = 2;

/// The bytes are not an answer of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Appends the answer's bytes.
pub fn encode(answer: &Answer<'_>, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.push(answer.family as u8);
    out.push(answer.from_openai.into());
    out.push(answer.finish as u8);
    out.push(answer.field as u8);
    match &answer.usage {
        None => out.push(0),
        Some(usage) => {
            out.push(1 | u8::from(usage.reasoning.is_some()) << 1 | u8::from(usage.cached.is_some()) << 2);
            let counts = [Some(usage.prompt), Some(usage.completion), Some(usage.total), usage.reasoning, usage.cached];
            counts.into_iter().flatten().for_each(|count| number(out, count));
        }
    }
    bytes(out, answer.model.as_bytes());
    number(out, answer.pieces.len() as u64);
    for piece in &answer.pieces {
        match piece {
            Piece::Text(text) => tagged(out, 0, text.as_bytes()),
            Piece::Thinking(text) => tagged(out, 1, text.as_bytes()),
            Piece::Call(call) => {
                tagged(out, 2, call.id.as_bytes());
                bytes(out, call.name.as_bytes());
                bytes(out, call.arguments.as_bytes());
            }
        }
    }
    number(out, answer.state.len() as u64);
    answer.state.iter().for_each(|token| number(out, (*token).into()));
    number(out, answer.vectors.len() as u64);
    for vector in &answer.vectors {
        match vector {
            Vector::Json(text) => tagged(out, 0, text.as_bytes()),
            Vector::Floats(floats) => tagged(out, 1, floats),
        }
    }
}

/// Whether the answer in these bytes knows how many tokens there were, without reading the rest.
#[must_use]
pub fn knows_usage(bytes: &[u8]) -> bool {
    bytes.get(5).is_some_and(|flags| *flags != 0)
}

/// Reads an answer that borrows its texts from `from`, which must hold nothing else.
///
/// # Errors
/// The bytes are not an answer.
pub fn decode(from: &[u8]) -> Result<Answer<'_>, Broken> {
    let mut reader = Reader(from);
    if reader.byte()? != VERSION {
        return Err(Broken);
    }
    let family =
        pick(reader.byte()?, &[Family::Chat, Family::Completion, Family::Generate, Family::Embed, Family::EmbedOne])?;
    let mut answer = Answer::new(Kind::OpenAiChat);
    answer.family = family;
    answer.from_openai = pick(reader.byte()?, &[false, true])?;
    answer.finish = pick(reader.byte()?, &[Finish::Stop, Finish::ToolCalls])?;
    answer.field = pick(
        reader.byte()?,
        &[
            ReasoningField::None,
            ReasoningField::Content,
            ReasoningField::Plain,
            ReasoningField::Both,
            ReasoningField::Thinking,
        ],
    )?;
    answer.usage = reader.usage()?;
    answer.model = reader.text()?;
    answer.pieces = reader.list(Reader::piece)?;
    answer.state = reader.list(|reader| reader.number().and_then(|token| token.try_into().map_err(|_| Broken)))?;
    answer.vectors = reader.list(Reader::vector)?;
    if reader.0.is_empty() { Ok(answer) } else { Err(Broken) }
}

fn tagged(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    bytes(out, content);
}

fn bytes(out: &mut Vec<u8>, content: &[u8]) {
    number(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn pick<T: Copy>(number: u8, among: &[T]) -> Result<T, Broken> {
    among.get(usize::from(number)).copied().ok_or(Broken)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Broken> {
        let (byte, rest) = self.0.split_first().ok_or(Broken)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Broken);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(self.number()?).map_err(|_| Broken)?;
        let (content, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(content)
    }

    fn text(&mut self) -> Result<Cow<'a, str>, Broken> {
        std::str::from_utf8(self.bytes()?).map(Cow::Borrowed).map_err(|_| Broken)
    }

    /// Every element takes a byte or more, so a longer list than there are bytes is refused before anything is reserved.
    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> Result<T, Broken>) -> Result<Vec<T>, Broken> {
        let length = usize::try_from(self.number()?).map_err(|_| Broken)?;
        if length > self.0.len() {
            return Err(Broken);
        }
        (0..length).map(|_| element(self)).collect()
    }

    fn usage(&mut self) -> Result<Option<Usage>, Broken> {
        let flags = self.byte()?;
        if flags & 1 == 0 {
            return if flags == 0 { Ok(None) } else { Err(Broken) };
        }
        let mut usage =
            Usage { prompt: self.number()?, completion: self.number()?, total: self.number()?, ..Usage::default() };
        if flags & 2 != 0 {
            usage.reasoning = Some(self.number()?);
        }
        if flags & 4 != 0 {
            usage.cached = Some(self.number()?);
        }
        if flags < 8 { Ok(Some(usage)) } else { Err(Broken) }
    }

    fn piece(&mut self) -> Result<Piece<'a>, Broken> {
        match self.byte()? {
            0 => Ok(Piece::Text(self.text()?)),
            1 => Ok(Piece::Thinking(self.text()?)),
            2 => Ok(Piece::Call(Call { id: self.text()?, name: self.text()?, arguments: self.text()? })),
            _ => Err(Broken),
        }
    }

    fn vector(&mut self) -> Result<Vector<'a>, Broken> {
        match self.byte()? {
            // It is written into a body as it is.
            0 => Ok(Vector::Json(Some(self.text()?).filter(|text| is_number_array(text)).ok_or(Broken)?)),
            1 => Ok(Vector::Floats(Some(self.bytes()?).filter(|floats| floats.len() % 4 == 0).ok_or(Broken)?.into())),
            _ => Err(Broken),
        }
    }
}
