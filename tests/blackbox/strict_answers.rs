//! An upstream's answer that could be read in two ways is an error of the upstream, and nobody's next answer.

use std::time::Duration;

use crate::both_drivers;
use crate::support::{After, Gateway, Io, Upstream, json_reply};

both_drivers![
    ambiguous_answers_are_bad_gateways,
    broken_chunks_end_the_answer,
    an_endless_head_is_given_up,
    slow_answers_are_read_whole
];

/// Answers `/bad` with `bytes` and keeps the connection, anything else well.
fn answering_badly(bytes: Vec<u8>) -> Upstream {
    Upstream::start(move |conn, request| {
        if request.target() == "/bad" {
            conn.send(&bytes);
        } else {
            conn.send(json_reply(200, "\"good\""));
        }
        After::Keep
    })
}

fn ambiguous_answers_are_bad_gateways(io: Io) {
    let with = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello").into_bytes();
    let cases = [
        ("length and chunks", with("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        ("two lengths", with("Content-Length: 5\r\nContent-Length: 6")),
        ("signed length", with("Content-Length: +5")),
        ("negative length", with("Content-Length: -1")),
        ("listed lengths that differ", with("Content-Length: 5, 6")),
        ("no number", with("Content-Length: five")),
        ("unknown coding", with("Transfer-Encoding: x")),
        ("chunks not last", with("Transfer-Encoding: chunked, gzip")),
        ("NUL in a value", with("X-A: b\0c\r\nContent-Length: 5")),
        ("bare CR in a value", with("X-A: b\rSet-Cookie: x\r\nContent-Length: 5")),
        ("blank before the colon", with("Content-Length : 5")),
        ("blank in a name", with("X A: b\r\nContent-Length: 5")),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec()),
        ("another version", b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        ("status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        ("status of letters", b"HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        ("an answer to nothing", b"hello\r\n\r\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let upstream = answering_badly(bytes);
        let gateway = Gateway::before(&upstream, io);
        let reply = gateway.get("/bad");
        assert_eq!(reply.status, 502, "{name}: {reply:?}");
        assert!(!reply.text().contains("hello"), "{name}: {}", reply.text());
        assert_eq!(gateway.get("/good").text(), "\"good\"", "after {name}");
        assert_eq!(upstream.requests().iter().filter(|request| request.target() == "/bad").count(), 1, "{name}");
    }
}

fn broken_chunks_end_the_answer(io: Io) {
    for body in [
        "zz\r\nhello\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    ] {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
        let upstream = answering_badly(format!("{head}3\r\nabc\r\n{body}").into_bytes());
        let gateway = Gateway::before(&upstream, io);
        let mut client = gateway.connect();
        client.send("GET /bad HTTP/1.1\r\nHost: g\r\n\r\n");
        // Cut, or refused from the start; never taken for a whole answer.
        if let Ok(reply) = client.try_reply("GET") {
            assert_eq!(reply.status, 502, "{body:?}: {}", reply.text());
        }
        assert_eq!(gateway.get("/good").text(), "\"good\"", "after {body:?}");
    }
}

fn an_endless_head_is_given_up(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send("HTTP/1.1 200 OK\r\n");
        for at in 0..100_000 {
            if !conn.send(format!("X-{at}: {}\r\n", "x".repeat(100))) {
                break;
            }
        }
        After::Close
    });
    let gateway = Gateway::before(&upstream, io);
    assert_eq!(gateway.get("/x").status, 502);
}

fn slow_answers_are_read_whole(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send_slowly(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n",
            Duration::from_micros(300),
        );
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    for _ in 0..3 {
        assert_eq!(gateway.get("/x").text(), "hello!");
    }
    assert_eq!(upstream.connections(), 1);
}
