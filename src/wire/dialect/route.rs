//! From a path to an endpoint.
//!
//! Clients join their base URL and the path in every way there is (doubled `/v1`, a base that already
//! ends in `/chat/completions`, doubled and trailing slashes, an Ollama base under `/v1`), so a path is recognised by its
//! last segments, after decoding `%XX`, dropping empty segments and folding case. A recognised path goes upstream in its
//! canonical spelling: what the upstream does is then what was admitted, however the client spelled it. Never a redirect,
//! since clients drop bodies and credentials across some.
//!
//! An unknown path goes upstream as it came, as [`Endpoint::Other`]. It can't reach a known endpoint there, because
//! whatever an upstream may decode, fold or collapse has been tried here first; what only some upstreams resolve (dot
//! segments, backslashes, encoded control characters, broken escapes) is refused.

use super::endpoint::{Dialect, Endpoint};
use crate::base::error::Kind;
use crate::wire::http::{Method, request_line};

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'b> {
    pub endpoint: Endpoint,
    /// Of the errors that the client gets.
    pub dialect: Dialect,
    /// False: 405 with [`Endpoint::allow`].
    pub method_allowed: bool,
    pub upstream_path: UpstreamPath<'b>,
}

/// The path to ask the upstream for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamPath<'b> {
    /// The request's own.
    AsCame,
    /// An endpoint's canonical path.
    Canonical(&'static str),
    /// A canonical path that ends in `/`, and the client's raw id.
    WithId(&'static str, &'b str),
}

impl<'b> UpstreamPath<'b> {
    /// The two parts that stand in place of the request's own path, if any do.
    #[must_use]
    pub const fn parts(self) -> Option<[&'b str; 2]> {
        match self {
            Self::AsCame => None,
            Self::Canonical(path) => Some([path, ""]),
            Self::WithId(path, id) => Some([path, id]),
        }
    }
}

/// Whose errors are understood by the sender of a request that could not be read: judged by what stands where its path
/// should.
#[must_use]
pub fn dialect_of(head: &[u8]) -> Dialect {
    let path = request_line(head).split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let path = std::str::from_utf8(path).ok().filter(|path| path.starts_with('/')).unwrap_or("/");
    match route(Method::Post, path) {
        Ok(route) => route.dialect,
        Err(_) if path.starts_with("/api/") => Dialect::Ollama,
        Err(_) => Dialect::OpenAi,
    }
}

/// Finds the endpoint of a raw path (no query). Allocates nothing.
///
/// # Errors
/// [`Kind::BadRequest`] for a path that upstreams resolve differently: dot segments in any spelling, `%` without two hex
/// digits, encoded control characters, backslashes.
pub fn route(method: Method, raw_path: &str) -> Result<Route<'_>, Kind> {
    if let Some(endpoint) = canonical(raw_path) {
        return Ok(found(endpoint, method, UpstreamPath::AsCame));
    }
    if raw_path == "*" {
        return Ok(found(Endpoint::Other, method, UpstreamPath::AsCame));
    }
    let path = Path::read(raw_path)?;
    Ok(match path.endpoint(method) {
        Some(Endpoint::Other) | None => {
            Route { dialect: path.dialect(), ..found(Endpoint::Other, method, UpstreamPath::AsCame) }
        }
        Some(endpoint) if endpoint.path().ends_with('/') && !endpoint.is_own() => {
            found(endpoint, method, UpstreamPath::WithId(endpoint.path(), path.id))
        }
        Some(endpoint) => found(endpoint, method, UpstreamPath::Canonical(endpoint.path())),
    })
}

