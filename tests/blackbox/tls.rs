//! https upstreams.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::both_drivers;
use crate::support::{
    After, Authority, Builder, Conn, Gateway, Io, LAST_CHUNK, Request, TlsUpstream, chat_event, chunk, json_reply,
    noise, stream_head,
};

both_drivers![
    requests_and_streams_pass,
    large_bodies_pass_both_ways,
    connections_are_kept,
    an_unknown_authority_is_refused,
    a_wrong_name_is_refused,
    an_upstream_that_does_not_speak_tls_is_named,
    a_client_that_leaves_ends_the_request,
    the_handshake_counts_as_connecting,
    an_answer_until_close_loses_nothing,
];

fn behind(io: Io, authority: &Authority, url: &str) -> Gateway {
    trusting(io, authority).upstream(url).start()
}

fn trusting(io: Io, authority: &Authority) -> Builder {
    let builder = Gateway::build(io);
    let file = builder.dir.join("ca.pem");
    authority.write_to(&file);
    builder.arg("--ca-file").arg(file.to_str().unwrap())
}

fn script(conn: &mut Conn, request: &Request) -> After {
    match request.target() {
        "/v1/chat/completions" => {
            conn.send(stream_head("text/event-stream"));
            for at in 0..5 {
                conn.send(chunk(chat_event(&format!("{at} "))));
            }
            conn.send(LAST_CHUNK);
        }
        "/big" => {
            let body = noise(3_000_000, 9);
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: {}\r\n\r\n", body.len()));
            conn.send(body);
        }
        "/until-close" => {
            conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nthe end");
            return After::Close;
        }
        _ => {
            conn.send(json_reply(200, &format!("\"{} bytes\"", request.body.len())));
        }
    }
    After::Keep
}

fn requests_and_streams_pass(io: Io) {
    let authority = Authority::new();
    let upstream = TlsUpstream::start(&authority, &["localhost", "127.0.0.1"], script);
    for host in ["localhost", "127.0.0.1"] {
        let gateway = behind(io, &authority, &upstream.url(host));
        assert_eq!(gateway.get("/x").text(), "\"0 bytes\"");
        let wanted: String = (0..5).map(|at| chat_event(&format!("{at} "))).collect();
        assert_eq!(gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#).text(), wanted);
        let seen = upstream.inner.requests().pop().unwrap();
        assert_eq!(seen.field("host"), Some(format!("{host}:{}", upstream.inner.addr.port()).as_str()));
    }
}

fn large_bodies_pass_both_ways(io: Io) {
    let authority = Authority::new();
    let upstream = TlsUpstream::start(&authority, &["localhost"], script);
    let gateway = behind(io, &authority, &upstream.url("localhost"));
    assert!(gateway.get("/big").body == noise(3_000_000, 9));
    let body = noise(3_000_000, 11);
    let mut client = gateway.connect();
    client.send(format!("PUT /up HTTP/1.1\r\nHost: g\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(client.reply().text(), "\"3000000 bytes\"");
    assert!(upstream.inner.requests().pop().unwrap().body == body);
}

fn connections_are_kept(io: Io) {
    let authority = Authority::new();
    let upstream = TlsUpstream::start(&authority, &["localhost"], script);
    let gateway = behind(io, &authority, &upstream.url("localhost"));
    for _ in 0..10 {
        assert_eq!(gateway.get("/x").status, 200);
    }
    assert_eq!(upstream.inner.connections(), 1);
}

fn an_unknown_authority_is_refused(io: Io) {
    let upstream = TlsUpstream::start(&Authority::new(), &["localhost"], script);
    let gateway = behind(io, &Authority::new(), &upstream.url("localhost"));
    let reply = gateway.get("/v1/models");
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (502, &"upstream_unreachable".into()));
    let said = reply.text().to_lowercase();
    assert!(said.contains("certificate") || said.contains("issuer"), "says why: {said}");
    assert!(upstream.inner.requests().is_empty(), "not a byte of the request is sent");
}

fn a_wrong_name_is_refused(io: Io) {
    let authority = Authority::new();
    let upstream = TlsUpstream::start(&authority, &["elsewhere.example"], script);
    let gateway = behind(io, &authority, &upstream.url("localhost"));
    assert_eq!(gateway.get("/v1/models").status, 502);
    assert!(upstream.inner.requests().is_empty());
}

fn an_upstream_that_does_not_speak_tls_is_named(io: Io) {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut conn, _)) = plain.accept() {
            let _ = conn.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let gateway = trusting(io, &Authority::new()).upstream(&format!("https://{addr}")).start();
    let reply = gateway.get("/v1/models");
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains(&addr.to_string()), "{}", reply.text());
}

fn a_client_that_leaves_ends_the_request(io: Io) {
    let authority = Authority::new();
    let upstream = TlsUpstream::start(&authority, &["localhost"], |conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(chat_event("hi")));
        conn.wait_closed();
        After::Close
    });
    let gateway = behind(io, &authority, &upstream.url("localhost"));
    let mut client = gateway.connect();
    client.send(crate::support::post("/v1/chat/completions", "", r#"{"model":"m","stream":true}"#));
    client.head();
    client.chunk();
    let left = Instant::now();
    drop(client);
    let took = upstream.inner.wait_for_close().saturating_duration_since(left);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn the_handshake_counts_as_connecting(io: Io) {
    // Accepts, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    let authority = Authority::new();
    let gateway =
        trusting(io, &authority).upstream(&format!("https://{addr}")).args(["--connect-timeout", "500ms"]).start();
    let started = Instant::now();
    let reply = gateway.get("/v1/models");
    assert!(reply.status == 502 || reply.status == 504, "{}", reply.status);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

fn an_answer_until_close_loses_nothing(io: Io) {
    // Many servers end such an answer without TLS's own goodbye.
    let authority = Authority::new();
    let upstream = TlsUpstream::start(&authority, &["localhost"], script);
    let gateway = behind(io, &authority, &upstream.url("localhost"));
    let mut client = gateway.connect();
    client.send("GET /until-close HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
    let said = String::from_utf8_lossy(&client.drain()).into_owned();
    // Whether it counts as cut is open, since nobody can tell; losing bytes is not.
    assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("the end"), "{said}");
}
