//! With few connections the cores share them evenly.

use std::collections::BTreeMap;

use crate::both_drivers;
use crate::support::{Client, Gateway, Io, Upstream, json_reply};

both_drivers![two_connections_use_two_cores, eight_connections_use_two_cores_evenly];

/// CPU ticks of each thread that has used any.
fn ticks(gateway: &Gateway) -> BTreeMap<String, u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    tasks
        .filter_map(|task| {
            let task = task.ok()?;
            // Nanoseconds on a CPU, finer than the ticks of `stat`.
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some((task.file_name().to_string_lossy().into_owned(), stat.split(' ').next()?.parse().ok()?))
        })
        .collect()
}

/// The work of the two busiest threads, the busiest first, over `rounds` requests on each connection.
fn work(gateway: &Gateway, clients: &mut [Client], rounds: usize) -> (u64, u64) {
    let before = ticks(gateway);
    for _ in 0..rounds {
        for client in clients.iter_mut() {
            client.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
            client.reply();
        }
    }
    let after = ticks(gateway);
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
        // 4 and 4 connections give a ratio of about 1, 5 and 3 of 0.6, 8 and 0 of nothing.
        assert!(least * 10 > most * 7, "one core did {most} ns of work, the other {least} ns");
    }
}

fn two_connections_use_two_cores(io: Io) {
    check(io, 2, 200);
}

fn eight_connections_use_two_cores_evenly(io: Io) {
    check(io, 8, 60);
}
