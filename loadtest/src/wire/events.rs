//! Events of a stream: server-sent events or lines of JSON, in whatever pieces they come.

/// An event longer than this is an error: the mock server's are under 64 KiB.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// How events are delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiting {
    /// `data: …` and a blank line.
    ServerSent,
    /// One JSON value a line.
    Lines,
}

/// Cuts a body into the events' payloads.
#[derive(Debug)]
pub struct Splitter {
    delimiting: Delimiting,
    /// The beginning of an event whose end has not come.
    carry: Vec<u8>,
}

/// An event longer than [`EVENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLong;

impl Splitter {
    /// A splitter at the start of a body.
    #[must_use]
    pub fn new(delimiting: Delimiting) -> Self {
        Self { delimiting, carry: Vec::new() }
    }

    /// Ready for another body; keeps its buffer.
    pub fn reset(&mut self, delimiting: Delimiting) {
        self.delimiting = delimiting;
        self.carry.clear();
    }

    /// Bytes of an event that was begun and not ended.
    #[must_use]
    pub fn leftover(&self) -> usize {
        self.carry.len()
    }

    /// Hands each complete payload in `data` (and what was kept) to `take`, in order. Comments give nothing.
    ///
    /// # Errors
    /// [`EventTooLong`], or what `take` returns first.
    pub fn feed<E: From<EventTooLong>>(
        &mut self,
        data: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.carry.is_empty() {
            let used = consume(self.delimiting, data, &mut take)?;
            self.carry.extend_from_slice(&data[used..]);
        } else {
            self.carry.extend_from_slice(data);
            let used = consume(self.delimiting, &self.carry, &mut take)?;
            self.carry.drain(..used);
        }
        if self.carry.len() > EVENT_BYTES_MAX { Err(EventTooLong.into()) } else { Ok(()) }
    }
}

fn consume<E>(delimiting: Delimiting, bytes: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<usize, E> {
    let mut used = 0;
    while let Some(length) = event_length(delimiting, &bytes[used..]) {
        let block = &bytes[used..used + length];
        used += length;
        match delimiting {
            Delimiting::ServerSent => payload_of(block, take)?,
            Delimiting::Lines => {
                let line = block.trim_ascii();
                if !line.is_empty() {
                    take(line)?;
                }
            }
        }
    }
    Ok(used)
}

/// The length of the first event with its delimiter, if it is complete.
fn event_length(delimiting: Delimiting, bytes: &[u8]) -> Option<usize> {
    if delimiting == Delimiting::Lines {
        return memchr::memchr(b'\n', bytes).map(|at| at + 1);
    }
    for at in memchr::memchr_iter(b'\n', bytes) {
        let line_is_empty =
            at == 0 || bytes[at - 1] == b'\n' || (bytes[at - 1] == b'\r' && (at == 1 || bytes[at - 2] == b'\n'));
        if line_is_empty {
            return Some(at + 1);
        }
    }
    None
}

/// Hands over the data of one server-sent event: its `data` lines, joined by line feeds.
fn payload_of<E>(block: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut lines = block
        .split(|&b| b == b'\n')
        .filter_map(|line| line.strip_suffix(b"\r").unwrap_or(line).strip_prefix(b"data:"))
        .map(|value| value.strip_prefix(b" ").unwrap_or(value));
    let Some(first) = lines.next() else { return Ok(()) };
    let Some(second) = lines.next() else { return take(first) };
    let mut joined = first.to_vec();
    for line in std::iter::once(second).chain(lines) {
        joined.push(b'\n');
        joined.extend_from_slice(line);
    }
    take(&joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(delimiting: Delimiting, parts: &[&[u8]]) -> (Vec<String>, usize) {
        let mut splitter = Splitter::new(delimiting);
        let mut got = Vec::new();
        for part in parts {
            splitter
                .feed::<EventTooLong>(part, |payload| {
                    got.push(String::from_utf8_lossy(payload).into_owned());
                    Ok(())
                })
                .unwrap();
        }
        (got, splitter.leftover())
    }

    const STREAM: &[u8] =
        b": hello\n\ndata: one\n\nevent: x\r\ndata:two\r\n\r\ndata: a\ndata: b\n\n\n\ndata: [DONE]\n\n";

    #[test]
    fn events_are_the_same_at_every_pair_of_cuts() {
        let want = (vec!["one".into(), "two".into(), "a\nb".into(), "[DONE]".into()], 0);
        for first in 0..STREAM.len() {
            for second in first..STREAM.len() {
                let parts = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
                assert_eq!(split(Delimiting::ServerSent, &parts), want, "{first} {second}");
            }
        }
    }

    #[test]
    fn an_event_without_its_blank_line_is_left_over() {
        assert_eq!(split(Delimiting::ServerSent, &[b"data: one\n\ndata: tw"]), (vec!["one".into()], 8));
    }

    #[test]
    fn lines_are_values() {
        let want = (vec!["{}".into(), "{\"a\":1}".into()], 2);
        assert_eq!(split(Delimiting::Lines, &[b"{}\n{\"a\"", b":1}\r\n\n{\""]), want);
    }

    #[test]
    fn endless_events_are_refused() {
        let mut splitter = Splitter::new(Delimiting::Lines);
        let block = vec![b'x'; EVENT_BYTES_MAX];
        assert_eq!(splitter.feed::<EventTooLong>(&block, |_| Ok(())), Ok(()));
        assert_eq!(splitter.feed::<EventTooLong>(b"y", |_| Ok(())), Err(EventTooLong));
    }
}
