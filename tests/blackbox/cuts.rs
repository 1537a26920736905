//! Clients that vanish at any byte, of a request or of an answer, while others work: nobody else's bytes are touched.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::both_drivers;
use crate::support::{
    After, Gateway, Io, LAST_CHUNK, Upstream, chat_event, chunk, eventually, json_reply, post, stream_head,
};

both_drivers![a_request_cut_at_every_byte, an_answer_cut_at_every_byte, an_upstream_cut_at_every_byte];

/// Answers each request with a stream made of its own body, so that a mix-up shows.
fn mirror() -> Upstream {
    Upstream::start(|conn, request| {
        let name = String::from_utf8_lossy(&request.body).into_owned();
        conn.send(stream_head("text/event-stream"));
        for at in 0..8 {
            conn.send(chunk(chat_event(&format!("{name}/{at} "))));
        }
        conn.send(LAST_CHUNK);
        After::Keep
    })
}

fn wanted(name: &str) -> String {
    (0..8).map(|at| chat_event(&format!("{name}/{at} "))).collect()
}

/// Raises a flag when it goes, also by a panic: whoever waits for it must not wait for ever.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs `disturb` while three others ask and check their answers, on kept connections.
fn among_others(gateway: &Gateway, disturb: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for name in 0..3 {
            let over = &over;
            scope.spawn(move || {
                let mut client = gateway.connect();
                let mut round = 0;
                while !over.load(Ordering::SeqCst) || round == 0 {
                    let name = format!("canary-{name}-{round}");
                    client.send(post("/v1/chat/completions", "", &name));
                    assert_eq!(client.reply().text(), wanted(&name));
                    round += 1;
                }
            });
        }
        let _ends_the_others = Raise(&over);
        disturb();
    });
    eventually("nothing is left of those who went", || gateway.metric("thinkgate_requests_active", &[]) == 0.0);
}

const BODY: &str = "{\"model\":\"m\",\"stream\":true}";

fn a_request_cut_at_every_byte(io: Io) {
    let upstream = mirror();
    let gateway = Gateway::before(&upstream, io);
    let sized = post("/v1/chat/completions", "", BODY);
    let chunked = format!(
        "PUT /x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n{}{}0\r\nX-T: 1\r\n\r\n",
        String::from_utf8(chunk("one")).unwrap(),
        String::from_utf8(chunk("two")).unwrap()
    );
    among_others(&gateway, || {
        for request in [&sized, &chunked] {
            for cut in 0..request.len() {
                let mut client = gateway.connect();
                client.send(&request[..cut]);
                if cut % 2 == 0 {
                    client.reset();
                }
            }
        }
    });
    let whole = upstream.requests().iter().filter(|request| !request.body.starts_with(b"canary")).count();
    assert_eq!(whole, 0, "half a request is none");
}

fn an_answer_cut_at_every_byte(io: Io) {
    let upstream = mirror();
    let gateway = Gateway::before(&upstream, io);
    // The events alone; the head and however many chunk sizes there are come on top.
    let length = wanted(BODY).len();
    among_others(&gateway, || {
        for cut in (0..length).step_by(3) {
            let mut client = gateway.connect();
            client.send(post("/v1/chat/completions", "", BODY));
            let mut read = 0;
            while read < cut {
                read += client.read_some(cut - read).unwrap().len();
            }
            if cut % 2 == 0 {
                client.reset();
            }
        }
    });
}

fn an_upstream_cut_at_every_byte(io: Io) {
    let answer = [&stream_head("text/event-stream")[..], &chunk(chat_event("hello")), LAST_CHUNK].concat();
    let (length, head) = (answer.len(), stream_head("text/event-stream").len());
    let upstream = Upstream::start(move |conn, request| match request.target().strip_prefix("/v1/models/cut-") {
        Some(cut) => {
            conn.send(&answer[..cut.parse::<usize>().unwrap()]);
            After::Close
        }
        None => {
            conn.send(json_reply(200, "\"good\""));
            After::Keep
        }
    });
    let gateway = Gateway::before(&upstream, io);
    for cut in 0..length {
        let mut client = gateway.connect();
        client.send(format!("GET /v1/models/cut-{cut} HTTP/1.1\r\nHost: g\r\n\r\n"));
        match client.try_reply("GET") {
            Ok(reply) => assert!(cut < head && reply.status == 502, "{cut} bytes of {length} look whole: {reply:?}"),
            Err(_) => assert!(cut >= head, "no answer at all after {cut} bytes"),
        }
    }
    assert_eq!(gateway.get("/good").text(), "\"good\"");
}
