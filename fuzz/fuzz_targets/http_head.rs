//! Any bytes as a request head: read as the plain second reading reads them, whole and cut; what is taken can be written
//! for an upstream and is one message there.
#![no_main]

#[path = "../../src/wire/http/tests/oracle.rs"]
#[allow(dead_code)]
mod oracle;

use libfuzzer_sys::fuzz_target;
use oracle::Verdict;
use thinkgate::wire::dialect::route;
use thinkgate::wire::http::request::{Progress, parse, parse_growing};
use thinkgate::wire::http::write::{Credential, UpstreamLine, upstream_request};
use thinkgate::wire::http::{Framing, Method, RequestHead, response, slots};

fuzz_target!(|data: &[u8]| {
    let Some((cut, text)) = data.split_first() else { return };
    let mut room = slots();
    let ours = parse(text, &mut room);
    match (oracle::request(text), &ours) {
        (Verdict::Whole(theirs), Ok(Some(ours))) => same(&theirs, ours),
        // The limits are the reader's own.
        (Verdict::Whole(theirs), Err(_)) if theirs.len > 8192 || theirs.fields.len() > 100 => {}
        (Verdict::Refused, Err(_)) | (Verdict::Incomplete, Ok(None) | Err(_)) => {}
        (theirs, ours) => panic!("{theirs:?} {ours:?}"),
    }
    let mut progress = Progress::default();
    let mut early = slots();
    let first =
        parse_growing(&text[..usize::from(*cut).min(text.len())], &mut progress, &mut early).map(|h| h.map(|h| h.len));
    if first == Ok(None) {
        let mut late = slots();
        let second = parse_growing(text, &mut progress, &mut late).map(|head| head.map(|head| head.len));
        match &ours {
            Ok(head) => assert_eq!(second, Ok(head.map(|head| head.len))),
            Err(_) => assert!(!matches!(second, Ok(Some(_)))),
        }
    }
    if let Ok(Some(head)) = &ours {
        forward(head);
    }
    let mut room = slots();
    let _ = response::parse(text, Method::Post, &mut room);
});

fn same(theirs: &oracle::Request, ours: &RequestHead<'_>) {
    assert_eq!((theirs.len, &*theirs.method, &*theirs.path), (ours.len, ours.method_text, ours.path));
    assert_eq!((theirs.query.as_deref(), &*theirs.authority), (ours.query, ours.authority));
    assert_eq!((theirs.keep_alive, theirs.fields.len()), (ours.keep_alive, ours.fields.iter().count()));
    match (&theirs.body, ours.framing) {
        (oracle::Body::None, Framing::None) | (oracle::Body::Chunked, Framing::Chunked) => {}
        (oracle::Body::Length(theirs), Framing::Length(ours)) => assert_eq!(*theirs, ours),
        other => panic!("{other:?}"),
    }
}

fn forward(head: &RequestHead<'_>) {
    let Ok(found) = route(head.method, head.path) else { return };
    let line = UpstreamLine {
        authority: "up:1",
        path_prefix: "",
        path_override: found.upstream_path.parts(),
        method_override: None,
        credential: Credential::Remove,
        request_id: "r",
        framing: head.framing,
        extra: &[],
    };
    let mut out = Vec::new();
    upstream_request(&mut out, head, &line);
    let mut room = slots();
    let again = match parse(&out, &mut room) {
        Ok(Some(again)) => again,
        // The fields we add may be those too many.
        Err(_) if head.fields.iter().count() > 95 || head.len > 8000 => return,
        other => panic!("{other:?}"),
    };
    assert_eq!((again.len, again.framing, again.authority), (out.len(), head.framing, "up:1"));
    assert!(again.authorization.is_none() && again.api_key.is_none() && !again.has_connection_fields);
    if !found.endpoint.is_own() {
        assert_eq!(route(again.method, again.path).map(|route| route.endpoint), Ok(found.endpoint));
    }
}
