//! How late the events of a paced stream are. Each stream is judged against its own best event, and that is known only when it ends:
//! a proxy that holds a whole answer back delivers its last event on time and all others late. Knows no clock.

use super::check::{Strictness, Thinking};
use crate::script::{Cut, Script};

/// When the events that a client sees are due.
#[derive(Clone, Debug)]
pub struct Timetable {
    script: Script,
    /// Events of thinking before the first one that is seen.
    hidden: u32,
    /// Events that are seen.
    events: u32,
}

impl Timetable {
    /// The timetable of a script; `None` when there is no pace, or none that can be known: a real model's, or writes that end anywhere.
    #[must_use]
    pub fn new(script: &Script, events: u32, strictness: Strictness, thinking: Thinking) -> Option<Self> {
        if script.pace.is_zero() || strictness == Strictness::Framing || script.cut == Cut::Random {
            return None;
        }
        let hidden = if thinking == Thinking::Stripped { script.upstream_events() - script.events } else { 0 };
        Some(Self { script: script.clone(), hidden, events })
    }

    /// Microseconds from the upstream's first event to this one.
    fn due(&self, number: usize) -> i64 {
        let number = self.hidden.saturating_add(u32::try_from(number).unwrap_or(u32::MAX));
        i64::try_from(self.script.due(number).as_micros()).unwrap_or(i64::MAX)
    }
}

/// When the events of one stream came.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// When the first one came, in nanoseconds.
    first: u64,
    /// Each event in microseconds after the first one.
    micros: Vec<u32>,
    /// Events before this one came before the measurement and are not counted.
    counted_from: usize,
}

impl Arrivals {
    /// Ready for another stream; keeps its buffer.
    pub fn clear(&mut self) {
        self.micros.clear();
        self.counted_from = 0;
    }

    /// So many events are there now.
    pub fn note(&mut self, now_ns: u64, events: u32) {
        if self.micros.is_empty() {
            self.first = now_ns;
        }
        let micros = u32::try_from(now_ns.saturating_sub(self.first) / 1000).unwrap_or(u32::MAX);
        self.micros.resize((events as usize).max(self.micros.len()), micros);
    }

    /// What came until now belongs to the warm-up: it may be a stream's best, its own lateness does not count.
    pub fn skip(&mut self) {
        self.counted_from = self.micros.len();
    }

    /// Hands the lateness of each event to `record`, in nanoseconds, and forgets them. With `still_open` (the time) also that of the
    /// next event, if it is overdue.
    pub fn judge(&mut self, table: &Timetable, still_open: Option<u64>, mut record: impl FnMut(u64)) {
        let offset = |(number, micros): (usize, &u32)| i64::from(*micros) - table.due(number);
        let Some(best) = self.micros.iter().enumerate().map(offset).min() else { return };
        let nanos = |micros: i64| u64::try_from(micros).unwrap_or(0).saturating_mul(1000);
        for event in self.micros.iter().enumerate().skip(self.counted_from) {
            record(nanos(offset(event) - best));
        }
        let next = self.micros.len();
        if let Some(now_ns) = still_open.filter(|_| next < table.events as usize) {
            let now = i64::try_from(now_ns.saturating_sub(self.first) / 1000).unwrap_or(i64::MAX);
            let overdue = now - table.due(next) - best;
            if overdue > 0 {
                record(nanos(overdue));
            }
        }
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn lateness(model: &str, thinking: Thinking, at_ms: &[u64], open_ms: Option<u64>) -> Vec<u64> {
        let script = Script::parse(model).unwrap();
        let events = if thinking == Thinking::Kept { script.upstream_events() } else { script.events };
        let table = Timetable::new(&script, events, Strictness::Text, thinking).unwrap();
        let (mut arrivals, mut got) = (Arrivals::default(), Vec::new());
        for (number, at) in at_ms.iter().enumerate() {
            arrivals.note(at * MS, number as u32 + 1);
        }
        arrivals.judge(&table, open_ms.map(|ms| ms * MS), |ns| got.push(ns / MS));
        got
    }

    #[test]
    fn events_are_judged_against_the_streams_best() {
        let late = |at: &[u64]| lateness("mock-stream-e4-p10", Thinking::Kept, at, None);
        assert_eq!(late(&[100, 110, 120, 130]), [0, 0, 0, 0]);
        assert_eq!(late(&[100, 115, 120, 130]), [0, 5, 0, 0]);
        // The answer was held back until its last event: that one came on time.
        assert_eq!(late(&[130, 130, 130, 130]), [30, 20, 10, 0]);
        assert!(late(&[]).is_empty());
    }

    #[test]
    fn bursts_holds_and_hidden_thinking_shift_what_is_due() {
        assert_eq!(lateness("mock-stream-e4-p10-burst2", Thinking::Kept, &[5, 5, 15, 15], None), [0, 0, 0, 0]);
        assert_eq!(lateness("mock-stream-e3-p10-hold1", Thinking::Kept, &[5, 1005, 1015], None), [0, 0, 0]);
        assert_eq!(lateness("mock-stream-e3-think1-p10-burst2", Thinking::Stripped, &[5, 15, 15], None), [0, 0, 0]);
        assert_eq!(lateness("mock-stream-e3-think1-p10", Thinking::Kept, &[5, 15, 25, 39], None), [0, 0, 0, 4]);
    }

    #[test]
    fn an_overdue_event_is_late_by_what_it_is_overdue() {
        let late = |open| lateness("mock-stream-e4-p10", Thinking::Kept, &[100, 110], Some(open));
        assert_eq!(late(119), [0, 0]);
        assert_eq!(late(620), [0, 0, 500]);
        assert_eq!(lateness("mock-stream-e2-p10", Thinking::Kept, &[100, 110], Some(620)), [0, 0], "none is missing");
    }

    #[test]
    fn the_warm_up_is_a_base_and_no_figure() {
        let script = Script::parse("mock-stream-e4-p10").unwrap();
        let table = Timetable::new(&script, 4, Strictness::Text, Thinking::Kept).unwrap();
        let (mut arrivals, mut got) = (Arrivals::default(), Vec::new());
        arrivals.note(50 * MS, 1);
        arrivals.note(90 * MS, 2);
        arrivals.skip();
        arrivals.note(90 * MS, 4);
        arrivals.judge(&table, None, |ns| got.push(ns / MS));
        assert_eq!(got, [20, 10]);
    }

    #[test]
    fn what_has_no_known_pace_has_no_timetable() {
        let table = |model: &str, strictness| {
            Timetable::new(&Script::parse(model).unwrap(), 4, strictness, Thinking::Kept).is_some()
        };
        assert!(table("mock-stream-e4-p10", Strictness::Bytes));
        assert!(!table("mock-stream-e4-p10", Strictness::Framing), "a real model");
        assert!(!table("mock-stream-e4", Strictness::Text));
        assert!(!table("mock-stream-e4-p10-random", Strictness::Text));
    }
}
