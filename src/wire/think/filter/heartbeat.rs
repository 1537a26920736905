//! Signs of life while thinking is suppressed, and the lines without data that clients put up with.

use super::{Filter, Framer};
use crate::base::bounds::QUIET_LINES_MAX;
use crate::wire::think::Format;
use crate::wire::think::envelope::{self, Says};
use crate::wire::think::scratch::Head;

impl Filter {
    /// A sign of life for the client, to be called when nothing was written for some seconds while
    /// `Stats::suppressing`. False when none may be written now.
    pub fn heartbeat(&mut self, out: &mut Vec<u8>) -> bool {
        if self.bypass || self.in_comment {
            return false;
        }
        match &mut self.framer {
            Framer::Sse(framer) if framer.between_lines() => {
                framer.overtaken();
                let chat = matches!(self.format, Format::OpenAiChat | Format::OpenAiCompletions);
                if self.quiet_lines >= QUIET_LINES_MAX && chat && !self.members.is_empty() {
                    self.empty_event(out);
                    self.quiet_lines = 0;
                } else {
                    out.extend_from_slice(if self.id_seen { b": thinking\n" } else { b": thinking\n\n" });
                    self.quiet_lines = self.quiet_lines.saturating_add(if self.id_seen { 1 } else { 2 });
                }
                true
            }
            Framer::Ndjson(framer) if framer.between_lines() && !self.members.is_empty() => {
                self.empty_event(out);
                true
            }
            _ => false,
        }
    }

    pub(super) fn empty_event(&self, out: &mut Vec<u8>) {
        let lane = self.lanes.iter().next();
        let shape = lane.map_or(self.shape(&Head::default(), false), |lane| lane.shape);
        let says = Says { index: lane.map_or(0, |lane| lane.out_index), fields: &[], thinking: b"", text: b"" };
        envelope::write(shape, &self.members, says, out);
    }

    /// One more line without data; false when thinking is suppressed and clients would give up.
    pub(super) fn has_quiet_line(&mut self) -> bool {
        let may = !self.after_drop || self.quiet_lines < QUIET_LINES_MAX;
        self.quiet_lines = self.quiet_lines.saturating_add(u16::from(may));
        may
    }

    pub(super) fn data_line_written(&mut self) {
        self.quiet_lines = 0;
        self.after_drop = false;
        self.blanks_go = false;
    }
}
