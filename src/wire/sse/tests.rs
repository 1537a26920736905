use super::*;

/// Frames of a stream cut into reads, neighbours of a kind joined where a cut parts them.
fn frames(reads: &[&[u8]]) -> Vec<(&'static str, Vec<u8>)> {
    let (mut framer, mut out) = (Framer::new(), Vec::<(&str, Vec<u8>)>::new());
    for read in reads {
        let mut from = 0;
        while let Some(frame) = framer.next(read, &mut from) {
            let mut bytes = |place| match place {
                Place::Input(span) => span.of(read).to_vec(),
                Place::Carried => framer.carry().take(),
            };
            let (kind, bytes) = match frame {
                Frame::Comment(span) => ("comment", span.of(read).to_vec()),
                Frame::Blank(span) => ("blank", span.of(read).to_vec()),
                Frame::Event(place) => ("event", bytes(place)),
                Frame::Trailer(span) => {
                    out.last_mut().unwrap().1.extend_from_slice(span.of(read));
                    continue;
                }
                Frame::Oversize(place, _) => ("oversize", bytes(place)),
                Frame::Foreign(span) => ("foreign", span.of(read).to_vec()),
            };
            match out.last_mut() {
                Some((last, more)) if *last == kind && matches!(kind, "comment" | "oversize" | "foreign") => {
                    more.extend(bytes)
                }
                _ => out.push((kind, bytes)),
            }
        }
    }
    out.push(("rest", framer.carry().take()));
    out
}

fn check_all_cuts(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let whole = frames(&[text]);
    for cut in 0..=text.len() {
        assert_eq!(frames(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(frames(&text.chunks(1).collect::<Vec<_>>()), whole);
    whole
}

#[test]
fn an_event_ends_at_an_empty_line_of_any_kind() {
    for text in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r"] {
        let twice = text.repeat(2);
        let frames = check_all_cuts(twice.as_bytes());
        let events: Vec<_> = frames.iter().filter(|(kind, _)| *kind == "event").collect();
        assert_eq!(events.len(), 2, "{frames:?}");
        assert_eq!(events[0].1, text.as_bytes());
    }
}

#[test]
fn comments_leave_the_event_they_stand_in() {
    let frames = check_all_cuts(b": one\n\nevent: x\n: two\r\ndata: a\n\ndata: rest");
    assert_eq!(
        frames,
        [
            ("comment", b": one\n".to_vec()),
            ("blank", b"\n".to_vec()),
            ("comment", b": two\r\n".to_vec()),
            ("event", b"event: x\ndata: a\n\n".to_vec()),
            ("rest", b"data: rest".to_vec()),
        ]
    );
}

#[test]
fn a_byte_order_mark_is_dropped_and_a_json_body_is_foreign() {
    assert_eq!(check_all_cuts(b"\xef\xbb\xbfdata: a\n\n")[0], ("event", b"data: a\n\n".to_vec()));
    assert_eq!(check_all_cuts(b"\xef\xbbdata: a\n\n")[0], ("event", b"\xef\xbbdata: a\n\n".to_vec()));
    let frames = check_all_cuts(b"\n\n{\"error\":\n\n{}}");
    assert_eq!(frames.last(), Some(&("rest", vec![])));
    assert_eq!(frames[2], ("foreign", b"{\"error\":\n\n{}}".to_vec()));
    assert_eq!(check_all_cuts(b"data: a\n\n{}\n\n")[1].0, "event");
}

#[test]
fn an_event_beyond_the_bound_comes_in_parts() {
    let line = format!("data: {}\n", "x".repeat(EVENT_BYTES_MAX / 2));
    let text = format!("{line}{line}: c\n{line}\ndata: next\n\n");
    let (text, cuts) = (text.as_bytes(), [1, 700, line.len(), line.len() + 1, 2 * line.len() + 2, text.len() - 14]);
    let whole = frames(&[text]);
    assert_eq!(whole.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), ["oversize", "event", "rest"]);
    for cut in cuts {
        assert_eq!(frames(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(frames(&text.chunks(5000).collect::<Vec<_>>()), whole);
}

/// All texts of up to seven of these bytes: frames do not depend on cuts, and nothing is lost.
#[test]
fn every_short_stream_in_every_cut() {
    let letters = b"a:\r\n{";
    for len in 0..=6usize {
        for mut number in 0..letters.len().pow(u32::try_from(len).unwrap()) {
            let text: Vec<u8> = (0..len)
                .map(|_| {
                    let letter = letters[number % letters.len()];
                    number /= letters.len();
                    letter
                })
                .collect();
            let whole = check_all_cuts(&text);
            let mut all: Vec<u8> = whole.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
            let mut input = text.clone();
            all.sort_unstable();
            input.sort_unstable();
            assert_eq!(all, input, "{text:?}");
        }
    }
}

#[test]
fn a_line_feed_does_not_follow_an_overtaken_carriage_return() {
    let mut framer = Framer::new();
    let mut from = 0;
    assert!(matches!(framer.next(b"data: a\r\n\r", &mut from), Some(Frame::Event(_))));
    framer.overtaken();
    from = 0;
    assert_eq!(framer.next(b"\ndata: b\n\n", &mut from), Some(Frame::Event(Place::Input(Span::new(1, 10)))));
}

#[test]
fn fields_of_an_event() {
    let read = |event: &[u8]| {
        let fields = fields(event);
        (fields.data_lines, fields.data.of(event).to_vec(), fields.id)
    };
    assert_eq!(read(b"event: x\nid: 7\ndata: {}\n\n"), (1, b"{}".to_vec(), true));
    assert_eq!(read(b"data:{}\r\rdatax: 1\n"), (1, b"{}".to_vec(), false));
    assert_eq!(read(b"data\ndata:  a"), (2, b"".to_vec(), false));
    assert_eq!(read(b"id\n"), (0, b"".to_vec(), true));
    let mut values = vec![];
    event::only_values(b"data: {\nid: 1\ndata:\"a\":1}\n\n", &mut values);
    assert_eq!(values, b"\n\n\n\n\n\n{\n\n\n\n\n\n\n\n\n\n\n\n\"a\":1}\n\n");
}
