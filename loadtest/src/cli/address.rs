//! Addresses, URLs and header fields as they are typed. What is typed goes into requests as it is, so it must not break them.

use std::net::{SocketAddr, ToSocketAddrs};

use super::{Failure, usage};

/// The first address of `HOST:PORT`.
pub(super) fn address(text: &str) -> Result<SocketAddr, Failure> {
    let mut found = text.to_socket_addrs().map_err(|error| usage(format!("`{text}`: {error}")))?;
    found.next().ok_or_else(|| usage(format!("`{text}` has no address")))
}

/// Host with port, address and path prefix of a URL.
pub(super) fn split_url(url: &str) -> Result<(String, SocketAddr, String), Failure> {
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(usage(format!("--url {url:?}: blanks and control characters cannot be in a URL")));
    }
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err(usage(format!("`{url}`: only http:// is measured; put TLS before it if you need it"))),
        None => return Err(usage(format!("`{url}`: a URL begins with http://"))),
    };
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let with_port = if authority.rsplit(']').next().is_some_and(|tail| tail.contains(':')) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let path = path.trim_end_matches('/');
    let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
    Ok((authority.to_owned(), address(&with_port)?, prefix.trim_end_matches("/v1").to_owned()))
}

/// `Name: value`, as it is sent.
pub(super) fn field(text: &str) -> Result<String, Failure> {
    // The characters of a token in RFC 9110.
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let (name, value) =
        text.split_once(':').ok_or_else(|| usage(format!("--header {text:?} has no colon: `Name: value`")))?;
    if name.is_empty() {
        return Err(usage(format!("--header {text:?} has no name: `Name: value`")));
    }
    if !name.chars().all(is_token) {
        return Err(usage(format!("--header {text:?}: `{}` is no name of a field", name.escape_debug())));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(usage(format!("--header {text:?}: a control character cannot be in a field")));
    }
    Ok(text.to_owned())
}

/// The value of `--host`.
pub(super) fn host(text: &str) -> Result<String, Failure> {
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(usage(format!("--host {text:?}: a name without blanks and control characters")));
    }
    Ok(text.to_owned())
}

/// The value of `--model`, which stands in JSON as it is.
pub(super) fn model(text: &str) -> Result<String, Failure> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(usage(format!("--model {text:?}: a name without quotes, backslashes and control characters")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<T>(result: Result<T, Failure>) -> String {
        match result {
            Ok(_) => "taken".into(),
            Err(Failure::Usage(text)) => text,
            Err(Failure::Run(text)) => format!("not before the run: {text}"),
        }
    }

    #[test]
    fn urls_are_split() {
        for url in ["http://127.0.0.1:3000/base/v1/", "HTTP://127.0.0.1:3000/base", "Http://127.0.0.1:3000/base/"] {
            let Ok((host, address, prefix)) = split_url(url) else { panic!("{url}") };
            assert_eq!((host.as_str(), prefix.as_str()), ("127.0.0.1:3000", "/base"));
            assert_eq!(address.port(), 3000);
        }
        let Ok((_, address, _)) = split_url("http://[::1]") else { panic!("without a port") };
        assert_eq!(address.port(), 80);
        for (url, word) in [
            ("https://x", "only http://"),
            ("127.0.0.1:3000", "begins with http://"),
            ("http://127.0.0.1:3000/a b", "blanks"),
            ("http://127.0.0.1:3000/a\r\nX-Y: z", "control"),
            (" http://127.0.0.1:3000", "blanks"),
        ] {
            assert!(said(split_url(url)).contains(word), "{url}");
        }
    }

    #[test]
    fn fields_are_a_name_and_a_value() {
        for text in ["A:b", "Authorization: Bearer sk-…", "X-Empty:"] {
            assert_eq!(said(field(text)), "taken", "{text}");
        }
        for (text, word) in [
            ("Authorization", "no colon"),
            (": x", "no name"),
            ("A b: x", "no name of a field"),
            ("A\r\nB: x", "no name of a field"),
            ("A: x\r\nB: y", "control character"),
            ("A: \0", "control character"),
        ] {
            assert!(said(field(text)).contains(word), "{text:?}: {}", said(field(text)));
        }
    }

    #[test]
    fn names_that_would_break_a_request_are_refused() {
        assert_eq!(said(host("gateway.example:80")), "taken");
        assert!(said(host("a b")).contains("--host"));
        assert_eq!(said(model("llama3.2:7b")), "taken");
        assert!(said(model("a\"b")).contains("--model"));
    }
}
