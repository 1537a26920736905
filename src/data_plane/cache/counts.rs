//! Token counts at the end of an OpenAI stream: asked for although the client did not, so that the stored answer serves
//! everybody. Who did not ask is not shown them (`strain.rs`).

use super::flight::Form;
use crate::{
    data_plane::{clock::Micros, core::Core, exchange::Exchange, send::Outgoing},
    wire::answer::Kind,
};

/// What is put into the request, right behind its first brace.
const ASKED: &[u8] = br#""stream_options":{"include_usage":true},"#;

/// Where in the body the wish for counts would stand; `None`: nobody has to ask, or nobody may.
#[must_use]
pub fn place(core: &Core, exchange: &Exchange, form: Form) -> Option<usize> {
    let chat = matches!(form.kind, Kind::OpenAiChat | Kind::OpenAiCompletions);
    // Whoever speaks of it has decided; and the same member twice is read in two ways.
    if !chat || form.tells_usage() || exchange.stream_options || !exchange.snapshot.cache.asks_counts {
        return None;
    }
    if let Some((upstream, until)) = core.counts_refused.get()
        && upstream == exchange.snapshot.upstream.identity
        && core.clock.now() < until
    {
        return None;
    }
    let body = exchange.outgoing.body();
    let brace = body.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let after = body[brace..].strip_prefix(b"{")?;
    // An empty object would need no comma; it is no request either.
    (after.trim_ascii_start().first() == Some(&b'"')).then_some(brace + 1)
}

/// The upstream answered once it was not asked for counts: for some time it is not asked again. Not for ever, since behind
/// one address may stand several servers.
pub fn were_refused(core: &Core, upstream: u64) {
    const UNTIL_US: Micros = 600_000_000;
    core.counts_refused.set(Some((upstream, core.clock.now() + UNTIL_US)));
}

pub fn ask(outgoing: &mut Outgoing, place: usize) {
    outgoing.splice(place, 0, ASKED);
}

/// Some servers refuse members that they don't know.
pub fn ask_no_more(outgoing: &mut Outgoing, place: usize) {
    outgoing.splice(place, ASKED.len(), b"");
}

/// May an answer with this status mean that the wish itself was refused?
#[must_use]
pub const fn is_refusal(status: u16) -> bool {
    matches!(status, 400 | 422)
}
