//! With few connections the cores share them evenly.

use std::collections::BTreeMap;

use crate::both_drivers;
use crate::support::{Client, Gateway, Io, Upstream, json_reply};

both_drivers![two_connections_use_two_cores, eight_connections_use_two_cores_evenly];

/// How often each thread has gone to sleep by its own will: once or twice for each request it handles, however busy the
/// machine is, which can't be said of the time it takes.
pub fn naps(gateway: &Gateway) -> BTreeMap<String, u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    let count = |task: std::io::Result<std::fs::DirEntry>| {
        let task = task.ok()?;
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((task.file_name().to_string_lossy().into_owned(), line.trim().parse().ok()?))
    };
    tasks.filter_map(count).collect()
}

/// The work of the two busiest threads, the busiest first, over `rounds` requests on each connection.
fn work(gateway: &Gateway, clients: &mut [Client], rounds: usize) -> (u64, u64) {
    let before = naps(gateway);
    for _ in 0..rounds {
        for client in clients.iter_mut() {
            client.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
            client.reply();
        }
    }
    let after = naps(gateway);
    let mut used: Vec<u64> = after.iter().map(|(task, now)| now - before.get(task).copied().unwrap_or(0)).collect();
    used.sort_unstable_by(|a, b| b.cmp(a));
    (used[0], used[1])
}

/// By chance alone two connections share a core every other time, so four times in a row must go right.
const STARTS: usize = 4;

fn check(io: Io, connections: usize, rounds: usize) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    for _ in 0..STARTS {
        let gateway = Gateway::build(io).upstream(&upstream.url()).workers(2).start();
        let mut clients: Vec<Client> = (0..connections).map(|_| gateway.connect()).collect();
        work(&gateway, &mut clients, 5);
        let (most, least) = work(&gateway, &mut clients, rounds);
        // A core of an idle machine sleeps up to twice for a request, a busy one about once: evenly shared work gives a
        // ratio between 0.5 and 1. Five connections to three would give 0.3 to 0.6, all on one core nothing.
        assert!(least * 20 > most * 9, "one core slept {most} times, the other {least}");
    }
}

fn two_connections_use_two_cores(io: Io) {
    check(io, 2, 200);
}

fn eight_connections_use_two_cores_evenly(io: Io) {
    check(io, 8, 60);
}
