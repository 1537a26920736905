//! Walk a JSON text once and hand out spans. No tree and no allocation: objects on the caller's path are entered, all
//! other values are skipped by their brackets and quotes. Numbers and literals are not checked (Python writes `NaN`),
//! so a text that is no JSON may be walked without complaint; a text that is JSON is always walked rightly.

use super::string;
use crate::base::bounds::JSON_DEPTH_MAX;

/// Half-open range of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    #[inline]
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The bytes; empty when the span does not lie in `bytes`.
    #[inline]
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.end).unwrap_or_default()
    }
}

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Object,
    Array,
    Null,
    True,
    False,
    /// A number, or a word that JSON does not know.
    Number,
}

/// One value: its kind and where it lies, quotes and brackets included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    pub kind: Kind,
    pub span: Span,
}

impl Value {
    /// The body of a string without its quotes; `None` for other kinds.
    #[inline]
    #[must_use]
    pub fn text(self) -> Option<Span> {
        (self.kind == Kind::String).then(|| Span::new(self.span.start + 1, self.span.end - 1))
    }

    /// `null`, `""`, `[]` and `{}`, white space inside allowed: the value says nothing.
    #[must_use]
    pub fn says_nothing(self, bytes: &[u8]) -> bool {
        match self.kind {
            Kind::Null => true,
            Kind::String => self.span.end - self.span.start == 2,
            Kind::Object | Kind::Array => {
                Span::new(self.span.start + 1, self.span.end - 1).of(bytes).iter().all(u8::is_ascii_whitespace)
            }
            _ => false,
        }
    }
}

/// The text is not JSON, or nested deeper than [`JSON_DEPTH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// A place in a JSON text.
#[derive(Debug)]
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, depth: 0 }
    }

    /// The next byte that is not white space; the cursor stands on it.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, Bad> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte > b' ' {
                return Ok(byte);
            }
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Err(Bad);
            }
            self.at += 1;
        }
        Err(Bad)
    }

    /// Only white space is left.
    pub fn finish(&mut self) -> Result<(), Bad> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.iter().all(u8::is_ascii_whitespace)) {
            Ok(())
        } else {
            Err(Bad)
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Bad> {
        if self.peek()? != byte {
            return Err(Bad);
        }
        self.at += 1;
        Ok(())
    }

    /// Visit the members of the object under the cursor. `visit` gets the span of each key with its quotes and must
    /// consume the value (with [`Cursor::value`], [`Cursor::object`] or [`Cursor::array`]).
    #[inline]
    pub fn object(&mut self, mut visit: impl FnMut(&mut Self, Span) -> Result<(), Bad>) -> Result<Span, Bad> {
        let start = self.at_bracket(b'{')?;
        if self.peek()? == b'}' {
            return Ok(self.leave(start));
        }
        loop {
            if self.peek()? != b'"' {
                return Err(Bad);
            }
            let key = self.string()?;
            self.expect(b':')?;
            visit(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return Ok(self.leave(start)),
                _ => return Err(Bad),
            }
        }
    }

    /// Visit the elements of the array under the cursor; `visit` must consume each.
    #[inline]
    pub fn array(&mut self, mut visit: impl FnMut(&mut Self) -> Result<(), Bad>) -> Result<Span, Bad> {
        let start = self.at_bracket(b'[')?;
        if self.peek()? == b']' {
            return Ok(self.leave(start));
        }
        loop {
            self.peek()?;
            visit(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => return Ok(self.leave(start)),
                _ => return Err(Bad),
            }
        }
    }

    #[inline]
    fn at_bracket(&mut self, bracket: u8) -> Result<usize, Bad> {
        self.expect(bracket)?;
        self.depth += 1;
        if self.depth > JSON_DEPTH_MAX { Err(Bad) } else { Ok(self.at - 1) }
    }

    #[inline]
    fn leave(&mut self, start: usize) -> Span {
        self.at += 1;
        self.depth -= 1;
        Span::new(start, self.at)
    }

    /// The string under the cursor, quotes included.
    #[inline]
    fn string(&mut self) -> Result<Span, Bad> {
        let start = self.at;
        let end = string::end(self.bytes, start + 1).ok_or(Bad)?;
        self.at = end + 1;
        Ok(Span::new(start, self.at))
    }

    /// Skip the value under the cursor.
    #[inline]
    pub fn value(&mut self) -> Result<Value, Bad> {
        let start = {
            self.peek()?;
            self.at
        };
        let kind = match self.bytes[start] {
            b'"' => {
                self.string()?;
                Kind::String
            }
            b'{' => {
                self.nested()?;
                Kind::Object
            }
            b'[' => {
                self.nested()?;
                Kind::Array
            }
            first => {
                self.word()?;
                match first {
                    b'n' => Kind::Null,
                    b't' => Kind::True,
                    b'f' => Kind::False,
                    _ => Kind::Number,
                }
            }
        };
        Ok(Value { kind, span: Span::new(start, self.at) })
    }

    /// Skip a number or a literal.
    #[inline]
    fn word(&mut self) -> Result<(), Bad> {
        let start = self.at;
        while let Some(byte) = self.bytes.get(self.at) {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')) {
                break;
            }
            self.at += 1;
        }
        if self.at == start { Err(Bad) } else { Ok(()) }
    }

    /// Skip an object or array by its brackets and quotes; one bit a level says which of the two is open.
    fn nested(&mut self) -> Result<(), Bad> {
        const _: () = assert!(JSON_DEPTH_MAX <= 64, "one bit a level");
        let (mut kinds, mut depth) = (0u64, self.depth);
        let outer = depth;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => self.at = string::end(self.bytes, self.at).ok_or(Bad)? + 1,
                b'{' | b'[' => {
                    if depth == JSON_DEPTH_MAX {
                        return Err(Bad);
                    }
                    kinds = kinds << 1 | u64::from(byte == b'[');
                    depth += 1;
                }
                b'}' | b']' => {
                    if kinds & 1 != u64::from(byte == b']') {
                        return Err(Bad);
                    }
                    kinds >>= 1;
                    depth -= 1;
                    if depth == outer {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err(Bad)
    }
}
