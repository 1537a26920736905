//! The short way for events that are like the last one.

use super::{Filter, Framer};
use crate::wire::think::source::{Source, Stand};
use crate::wire::think::splitter::Piece;
use crate::wire::think::template::Holds;
use crate::wire::think::{Out, Policy};

impl Filter {
    /// Deal with the events that are like the last one and whose text is all of one kind.
    #[inline]
    pub(super) fn familiar_events(&mut self, input: &[u8], from: &mut usize, out: &mut Out) {
        if !self.framer.is_idle() {
            return;
        }
        while let Some(found) = self.template.matches(&input[*from..]) {
            let start = *from;
            *from += found.len;
            self.template.hit();
            match self.familiar(&input[start + found.text.start..start + found.text.end]) {
                Some(true) => {
                    out.sink.input(start, *from);
                    self.forwarded = true;
                    self.data_line_written();
                }
                Some(false) => self.dropped(),
                None => {
                    let source = Source { bytes: &input[start..*from], input_at: Some(start) };
                    out.scratch.clear();
                    let head = self.template.recall(&found, &mut out.scratch);
                    let verdict = self.choices(source.bytes, &head, Stand::InStream, &mut out.scratch);
                    self.conclude(source, verdict, out);
                    if self.turn_off() {
                        return;
                    }
                }
            }
        }
    }

    /// Is an event like the last one, with this text, to be written as it is (true) or dropped (false)? `None`: it has
    /// to be read in full.
    #[inline]
    pub(super) fn familiar(&mut self, text: &[u8]) -> Option<bool> {
        let may_drop =
            self.policy == Policy::Strip && self.template.hollow && !self.members.is_empty() && !text.is_empty();
        let lane = self.lanes.find(self.template.index)?;
        match (self.template.holds(), self.policy) {
            (Holds::Thinking, Policy::Separate) => Some(true),
            (Holds::Thinking, Policy::Strip) if may_drop => {
                self.stats.removed_bytes += text.len() as u64 + 2;
                Some(false)
            }
            (Holds::Thinking, _) => None,
            (Holds::Text, Policy::Wrap) => lane.passes_wrap(text),
            (Holds::Text, _) if !lane.held.is_empty() => None,
            (Holds::Text, _) => match lane.splitter.plain(&self.profile, text)? {
                Piece::Visible if self.policy == Policy::Strip && self.template.beside => None,
                Piece::Visible => (!lane.watch(&self.profile, text, &mut self.stats)).then_some(true),
                _ if may_drop => {
                    self.stats.removed_bytes += text.len() as u64;
                    Some(false)
                }
                _ => None,
            },
        }
    }

    /// The event's own bytes were read, so that others can be compared with them.
    pub(super) fn is_plain_event(&self, stand: Stand) -> bool {
        let one_line = match &self.framer {
            Framer::Sse(framer) => framer.has_one_line(),
            Framer::Ndjson(_) => true,
            Framer::Json(_) => false,
        };
        one_line && stand == Stand::InStream
    }
}
