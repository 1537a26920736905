//! Killed at any moment under load, the cache comes back with right answers or none.

use std::time::{Duration, Instant};

use crate::both_drivers;
use crate::support::{After, Client, Io, Upstream, noise, post};

use super::dirs::Place;
use super::{CHAT, cached, lookups, question, told, whole_json, whole_stream};

both_drivers![killed_at_any_moment];

/// How often; `THINKGATE_TEST_KILLS` asks for more.
const KILLS: usize = 8;
const CLIENTS: u64 = 4;

fn number_of(body: &str) -> &str {
    body.split("number ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("?")
}

/// The one right answer to a question; a few kilobytes for some.
fn answer(number: &str) -> String {
    let times = number.len() * number.len() * 30;
    format!("<{}>", number.repeat(times))
}

fn killed_at_any_moment(io: Io) {
    let kills = std::env::var("THINKGATE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let upstream = Upstream::start(|conn, request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let text = answer(number_of(&body));
        conn.send(if body.contains("\"stream\":true") { whole_stream(&text) } else { whole_json(&text) });
        After::Keep
    });
    let dir = Place::new("killed", io);
    let (mut from_disk, mut recovered, mut slowest, mut asked) = (0.0, 0.0_f64, Duration::ZERO, 0_usize);
    for kill in 0..kills {
        let begun = Instant::now();
        let gateway = cached(io, &upstream)
            .arg("--cache-dir")
            .arg(dir.path())
            .args(["--cache-ttl", "1h", "--cache-max-entries", "3000", "--cache-memory", "1MiB"])
            .start();
        slowest = slowest.max(begun.elapsed());
        gateway.wait_for_log("cache in ");
        recovered = recovered.max(gateway.metric("thinkgate_cache_recovered_entries", &[]));
        let luck = noise(4, kill as u64 + 77);
        let life = Duration::from_millis(20 + u64::from(luck[0]));
        let count: usize = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let gateway = &gateway;
                    scope.spawn(move || load(gateway.addr, kill as u64 * CLIENTS + client))
                })
                .collect();
            std::thread::sleep(life);
            from_disk += lookups(&gateway, "disk");
            gateway.signal(libc::SIGKILL);
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        asked += count;
    }
    eprintln!(
        "{io:?}: {kills} kills, {asked} right answers, {} of them from upstream, {from_disk} from the disk, at most {recovered} \
         entries found again, slowest start {slowest:?}",
        upstream.requests().len()
    );
    assert!(asked > kills, "the load was one");
    assert!(recovered > 0.0 && from_disk > 0.0, "kills did not cost everything");
}

/// Asks until the gateway is gone; every whole answer must be the right one. Returns how many there were.
fn load(addr: std::net::SocketAddr, seed: u64) -> usize {
    let Ok(stream) = std::net::TcpStream::connect(addr) else { return 0 };
    drop(stream);
    let mut client = Client::connect(addr);
    let mut count = 0;
    for luck in noise(200_000, seed + 1).chunks(2) {
        let number = (u32::from(luck[0]) << 2 | u32::from(luck[1] & 3)).to_string();
        let body = question(&format!("number {number}"), luck[1] & 4 == 0);
        if client.try_send(post(CHAT, "", &body)).is_err() {
            break;
        }
        let Ok(reply) = client.try_reply("POST") else { break };
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(told(&reply).text, answer(&number));
        count += 1;
    }
    count
}