const fn found(endpoint: Endpoint, method: Method, upstream_path: UpstreamPath<'_>) -> Route<'_> {
    Route { endpoint, dialect: endpoint.dialect(), method_allowed: endpoint.takes(method), upstream_path }
}

/// The spellings nearly every request uses.
fn canonical(path: &str) -> Option<Endpoint> {
    Some(match path {
        "/v1/chat/completions" => Endpoint::Chat,
        "/api/chat" => Endpoint::OllamaChat,
        "/api/generate" => Endpoint::OllamaGenerate,
        "/v1/embeddings" => Endpoint::Embeddings,
        "/v1/completions" => Endpoint::Completions,
        "/v1/models" => Endpoint::Models,
        "/v1/messages" => Endpoint::Messages,
        "/v1/responses" => Endpoint::Responses,
        "/api/tags" => Endpoint::OllamaTags,
        "/api/embed" => Endpoint::OllamaEmbed,
        _ => return None,
    })
}

macro_rules! words {
    ($( $name:ident $text:literal, )*) => {
        /// A segment that some rule speaks of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Word {
            /// There is no such segment.
            None,
            /// `v1`, `v1beta`, `v2` and so on.
            Version,
            Other,
            $( $name, )*
        }

        impl Word {
            /// `text` is decoded and in lower case.
            fn of(text: &[u8]) -> Self {
                match text {
                    $( $text => Self::$name, )*
                    [b'v', b'0'..=b'9', ..] => Self::Version,
                    _ => Self::Other,
                }
            }
        }
    };
}

words! {
    Chat b"chat", Completions b"completions", Embeddings b"embeddings", Models b"models", Responses b"responses",
    Messages b"messages", CountTokens b"count_tokens", Api b"api", Generate b"generate", Embed b"embed", Tags b"tags",
    Show b"show", Ps b"ps", Version_ b"version", Pull b"pull", Push b"push", Create b"create", Copy b"copy",
    Delete b"delete", Blobs b"blobs", Sys b"sys", Anthropic b"anthropic", Openai b"openai", Health b"health",
    Livez b"livez", Readyz b"readyz", Metrics b"metrics",
}

/// Longest word in the table.
const WORD_BYTES: usize = 16;

/// What one pass over a path keeps of it.
struct Path<'b> {
    /// The last three segments, the last one first.
    last: [Word; 3],
    segments: usize,
    /// Behind the first `models`, or behind `api/blobs`: raw, without slashes at its end.
    id: &'b str,
    is_model: bool,
    /// The last segment is the one that follows `api/blobs`.
    is_blob: bool,
    /// `api` was seen, and no version after it.
    in_api: bool,
    in_messages: bool,
}

impl<'b> Path<'b> {
    fn read(raw: &'b str) -> Result<Self, Kind> {
        let mut path = Self {
            last: [Word::None; 3],
            segments: 0,
            id: "",
            is_model: false,
            is_blob: false,
            in_api: false,
            in_messages: false,
        };
        let mut segment = Segment::default();
        let mut at = 0;
        while at < raw.len() {
            let (byte, next) = decode(raw.as_bytes(), at)?;
            match byte {
                b'/' => path.push(&segment.end()?, &raw[next..]),
                _ => segment.byte(byte),
            }
            at = next;
        }
        path.push(&segment.end()?, "");
        path.id = path.id.trim_matches('/');
        Ok(path)
    }

    /// Takes a segment; `rest` is what follows its slash.
    fn push(&mut self, word: &Word, rest: &'b str) {
        if *word == Word::None {
            return;
        }
        self.is_blob = self.last[0] == Word::Blobs && self.last[1] == Word::Api;
        match word {
            Word::Models if !self.is_model && !self.is_blob => (self.is_model, self.id) = (true, rest),
            Word::Blobs if self.last[0] == Word::Api => (self.is_model, self.id) = (false, rest),
            Word::Api => self.in_api = true,
            Word::Version => self.in_api = false,
            Word::Messages if is_base(self.last[0]) => self.in_messages = true,
            _ => {}
        }
        self.last = [*word, self.last[0], self.last[1]];
        self.segments += 1;
    }

    fn endpoint(&self, method: Method) -> Option<Endpoint> {
        if let Some(own) = self.own(method) {
            return Some(own);
        }
        match self.last {
            [Word::Completions, Word::Chat, _] => Some(Endpoint::Chat),
            [Word::Completions, ..] => Some(Endpoint::Completions),
            [Word::Embeddings, Word::Api, _] => Some(Endpoint::OllamaEmbeddings),
            [Word::Embeddings, ..] => Some(Endpoint::Embeddings),
            [Word::Responses, ..] => Some(Endpoint::Responses),
            [Word::Messages, before, _] if is_base(before) => Some(Endpoint::Messages),
            [Word::CountTokens, Word::Messages, before] if is_base(before) => Some(Endpoint::CountTokens),
            [word, Word::Api, _] => ollama(word).or_else(|| self.model(method)),
            [word, Word::Sys, _] if self.segments == 2 => managed(word),
            _ if self.is_blob => Some(Endpoint::OllamaBlob),
            _ => self.model(method),
        }
    }

