//! Bodies without a stream.

use super::filter::Filter;
use super::out::Out;
use super::{Policy, Spec, Start, StartOverride, Stats};

/// Filter a whole JSON body. `out` is cleared first; its input ranges are ranges of `body`.
pub fn whole(spec: &Spec, body: &[u8], out: &mut Out) -> Stats {
    out.clear();
    let mut filter = Filter::new(spec);
    if filter.bypass() {
        out.sink.input(0, body.len());
    } else {
        filter.whole_body(body, Some(0), out);
    }
    filter.stats()
}

/// A quick look: false means that [`whole`] would change nothing.
#[must_use]
pub fn may_need_edit(spec: &Spec, body: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(body, needle).is_some();
    let members = || has(b"\"reasoning") || has(b"thinking") || has(b"\\u00");
    let profile = &spec.profile;
    match spec.effective_policy() {
        Policy::Keep => false,
        Policy::Wrap => members(),
        Policy::Strip | Policy::Separate => {
            spec.start == StartOverride::Inside
                || profile.start == Start::Inside
                || profile.at_start.find(body, 0).is_some()
                || profile.text.find(body, 0).is_some()
                || (spec.effective_policy() == Policy::Strip && members())
        }
    }
}
