//! What real servers have sent, byte for byte, as the upstream's answers.

use std::io::Cursor;
use std::path::Path;

use crate::both_drivers;
use crate::support::deltas::{self, Delta, Kind, joined};
use crate::support::{After, Client, Framing, Gateway, Inbox, Io, Upstream};

both_drivers![kept_answers_are_byte_identical, stripped_answers_lose_their_thinking_and_nothing_else];

struct Capture {
    name: String,
    /// As the client had sent it, without a `Connection` line.
    request: Vec<u8>,
    response: Vec<u8>,
}

/// What is left of an answer without its framing.
struct Decoded {
    status: u16,
    body: Vec<u8>,
    whole: bool,
}

fn captures() -> Vec<Capture> {
    const DIVIDER: &[u8] = b"\n=== response ===\n";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/captures");
    let mut captures: Vec<Capture> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let comment = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let divider = crate::support::find(&bytes, DIVIDER).unwrap();
            let request = bytes[comment..divider].to_vec();
            Capture {
                name: path.file_stem().unwrap().to_string_lossy().into_owned(),
                request: without_connection(&request),
                response: bytes[divider + DIVIDER.len()..].to_vec(),
            }
        })
        .collect();
    captures.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(captures.len() >= 36, "all captures are there");
    captures
}

fn without_connection(request: &[u8]) -> Vec<u8> {
    let end = crate::support::find(request, b"\r\n\r\n").unwrap();
    let head = String::from_utf8(request[..end].to_vec()).unwrap();
    let lines: Vec<&str> = head.split("\r\n").filter(|line| !line.to_lowercase().starts_with("connection:")).collect();
    [lines.join("\r\n").as_bytes(), &request[end..]].concat()
}

impl Capture {
    fn path(&self) -> &str {
        let line = self.request.split(|byte| *byte == b' ').nth(1).unwrap();
        std::str::from_utf8(line).unwrap()
    }

    fn upstream(&self) -> Upstream {
        let response = self.response.clone();
        Upstream::start(move |conn, _| {
            conn.send(&response);
            After::Close
        })
    }

    /// The captured body without its framing, as far as it goes.
    fn decoded(&self) -> Decoded {
        let mut inbox = Inbox::new(Cursor::new(self.response.clone()));
        let head = inbox.head().unwrap().unwrap();
        let framing = head.framing(Framing::UntilClose).unwrap();
        let status = head.line[9..12].parse().unwrap();
        if framing != Framing::Chunked {
            let (body, _) = inbox.body(framing).unwrap();
            return Decoded { status, body, whole: true };
        }
        let mut body = Vec::new();
        loop {
            match inbox.chunk() {
                Ok(Some(data)) => body.extend_from_slice(&data),
                Ok(None) => return Decoded { status, body, whole: true },
                Err(_) => return Decoded { status, body, whole: false },
            }
        }
    }

    /// Sends the captured request with a policy; what arrives, whole or not.
    fn ask(&self, gateway: &Gateway, policy: &str) -> Decoded {
        let end = crate::support::find(&self.request, b"\r\n").unwrap();
        let mut client: Client = gateway.connect();
        client.send([&self.request[..end], format!("\r\nX-Think: {policy}").as_bytes(), &self.request[end..]].concat());
        let head = client.head();
        if head.framing != Framing::Chunked {
            let body = client.body(head.framing);
            return Decoded { status: head.status, body, whole: true };
        }
        let mut body = Vec::new();
        loop {
            match client.try_chunk() {
                Ok(Some(data)) => body.extend_from_slice(&data),
                end => return Decoded { status: head.status, body, whole: end.is_ok() },
            }
        }
    }

    /// `None` where the reader of the tests knows no such format.
    fn format(&self) -> Option<&'static str> {
        let json = self.name.ends_with("_json");
        match self.path() {
            "/v1/chat/completions" if json => Some("openai_json"),
            "/v1/chat/completions" => Some("openai_sse"),
            "/v1/completions" => Some("openai_completions_sse"),
            "/v1/messages" if json => Some("anthropic_json"),
            "/v1/messages" => Some("anthropic_sse"),
            _ => None,
        }
    }
}

fn kept_answers_are_byte_identical(io: Io) {
    for capture in captures() {
        let upstream = capture.upstream();
        let gateway = Gateway::before(&upstream, io);
        let (wanted, got) = (capture.decoded(), capture.ask(&gateway, "keep"));
        assert_eq!(got.status, wanted.status, "{}", capture.name);
        assert!(got.body == wanted.body, "{}: {}", capture.name, String::from_utf8_lossy(&got.body));
        assert_eq!(got.whole, wanted.whole, "{}: a cut answer looks cut", capture.name);
    }
}

/// The ten-line reference: blocks at the start, blanks around them.
fn stripped(text: &str) -> String {
    let mut rest = text;
    while let Some(inner) = rest.trim_start().strip_prefix("<think>") {
        match inner.split_once("</think>") {
            Some((_, after)) => rest = after.trim_start(),
            None => return String::new(),
        }
    }
    rest.to_owned()
}

fn others(deltas: &[Delta]) -> Vec<&Delta> {
    deltas.iter().filter(|delta| !matches!(delta.kind, Kind::Content | Kind::Reasoning)).collect()
}

fn stripped_answers_lose_their_thinking_and_nothing_else(io: Io) {
    let mut thinking = 0;
    for capture in captures() {
        let Some(format) = capture.format() else { continue };
        let raw = capture.decoded();
        if raw.status != 200 {
            continue; // errors are covered by the other test: they pass as they are
        }
        let upstream = capture.upstream();
        let gateway = Gateway::before(&upstream, io);
        let got = capture.ask(&gateway, "strip");
        let (before, after) = (deltas::read(&raw.body, format), deltas::read(&got.body, format));
        let name = &capture.name;
        assert_eq!(others(&after), others(&before), "{name}: tool calls, finish reasons, errors, end marks");
        assert_eq!(joined(&after, Kind::Reasoning).len(), 0, "{name}");
        let was = joined(&before, Kind::Content);
        let is = joined(&after, Kind::Content);
        thinking += usize::from(is != was || !joined(&before, Kind::Reasoning).is_empty());
        for (choice, text) in &was {
            let got = is.get(choice).map_or("", String::as_str);
            if name.contains("orphan") {
                // The prompt held the opening tag. Whoever knows that takes the thought out, whoever does not keeps it all.
                let answer = text.split_once("</think>").unwrap().1.trim_start();
                assert!(got == answer || got == text, "{name}: {got}");
            } else {
                assert_eq!(got, stripped(text), "{name}");
            }
        }
        assert_eq!(got.whole, raw.whole, "{name}");
    }
    assert!(thinking >= 12, "{thinking} captures held thinking");
}
