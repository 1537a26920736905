//! The filter as a gateway drives it. The fuzz target has this file too.

use thinkgate::wire::think::{Filter, Out, Spec, Stats};

/// Everything that comes out for these reads.
pub fn run<'r>(spec: &Spec, reads: impl IntoIterator<Item = &'r [u8]>) -> (Vec<u8>, Stats) {
    let (mut filter, mut out, mut written) = (Filter::new(spec), Out::new(), vec![]);
    for read in reads {
        filter.feed(read, &mut out);
        out.copy_to(read, &mut written);
    }
    filter.finish(&mut out);
    out.copy_to(b"", &mut written);
    (written, filter.stats())
}
