//! SIGHUP: what changes, what waits for the next start, what is refused whole.

use thinkgate::control_plane::config::table::Applies;

use super::reach::built;
use super::*;

#[test]
fn reload_takes_what_it_can_and_says_what_it_cannot() {
    let folder = Folder::new("reload");
    let file = folder.write("a.yaml", "workers: 2\ntimeouts: {idle: 5s}\n");
    let first = cli::load(args(&["-c", &file, "--first-byte-timeout", "9s"]), environment(&[])).unwrap();

    let same = config::reload(&first).unwrap();
    assert!(same.changed.is_empty() && same.needs_restart.is_empty());
    assert_eq!(same.loaded.settings, first.settings);

    folder.write("a.yaml", "workers: 3\nlisten: '127.0.0.1:1'\ntimeouts: {idle: 6s, first_byte: 1s}\n");
    let second = config::reload(&first).unwrap();
    assert_eq!(second.changed, ["--idle-timeout"]);
    assert_eq!(second.needs_restart, ["--listen", "--workers"]);
    let settings = &second.loaded.settings;
    assert_eq!((settings.workers, settings.timeouts.idle_ms, settings.timeouts.first_byte_ms), (Some(2), 6000, 9000));
    assert_eq!(settings.listen, first.settings.listen);
    assert!(config::reload(&second.loaded).unwrap().changed.is_empty());

    folder.write("a.yaml", "timeouts: {idle: 7s, connect: 1ms}\n");
    assert!(config::reload(&second.loaded).unwrap_err()[0].to_string().contains("timeouts.connect"));
    fs::remove_file(&file).unwrap();
    assert!(config::reload(&second.loaded).is_err(), "a file that is gone does not mean defaults");
}

#[test]
fn reload_judges_what_will_run() {
    let folder = Folder::new("relay");
    let file = folder.write("a.yaml", "listen: '0.0.0.0:1'\n");
    let first = cli::load(args(&["-c", &file]), environment(&[])).unwrap();
    // The new file is innocent, but the old listener stays open.
    folder.write("a.yaml", "listen: '127.0.0.1:1'\nupstream: {shared: true, api_key: k}\n");
    assert!(config::reload(&first).unwrap_err()[0].to_string().contains("0.0.0.0:1"));
}

#[test]
fn a_changed_secret_is_a_change() {
    let folder = Folder::new("rotate");
    let key = folder.write("key", "sk-one");
    let file = folder.write("a.yaml", &format!("upstream: {{shared: true, api_key: 'file:{key}'}}"));
    let first = cli::load(args(&["-c", &file]), environment(&[])).unwrap();
    folder.write("key", "sk-two");
    let second = config::reload(&first).unwrap();
    assert_eq!(second.changed, ["--api-key"]);
    assert_eq!(second.loaded.settings.upstream.api_key.unwrap().reveal(), "sk-two");
}

#[test]
fn every_row_says_when_it_applies() {
    let at_start: Vec<String> = built().filter(|row| row.applies == Applies::Start).map(Row::name).collect();
    assert_eq!(
        at_start,
        [
            "--access-log",
            "--listen",
            "--workers",
            "--io",
            "--enable-cache",
            "--cache-dir",
            "--cache-ttl",
            "--cache-max-entries",
            "--cache-memory"
        ]
    );
}
