//! Directories that will not do: a clear message, and the memory tier goes on serving.

use crate::both_drivers;
use crate::support::{After, Gateway, Io, Upstream};

use super::{CHAT, cache_status, cached, question, wait_until_stored, whole_json};

both_drivers![a_second_process, a_foreign_directory, a_directory_that_cannot_be_written, the_verbs];

/// A directory that outlives its gateways.
pub struct Place(std::path::PathBuf);

impl Place {
    pub fn new(name: &str, io: Io) -> Self {
        let base = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = base.join(format!("cache-{}-{name}-{io:?}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn upstream() -> Upstream {
    Upstream::start(|conn, _| {
        conn.send(whole_json("x"));
        After::Keep
    })
}

/// It says why, and repeats answers from memory all the same.
#[track_caller]
fn serves_from_memory(gateway: &Gateway, why: &str) {
    let line = gateway.wait_for_log("cache in memory only");
    assert!(line.contains(why), "{line}");
    gateway.post(CHAT, &question("q", false));
    wait_until_stored(gateway, 1);
    let hit = gateway.post(CHAT, &question("q", false));
    assert!(cache_status(&hit).ends_with("detail=memory"), "{}", cache_status(&hit));
}

fn a_second_process(io: Io) {
    let upstream = upstream();
    let dir = Place::new("second", io);
    let start = || cached(io, &upstream).arg("--cache-dir").arg(dir.path()).start();
    let first = start();
    first.wait_for_log("cache in ");
    let second = start();
    serves_from_memory(&second, &format!("in use by process {}", first.pid()));
    assert!(first.post(CHAT, &question("q", false)).field("age").is_none(), "what one knows the other does not");
}

fn a_foreign_directory(io: Io) {
    let upstream = upstream();
    let dir = Place::new("foreign", io);
    std::fs::write(dir.path() + "/thesis.txt", "years of work").unwrap();
    let gateway = cached(io, &upstream).arg("--cache-dir").arg(dir.path()).start();
    serves_from_memory(&gateway, "not thinkgate's");
    drop(gateway);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["thesis.txt"], "nothing was touched");
}

fn a_directory_that_cannot_be_written(io: Io) {
    let upstream = upstream();
    // Nobody can make a folder there, not even root.
    let gateway = cached(io, &upstream).args(["--cache-dir", "/proc/self/cache"]).start();
    serves_from_memory(&gateway, "cannot make the cache directory /proc/self/cache");
}

fn thinkgate(args: &[&str]) -> (bool, String) {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_thinkgate")).env_clear().args(args).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (done.status.success(), text)
}

fn the_verbs(io: Io) {
    let upstream = upstream();
    let dir = Place::new("verbs", io);
    let path = dir.path();
    assert!(!thinkgate(&["cache", "status", "--cache-dir", &path]).0, "no cache yet");
    let mut gateway = cached(io, &upstream).arg("--cache-dir").arg(&path).start();
    for number in 0..3 {
        gateway.post(CHAT, &question(&number.to_string(), false));
    }
    wait_until_stored(&gateway, 3);
    crate::support::eventually("status sees the entries beside the gateway", || {
        let (done, text) = thinkgate(&["cache", "status", "--cache-dir", &path]);
        done && text.contains("entries    3 live") && text.contains(&format!("by process {}", gateway.pid()))
    });
    let (cleared, text) = thinkgate(&["cache", "clear", "--cache-dir", &path]);
    assert!(!cleared && text.contains("in use"), "{text}");
    gateway.signal(libc::SIGTERM);
    gateway.wait();
    drop(gateway);
    let (cleared, text) = thinkgate(&["cache", "clear", "--cache-dir", &path]);
    assert!(cleared && text.contains("3 entries removed"), "{text}");
    let (_, text) = thinkgate(&["cache", "status", "--cache-dir", &path]);
    assert!(text.contains("entries    0 live"), "{text}");
    let gateway = cached(io, &upstream).arg("--cache-dir").arg(&path).start();
    assert!(gateway.post(CHAT, &question("0", false)).field("age").is_none());
}
