//! Addresses to listen on and the upstream's URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::settings::{Scheme, UpstreamUrl};

/// `127.0.0.1:3000`, `[::1]:3000`, `localhost:3000`. Only `localhost` is accepted as a name: anything else would make
/// the start depend on a resolver.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(port) = text.strip_prefix("localhost:")
        && let Ok(port) = port.parse::<u16>()
    {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    Err("is not an address and port; write it like 127.0.0.1:3000, 0.0.0.0:3000 or [::1]:3000".to_owned())
}

/// Is this an address that only programs on this machine reach?
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    }
}

/// `http://host`, `https://host:port/prefix`. The path's final `/v1` is cut (and, without it, a final `/api`): clients'
/// requests carry their own, and people paste base URLs of both kinds.
pub(super) fn upstream(text: &str) -> Result<UpstreamUrl, String> {
    let text = text.trim();
    let (scheme, rest) = scheme(text)?;
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("has the character {bad:?} in it"));
    }
    if rest.contains(['?', '#']) {
        return Err("has a query or a fragment; only scheme, host, port and path are used".to_owned());
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("has credentials in it; give the key with --enable-shared-mode --api-key".to_owned());
    }
    let (host, port) = host_and_port(authority)?;
    let port = port.unwrap_or(match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    });
    Ok(UpstreamUrl { scheme, host, port, path_prefix: prefix(path)? })
}

fn scheme(text: &str) -> Result<(Scheme, &str), String> {
    let (scheme, rest) =
        text.split_once("://").ok_or("is not a URL; write it like http://127.0.0.1:11434 or https://host/prefix")?;
    match Scheme::from_name(&scheme.to_ascii_lowercase()) {
        Some(scheme) => Ok((scheme, rest)),
        None => Err(format!("has the scheme {scheme:?}; only http and https are spoken")),
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("has a [ without its ]")?;
        host.parse::<Ipv6Addr>().map_err(|_| format!("has no IPv6 address in its brackets: {host:?}"))?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or("has text between ] and the port")?),
        };
        (host, port)
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let named = !host.contains(':');
    if host.is_empty() || (named && !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))) {
        return Err(format!("has no valid host: {host:?}"));
    }
    let port = match port {
        None | Some("") => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(format!("has the port {port}; the range is 1-65535")),
        },
        Some(port) => return Err(format!("has no valid port: {port:?}")),
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn prefix(path: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return Err("has . or .. in its path".to_owned());
    }
    if matches!(parts.last(), Some(&("v1" | "api"))) {
        parts.pop();
    }
    Ok(parts.iter().flat_map(|part| ["/", part]).collect())
}

/// Would a connection to `url` arrive at one of our own listeners? Literal addresses and `localhost` only: a name that a
/// resolver knows may mean something else tomorrow.
pub(super) fn is_ourselves(url: &UpstreamUrl, listen: &[SocketAddr]) -> bool {
    let targets: Vec<IpAddr> = match url.host.as_str() {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        host => host.parse().into_iter().collect(),
    };
    listen.iter().filter(|own| own.port() == url.port).any(|own| {
        targets.iter().any(|target| {
            let here = target.is_unspecified() || is_loopback(*target);
            own.ip() == *target
                || (own.ip().is_unspecified() && here)
                || (is_loopback(own.ip()) && target.is_unspecified())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{is_ourselves, listen, upstream};

    #[test]
    fn upstreams() {
        for (text, shown, authority) in [
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434", "127.0.0.1:11434"),
            ("HTTP://Ollama.LAN", "http://ollama.lan", "ollama.lan"),
            ("http://h:80/", "http://h", "h"),
            ("https://h:80", "https://h:80", "h:80"),
            ("https://api.openai.com/v1", "https://api.openai.com", "api.openai.com"),
            ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api", "openrouter.ai"),
            ("https://ollama.com/api", "https://ollama.com", "ollama.com"),
            ("http://[::1]:8080//a//b/", "http://[::1]:8080/a/b", "[::1]:8080"),
            ("http://[::1]", "http://[::1]", "[::1]"),
            ("http://h:", "http://h", "h"),
        ] {
            let url = upstream(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.authority().as_str()), (shown, authority), "{text}");
        }
    }

    #[test]
    fn not_upstreams() {
        for text in [
            "",
            "localhost:11434",
            "ftp://h",
            "http://",
            "http:///v1",
            "http://u:p@h",
            "http://h?x=1",
            "http://h/#a",
            "http://h:0",
            "http://h:65536",
            "http://h:+80",
            "http://h:80:80",
            "http://[::1",
            "http://[h]",
            "http://[::1]80",
            "http://h h",
            "http://h/\r\nX: y",
            "http://hö",
            "http://h/a/../b",
            "http://h%41",
        ] {
            assert!(upstream(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn listeners() {
        assert_eq!(listen("127.0.0.1:3000").unwrap().to_string(), "127.0.0.1:3000");
        assert_eq!(listen("[::1]:1").unwrap().to_string(), "[::1]:1");
        assert_eq!(listen("localhost:80").unwrap().to_string(), "127.0.0.1:80");
        for text in ["", "3000", ":3000", "127.0.0.1", "host:80", "127.0.0.1:65536"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loops_are_seen() {
        let own = [listen("0.0.0.0:3000").unwrap(), listen("10.0.0.7:4000").unwrap()];
        for (url, loops) in [
            ("http://127.0.0.1:3000", true),
            ("http://localhost:3000/v1", true),
            ("http://10.0.0.7:4000", true),
            ("http://127.0.0.1:4000", false),
            ("http://10.0.0.8:4000", false),
            ("http://127.0.0.1:11434", false),
            ("http://0.0.0.0:3000", true),
            ("http://[::1]:3000", true),
            ("http://name:3000", false),
        ] {
            assert_eq!(is_ourselves(&upstream(url).unwrap(), &own), loops, "{url}");
        }
    }
}