    /// The gateway's own paths, for GET and HEAD only and nowhere but at the root.
    fn own(&self, method: Method) -> Option<Endpoint> {
        let reads = matches!(method, Method::Get | Method::Head);
        match (self.segments, self.last[0]) {
            _ if !reads => None,
            (0, _) => Some(Endpoint::Root),
            (1, Word::Health) => Some(Endpoint::Health),
            (1, Word::Livez) => Some(Endpoint::Livez),
            (1, Word::Readyz) => Some(Endpoint::Readyz),
            (1, Word::Metrics) => Some(Endpoint::Metrics),
            _ => None,
        }
    }

    /// `models`, or `models/…` with whatever follows as the id. A POST there is no call of this API (Gemini's own
    /// `models/x:generateContent` is one) and stays unknown.
    fn model(&self, method: Method) -> Option<Endpoint> {
        match self.last[0] {
            Word::Models => Some(Endpoint::Models),
            _ if self.is_model && !matches!(method, Method::Post) => Some(Endpoint::Model),
            _ => None,
        }
    }

    fn dialect(&self) -> Dialect {
        match () {
            () if self.in_api => Dialect::Ollama,
            () if self.in_messages => Dialect::Anthropic,
            () => Dialect::OpenAi,
        }
    }
}

/// What may stand before `messages`. OpenAI's `threads/ID/messages` is something else.
const fn is_base(word: Word) -> bool {
    matches!(word, Word::None | Word::Version | Word::Api | Word::Anthropic | Word::Openai | Word::Completions)
}

/// `api/WORD`.
const fn ollama(word: Word) -> Option<Endpoint> {
    Some(match word {
        Word::Chat => Endpoint::OllamaChat,
        Word::Generate => Endpoint::OllamaGenerate,
        Word::Embed => Endpoint::OllamaEmbed,
        Word::Version_ => Endpoint::OllamaVersion,
        Word::Ps => Endpoint::OllamaPs,
        Word::Create => Endpoint::OllamaCreate,
        _ => return managed(word),
    })
}

/// `api/WORD`, and `sys/WORD` of the token-guarded proxy (M-C2).
const fn managed(word: Word) -> Option<Endpoint> {
    Some(match word {
        Word::Tags => Endpoint::OllamaTags,
        Word::Show => Endpoint::OllamaShow,
        Word::Pull => Endpoint::OllamaPull,
        Word::Push => Endpoint::OllamaPush,
        Word::Copy => Endpoint::OllamaCopy,
        Word::Delete => Endpoint::OllamaDelete,
        _ => return None,
    })
}

/// A segment in the making: decoded, in lower case, as much of it as any word is long.
#[derive(Default)]
struct Segment {
    text: [u8; WORD_BYTES],
    len: usize,
}

impl Segment {
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.len) {
            *place = byte.to_ascii_lowercase();
        }
        self.len += 1;
    }

    /// Its word without `;` parameters, which some servers cut off, and a fresh start.
    fn end(&mut self) -> Result<Word, Kind> {
        let kept = &self.text[..self.len.min(WORD_BYTES)];
        let parameters = memchr::memchr(b';', kept);
        let word = match &kept[..parameters.unwrap_or(kept.len())] {
            [b'.'] | [b'.', b'.'] => return Err(Kind::BadRequest),
            _ if self.len == 0 => Word::None,
            _ if parameters.is_none() && self.len > WORD_BYTES => Word::Other,
            text => Word::of(text),
        };
        self.len = 0;
        Ok(word)
    }
}

/// The byte at `at`, decoded, and where the next one starts.
fn decode(raw: &[u8], at: usize) -> Result<(u8, usize), Kind> {
    match raw[at] {
        b'%' => {}
        b'\\' => return Err(Kind::BadRequest),
        byte => return Ok((byte, at + 1)),
    }
    let digit = |at: usize| raw.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else { return Err(Kind::BadRequest) };
    let byte = (high << 4 | low) as u8;
    if byte.is_ascii_control() || byte == b'\\' { Err(Kind::BadRequest) } else { Ok((byte, at + 3)) }
}
