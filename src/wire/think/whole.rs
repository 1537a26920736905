//! Bodies without a stream.

use std::sync::LazyLock;

use memchr::memmem::Finder;

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

/// Signs of members that hold thinking, or of their names in another spelling.
static MEMBERS: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| [Finder::new("\"reasoning"), Finder::new("thinking"), Finder::new("\\u00")]);

/// The member that holds the text of a part.
static TEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"text\""));

/// A quick look: false means that [`whole`] would change nothing.
#[must_use]
pub fn may_need_edit(spec: &Spec, body: &[u8]) -> bool {
    let members = || MEMBERS.iter().any(|sign| sign.find(body).is_some());
    // A tag may begin in one part of a text and end in the next.
    let parts = || TEXT.find_iter(body).nth(1).is_some();
    let profile = &spec.profile;
    match spec.effective_policy() {
        Policy::Keep => false,
        Policy::Wrap => members(),
        Policy::Strip | Policy::Separate => {
            spec.start == StartOverride::Inside
                || profile.start == Start::Inside
                || profile.at_start.occurs(body)
                || profile.text.occurs(body)
                // They are only counted, and that is for the person who set the profile.
                || profile.closes.occurs(body)
                || parts()
                || (spec.effective_policy() == Policy::Strip && members())
        }
    }
}
