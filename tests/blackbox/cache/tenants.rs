//! Nobody gets, or joins, the answer to somebody else's request.

use serde_json::json;

use crate::both_drivers;
use crate::support::{After, Io, Upstream, chunk, noise, post, stream_head};

use super::{CHAT, cached, event, lookups, question, stream_end, told, wait_until_quiet};

both_drivers![tenants_never_mix, every_telling_field_tells];

/// Says who asked.
fn mirror() -> Upstream {
    Upstream::start(|conn, request| {
        let who = request.field("authorization").unwrap_or("nobody").to_owned();
        conn.send(stream_head("text/event-stream"));
        for word in ["for ", who.as_str(), "."] {
            conn.send(chunk(event(&json!({"content": word}), None)));
        }
        conn.send(chunk(stream_end()));
        conn.send(b"0\r\n\r\n");
        After::Keep
    })
}

fn tenants_never_mix(io: Io) {
    const CLIENTS: usize = 24;
    const REQUESTS: usize = 120;
    const TENANTS: u8 = 7;
    const QUESTIONS: u8 = 9;
    let upstream = mirror();
    let gateway = cached(io, &upstream).start();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut connection = gateway.connect();
                for luck in noise(REQUESTS, client as u64 + 1).chunks(2) {
                    let tenant = luck[0] % TENANTS;
                    let body = question(&format!("q{}", luck[1] % QUESTIONS), true);
                    connection.send(post(CHAT, &format!("Authorization: Bearer key-{tenant}\r\n"), &body));
                    let told = told(&connection.reply());
                    assert_eq!((told.text.as_str(), told.ended), (format!("for Bearer key-{tenant}.").as_str(), true));
                }
            });
        }
    });
    wait_until_quiet(&gateway);
    let pairs = usize::from(TENANTS) * usize::from(QUESTIONS);
    assert_eq!(upstream.requests().len(), pairs, "one call for each tenant and question");
    assert_eq!(lookups(&gateway, "memory") + lookups(&gateway, "joined"), (CLIENTS * REQUESTS / 2 - pairs) as f64);
}

fn every_telling_field_tells(io: Io) {
    let upstream = mirror();
    let gateway = cached(io, &upstream).start();
    let fields = [
        "",
        "Authorization: Bearer a\r\n",
        "Authorization: Bearer b\r\n",
        "authorization: bearer a\r\n",
        "X-Api-Key: a\r\n",
        "Api-Key: a\r\n",
        "X-Goog-Api-Key: a\r\n",
        "Cookie: a\r\n",
        "OpenAI-Organization: a\r\n",
        "OpenAI-Project: a\r\n",
        "OpenAI-Beta: a\r\n",
        "Authorization: Bearer a\r\nCookie: a\r\n",
        "Cookie: aauthorization\r\n",
        // A proxy in front of the gateway says whom it has recognised.
        "X-Forwarded-User: alice\r\n",
        "X-Forwarded-Access-Token: ya29.a\r\n",
        "X-Forwarded-Client-Cert: Hash=a\r\n",
        "Sec-X-User: a\r\n",
        "Accept-Language: de\r\n",
        "X-Tenant: a\r\n",
    ];
    for (at, field) in fields.iter().enumerate() {
        for _ in 0..2 {
            gateway.post_with(CHAT, field, &question("q", true));
            assert_eq!(upstream.requests().len(), at + 1, "{field}");
        }
    }
    // What is in the query may matter to an upstream as well.
    gateway.post(&format!("{CHAT}?api-version=2"), &question("q", true));
    assert_eq!(upstream.requests().len(), fields.len() + 1);
    // What does not reach the upstream tells nothing, nor what says how the message came.
    for field in [
        "X-Tenant: a\r\nConnection: keep-alive, X-Tenant\r\n",
        "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n",
        "Sec-Fetch-Mode: cors\r\nSec-CH-UA: x\r\nUser-Agent: y\r\n",
    ] {
        gateway.post_with(CHAT, field, &question("q", true));
        assert_eq!(upstream.requests().len(), fields.len() + 1, "{field}");
    }
}
