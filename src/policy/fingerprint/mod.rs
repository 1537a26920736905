//! What decides a model's answer, as 128 bits: the cache's key.
//!
//! Two requests have the same fingerprint when the same answer serves both: whatever the order of their keys, the blanks
//! between them, the way a string or number is spelled, whether they ask for a stream, and whether they speak OpenAI's
//! dialect or Ollama's. `knobs` lists every known key with what becomes of it and why; a key that is not listed counts.
//! When in doubt two requests differ: a miss costs time, a wrong hit is a wrong answer. What is *not* in doubt: a server's
//! own default and the same value written down are told apart, but two servers' faces with different defaults are not
//! (Ollama's `/v1` samples a little warmer than its `/api`): either answer is one of the many that the model might give.
//!
//! The hash is keyed per installation, so that nobody can make two requests collide, or test a guess of someone's
//! conversation against the names on the disk.

mod chat;
mod knobs;
mod request;
mod sink;
#[cfg(test)]
mod tests;
mod tree;

use crate::base::bounds::{EMBED_BATCH_MAX, FINGERPRINT_BYTES_MAX};
use crate::wire::answer::Kind;

pub use knobs::{Knob, OLLAMA, OPENAI, OPTIONS, Rule, Same};
use sink::Sink;
use tree::{Reader, Value};

/// Raised with every change of the canonical form: old entries are then never asked for again.
const FORM: &[u8] = b"thinkgate fingerprint 2";

/// 256 random bits, made once per installation and kept beside the cache.
#[derive(Clone)]
pub struct InstallKey(pub [u8; 32]);

impl std::fmt::Debug for InstallKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InstallKey([redacted])")
    }
}

/// The key of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

/// What belongs to the key and is not in the body.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Who may share an answer: a token's id, or the same for all where all share.
    pub tenant: &'a [u8],
    /// Which upstream answers: a channel's name, a route. Different servers give different answers to the same request.
    pub route: &'a [u8],
    /// The credential that the gateway itself shows the upstream; another account may have another model of this name.
    pub credential: &'a [u8],
    /// The think profile with its version, if stored answers were split by it. Empty where they are stored as they came
    /// (`wire::answer`) and filtered on the way out.
    pub profile: &'a [u8],
    /// The model after aliases; `None` takes the body's.
    pub model: Option<&'a str>,
    pub kind: Kind,
    /// Answers that another try might give differently are shared too; else only those to a temperature of 0.
    pub sampled: bool,
}

/// Why a request has no fingerprint. It is forwarded and nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncacheable {
    /// Not a JSON object, too deep, or too many values.
    Unreadable,
    /// Longer than the bound.
    TooLarge,
    /// A name twice in one object: decoders disagree about which one counts.
    DuplicateKey,
    /// An integer that readers round differently.
    Number,
    /// No model, or nothing to answer (Ollama loads or unloads the model then).
    NoPrompt,
    /// More than one answer is asked for.
    ManyAnswers,
    /// Log probabilities are not kept.
    LogProbs,
    /// An answer with sound or images is not kept.
    Modality,
    /// A part whose content lies elsewhere (a URL, a file's id) and may change.
    RemoteContent,
    /// The upstream is asked to do something beside answering.
    SideEffect,
    /// The answer hangs on what the upstream remembers.
    State,
    /// A switch that is neither true nor false: servers disagree about what it says.
    NoSwitch,
    /// Vectors of another kind than floats may be asked for.
    Encoding,
    /// The temperature is not 0, and sampled answers are not to be kept.
    Sampled,
}

/// Reads bodies and makes fingerprints; keeps its buffers, so have one per core.
pub struct Fingerprinter {
    reader: Reader,
    sink: Sink,
}

impl Fingerprinter {
    #[must_use]
    pub fn new(key: InstallKey) -> Self {
        Self { reader: Reader::default(), sink: Sink::new(key) }
    }

    /// The fingerprint of a whole request body.
    ///
    /// # Errors
    /// Says why the request must not be answered from the cache nor its answer be stored.
    pub fn fingerprint(&mut self, scope: &Scope<'_>, body: &[u8]) -> Result<Fingerprint, Uncacheable> {
        if body.len() > FINGERPRINT_BYTES_MAX {
            return Err(Uncacheable::TooLarge);
        }
        let Self { reader, sink } = self;
        let one = |root: Value<'_>| {
            if root.is_object() { one(sink, scope, root, None) } else { Err(Uncacheable::Unreadable) }
        };
        reader.read(body, one).flatten()
    }

    /// Of a request to embed several texts: the fingerprint of asking for each of them alone, in their order. Nothing
    /// where it is one text, no text, or more than a batch may have to be taken apart.
    pub fn inputs(&mut self, scope: &Scope<'_>, body: &[u8]) -> Vec<Input> {
        if body.len() > FINGERPRINT_BYTES_MAX {
            return Vec::new();
        }
        let Self { reader, sink } = self;
        reader.read(body, |root| each_input(sink, scope, root)).unwrap_or_default()
    }
}

fn each_input(sink: &mut Sink, scope: &Scope<'_>, root: Value<'_>) -> Vec<Input> {
    let Some(input) = root.get("input") else { return Vec::new() };
    let lengths: Vec<_> = input.items().map_while(|item| item.text().map(str::len)).take(EMBED_BATCH_MAX).collect();
    // What an unlisted key does, it may do between the texts.
    if lengths.len() < 2 || lengths.len() != input.items().count() || request::has_unlisted(scope.kind, root) {
        return Vec::new();
    }
    let one = |(at, bytes)| Some(Input { print: one(sink, scope, root, Some(at)).ok()?, bytes });
    lengths.into_iter().enumerate().map_while(one).collect()
}

/// `input`: as if this element were all that is to be embedded.
fn one(sink: &mut Sink, scope: &Scope<'_>, root: Value<'_>, input: Option<usize>) -> Result<Fingerprint, Uncacheable> {
    sink.restart();
    for part in [FORM, scope.tenant, scope.route, scope.credential, scope.profile] {
        sink.bytes(part);
    }
    request::write(sink, scope, root, input)?;
    Ok(sink.finish())
}

/// One text of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    pub print: Fingerprint,
    /// The text's length.
    pub bytes: usize,
}
