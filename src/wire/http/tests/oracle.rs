//! The same rules as the readers', written a second time in the plainest way: whole buffers, no states, no haste. It knows
//! nothing of the crate, so that the fuzz targets can use it too.

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    Incomplete,
    Refused,
    Whole(T),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub authority: String,
    pub minor: u8,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Body,
    pub keep_alive: bool,
    pub len: usize,
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn digits(text: &str) -> Option<u64> {
    if text.chars().all(|c| c.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Latin-1: one character a byte.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// No limits on sizes: keep the input small.
pub fn request(buf: &[u8]) -> Verdict<Request> {
    let mut start = 0;
    while buf[start..].starts_with(b"\r\n") {
        start += 2;
    }
    if start > 8 {
        return Verdict::Refused;
    }
    let Some(end) = find(&buf[start..], b"\r\n\r\n") else { return Verdict::Incomplete };
    match head(&buf[start..start + end], start + end + 4) {
        Some(request) => Verdict::Whole(request),
        None => Verdict::Refused,
    }
}

fn head(head: &[u8], len: usize) -> Option<Request> {
    let text = latin(head);
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next()?.split(' ').collect();
    let [method, target, version] = words[..] else { return None };
    let minor = ["HTTP/1.0", "HTTP/1.1"].iter().position(|known| *known == version)? as u8;
    if !is_token(method) || method == "CONNECT" || method == "TRACE" {
        return None;
    }
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if !is_token(name) || value.chars().any(|c| c < ' ' && c != '\t' || c == '\x7f') {
            return None;
        }
        let value = value.trim_matches([' ', '\t']);
        fields.push((name.to_owned(), value.chars().map(|c| c as u8).collect()));
    }
    let all = |name: &str| -> Vec<String> {
        let named = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| latin(value)).collect()
    };
    for unique in ["authorization", "x-api-key", "api-key", "x-goog-api-key"] {
        if all(unique).len() > 1 {
            return None;
        }
    }
    if all("expect").iter().any(|value| !value.eq_ignore_ascii_case("100-continue")) {
        return None;
    }
    let hosts = all("host");
    if hosts.len() > 1 || (minor == 1 && hosts.is_empty()) || !hosts.iter().all(|host| is_host(host)) {
        return None;
    }
    let tokens: Vec<String> = all("connection")
        .iter()
        .flat_map(|value| value.split(','))
        .map(|t| t.trim_matches([' ', '\t']).to_ascii_lowercase())
        .collect();
    let said = |token: &str| tokens.iter().any(|own| own == token);
    let keep_alive = !said("close") && (minor == 1 || said("keep-alive"));
    let body = body(&all("content-length"), &all("transfer-encoding"), minor)?;
    let (authority, path, query) = target_parts(method, target)?;
    let authority = authority.or_else(|| hosts.first().cloned()).unwrap_or_default();
    let method = method.to_owned();
    Some(Request { method, path, query, authority, minor, fields, body, keep_alive, len })
}

fn body(lengths: &[String], codings: &[String], minor: u8) -> Option<Body> {
    match (lengths, codings) {
        ([], []) => Some(Body::None),
        ([length], []) => digits(length).filter(|_| !length.is_empty() && length.len() <= 20).map(Body::Length),
        ([], [coding]) if minor == 1 && coding.eq_ignore_ascii_case("chunked") => Some(Body::Chunked),
        _ => None,
    }
}

fn target_parts(method: &str, target: &str) -> Option<(Option<String>, String, Option<String>)> {
    if target.is_empty() || !target.chars().all(|c| ('!'..='~').contains(&c) && c != '#') {
        return None;
    }
    if target == "*" {
        return (method == "OPTIONS").then(|| (None, "*".to_owned(), None));
    }
    let (authority, rest) = match target.strip_prefix('/') {
        Some(_) => (None, target),
        None => {
            let (scheme, rest) = target.split_once("://")?;
            if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
                return None;
            }
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(rest[..end].to_owned()).filter(|host| is_host(host)).map(Some)?, &rest[end..])
        }
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (rest, None),
    };
    Some((authority, if path.is_empty() { "/".to_owned() } else { path.to_owned() }, query))
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.rfind(':').filter(|at| !text[*at..].contains(']')) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let port_fits = |port: &str| !port.is_empty() && port.len() <= 5 && digits(port).is_some_and(|n| n < 65536);
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let name_fits = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)),
    };
    text.len() <= 262 && name_fits && port.is_none_or(port_fits)
}

#[derive(Debug, PartialEq, Eq)]
pub struct Chunked {
    pub payload: Vec<u8>,
    pub trailers: Vec<u8>,
    pub len: usize,
}

/// A chunked body from the start of a buffer. `Incomplete` says nothing about the part of a line that is there.
pub fn chunked(buf: &[u8]) -> Verdict<Chunked> {
    let mut payload = Vec::new();
    let (mut at, mut extensions) = (0, 0);
    loop {
        let Some(end) = find(&buf[at..], b"\r\n") else { return Verdict::Incomplete };
        let line = latin(&buf[at..at + end]);
        at += end + 2;
        let size = line.split([';', ' ', '\t']).next().unwrap_or_default();
        let rest = &line[size.len()..];
        let is_extension = rest.is_empty() || rest.trim_start_matches([' ', '\t']).starts_with(';');
        let is_hex = !size.is_empty() && size.len() <= 16 && size.chars().all(|c| c.is_ascii_hexdigit());
        extensions += rest.chars().count();
        let has_control = rest.chars().any(|c| c < ' ' && c != '\t' || c == '\x7f');
        if !is_hex || !is_extension || has_control || rest.chars().count() > 240 || extensions > 16 * 1024 {
            return Verdict::Refused;
        }
        let Ok(size) = u64::from_str_radix(size, 16) else { return Verdict::Refused };
        if (payload.len() as u64).checked_add(size).is_none() {
            return Verdict::Refused;
        }
        if size == 0 {
            return trailers(buf, at, payload);
        }
        let left = (buf.len() - at) as u64;
        payload.extend_from_slice(&buf[at..at + left.min(size) as usize]);
        at += left.min(size) as usize;
        match &buf[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Verdict::Incomplete,
            _ => return Verdict::Refused,
        }
    }
}

fn trailers(buf: &[u8], start: usize, payload: Vec<u8>) -> Verdict<Chunked> {
    let (mut at, mut kept) = (start, Vec::new());
    loop {
        let Some(end) = find(&buf[at..], b"\r\n") else { return Verdict::Incomplete };
        let line = latin(&buf[at..at + end]);
        at += end + 2;
        if line.is_empty() {
            return Verdict::Whole(Chunked { payload, trailers: kept, len: at });
        }
        let Some((name, value)) = line.split_once(':') else { return Verdict::Refused };
        if at - start > 8 * 1024 || !is_token(name) || value.chars().any(|c| c < ' ' && c != '\t' || c == '\x7f') {
            return Verdict::Refused;
        }
        // Of the names that the generators make, and their neighbours.
        let name = name.to_ascii_lowercase();
        if !name.starts_with("content-") && name != "host" {
            kept.extend_from_slice(&buf[at - end - 2..at]);
        }
    }
}
