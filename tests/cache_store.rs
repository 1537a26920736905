//! The cache's store against a real directory: restarts, kills, spoiled files, full and foreign directories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use thinkgate::control_plane::cache::{self, Config, Disk, Store};
use thinkgate::policy::fingerprint::Fingerprint;
use thinkgate::wire::answer::Tier;

const NOW: u64 = 1_795_216_504_000;
const TTL: Duration = Duration::from_secs(60);
/// Set for the child processes that the tests start of this same binary.
const CHILD_DIR: &str = "THINKGATE_TEST_CACHE_DIR";

/// A directory of its own for each test, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("thinkgate-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config(dir: &Path) -> Config {
    Config { dir: dir.to_owned(), ttl: TTL, entries_max: 3000, memory_bytes: 1 << 20, disk_bytes: Some(32 << 20) }
}

fn open(dir: &Path) -> Store {
    let store = Store::open(&config(dir), NOW).unwrap();
    assert_eq!(store.problem(), None);
    store
}

/// Opens once the former store's threads have let go of the directory; they do so soon after it is dropped.
fn reopen(dir: &Path) -> Store {
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        let store = Store::open(&config(dir), NOW).unwrap();
        match store.problem() {
            Some(problem) if Instant::now() < patience && problem.contains("in use") => {}
            problem => {
                assert_eq!(problem, None);
                return store;
            }
        }
        drop(store);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn print(number: u64) -> Fingerprint {
    let mut bytes = [0x5a; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Fingerprint(bytes)
}

/// What the entry of this number must hold, to the last byte: 100 bytes to 9 KB.
fn content(number: u64) -> Bytes {
    let length = 100 + (number * 7919 % 9000) as usize;
    let word = format!("<{number}>");
    word.bytes().cycle().take(length).collect::<Vec<_>>().into()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// `Some(true)`: there and right; `None`: absent. Wrong bytes end the test.
fn look(store: &Store, number: u64) -> Option<bool> {
    let hit = store.get_memory(print(number), NOW).or_else(|| run(store.get_disk(print(number), NOW)))?;
    assert_eq!(hit.answer, content(number), "entry {number} is wrong");
    Some(true)
}

fn count(store: &Store, numbers: std::ops::Range<u64>) -> usize {
    numbers.filter(|number| look(store, *number).is_some()).count()
}

fn fill(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        store.insert(print(number), content(number), NOW);
        // The disk's write queue drops what it can't take; a test that counts must not outrun it.
        if number % 200 == 199 {
            run(store.status(NOW));
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

#[test]
fn tiers_and_time() {
    let place = Place::new("tiers");
    let store = open(&place.cache());
    assert!(store.get_memory(print(1), NOW).is_none());
    assert!(run(store.get_disk(print(1), NOW)).is_none());
    store.insert(print(1), content(1), NOW);
    let hit = store.get_memory(print(1), NOW + 3500).unwrap();
    assert_eq!((hit.tier, hit.age, hit.ttl, hit.answer), (Tier::Memory, 3, 56, content(1)));
    // One millisecond before the end, and at the end.
    let end = NOW + TTL.as_millis() as u64;
    assert!(store.get_memory(print(1), end - 1).is_some());
    assert!(store.get_memory(print(1), end).is_none());
    // It has left the memory; the disk is asked and sees the same end.
    assert!(store.get_memory(print(1), NOW).is_none());
    let hit = run(store.get_disk(print(1), NOW + 1000)).unwrap();
    assert_eq!((hit.tier, hit.age), (Tier::Disk, 1));
    assert!(store.get_memory(print(1), NOW).is_some(), "a disk hit is in memory afterwards");
    let _ = store.get_memory(print(1), end);
    assert!(run(store.get_disk(print(1), end)).is_none());
    // What was found expired goes, behind the answer: the disk's own threads see to it.
    let patience = std::time::Instant::now() + Duration::from_secs(10);
    while run(store.get_disk(print(1), NOW)).is_some() {
        let _ = run(store.get_disk(print(1), end));
        assert!(std::time::Instant::now() < patience, "what was found expired stays");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Set back, a clock makes nothing negative.
    store.insert(print(2), content(2), NOW);
    assert_eq!(store.get_memory(print(2), NOW - 10_000).unwrap().age, 0);
    // Too long for an entry.
    store.insert(print(3), vec![0; 3 << 20].into(), NOW);
    assert_eq!(look(&store, 2), Some(true));
    assert!(store.get_memory(print(3), NOW).is_none());
}

#[test]
fn survives_a_restart() {
    let place = Place::new("restart");
    let store = open(&place.cache());
    let key = store.install_key().0;
    fill(&store, 0..800);
    store.close();
    drop(store);
    let store = reopen(&place.cache());
    assert_eq!(store.install_key().0, key);
    let status = run(store.status(NOW));
    assert_eq!((status.recovered, status.disk_entries), (800, 800), "{status:?}");
    assert_eq!(status.disk_bytes, (0..800).map(|number| content(number).len() as u64).sum::<u64>());
    assert_eq!(count(&store, 0..800), 800);
    // After its time nothing is counted as there.
    assert_eq!(run(store.status(NOW + 60_000)).disk_entries, 0);
}

#[test]
fn awaited_on_a_core() {
    let place = Place::new("core");
    let store = open(&place.cache());
    fill(&store, 0..50);
    store.close();
    drop(store);
    let store = reopen(&place.cache());
    let mut runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new().build().unwrap();
    runtime.block_on(async {
        for number in 0..50 {
            let hit = store.get_disk(print(number), NOW).await.expect("there");
            assert_eq!((hit.tier, hit.answer), (Tier::Disk, content(number)));
        }
        assert!(store.get_disk(print(99), NOW).await.is_none());
        store.clear().await.unwrap();
        assert!(store.get_disk(print(1), NOW).await.is_none());
        assert_eq!(store.status(NOW).await.disk_entries, 0);
    });
}

#[test]
fn never_more_entries_than_configured() {
    let place = Place::new("entries");
    let store = open(&place.cache());
    fill(&store, 0..4000);
    let status = run(store.status(NOW));
    assert!(status.disk_entries <= 3000, "{status:?}");
    assert!(status.disk_entries > 2000, "{status:?}");
    store.close();
    drop(store);
    let store = reopen(&place.cache());
    // The oldest left, the youngest are there.
    assert_eq!(count(&store, 0..1000), 0);
    assert!(count(&store, 3900..4000) > 90);
    assert!(run(store.status(NOW)).disk_entries <= 3000);
}

#[test]
fn never_more_bytes_than_configured() {
    let place = Place::new("bytes");
    let store = open(&place.cache());
    let big = |number: u64| Bytes::from(vec![number as u8; 400_000]);
    for number in 0..200 {
        store.insert(print(number), big(number), NOW);
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = run(store.status(NOW));
    assert!(status.memory_bytes <= 1 << 20, "{status:?}");
    store.close();
    let files = fs::read_dir(place.cache().join("blocks")).unwrap().flatten();
    let on_disk: u64 = files.map(|file| std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512).sum();
    assert!(on_disk <= (32 << 20) + (4 << 20), "{on_disk}");
    let there = (0..200)
        .filter(|number| run(store.get_disk(print(*number), NOW)).is_some_and(|hit| hit.answer == big(*number)));
    assert!(there.count() > 10);
}

#[test]
fn clear_is_for_good() {
    let place = Place::new("clear");
    let store = open(&place.cache());
    fill(&store, 0..100);
    run(store.clear()).unwrap();
    assert_eq!(count(&store, 0..100), 0);
    fill(&store, 200..210);
    assert_eq!(count(&store, 200..210), 10);
    store.close();
    drop(store);
    let store = reopen(&place.cache());
    assert_eq!(count(&store, 0..100), 0);
}

#[test]
fn command_line() {
    let place = Place::new("cli");
    let dir = place.cache();
    assert!(cache::status(&dir, NOW).is_err());
    let store = open(&dir);
    fill(&store, 0..30);
    store.close();
    let text = cache::status(&dir, NOW).unwrap();
    assert!(
        text.contains("30 live, 0 expired") && text.contains(&format!("by process {}", std::process::id())),
        "{text}"
    );
    assert!(cache::clear(&dir).unwrap_err().contains("in use"));
    drop(store);
    drop(reopen(&dir));
    let patience = Instant::now() + Duration::from_secs(5);
    let removed = loop {
        match cache::clear(&dir) {
            Ok(text) => break text,
            Err(error) => assert!(Instant::now() < patience, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(removed.starts_with("30 entries"), "{removed}");
    assert!(cache::status(&dir, NOW).unwrap().contains("0 live, 0 expired"));
    let store = open(&dir);
    assert_eq!(count(&store, 0..30), 0);
    // Another directory is left alone.
    let foreign = place.0.join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("precious"), "x").unwrap();
    assert!(cache::clear(&foreign).unwrap_err().contains("no thinkgate cache"));
    assert!(foreign.join("precious").exists());
}

/// The memory tier works, and the reason is one that a person can act upon.
fn memory_only(store: &Store, reason: &str) {
    let problem = store.problem().unwrap_or("none");
    assert!(problem.contains(reason), "{problem}");
    store.insert(print(7), content(7), NOW);
    assert_eq!(store.get_memory(print(7), NOW).unwrap().answer, content(7));
    assert!(run(store.get_disk(print(7), NOW)).is_none());
    assert_eq!(run(store.status(NOW)).disk_entries, 0);
    run(store.clear()).unwrap();
    assert!(store.get_memory(print(7), NOW).is_none());
    store.close();
}

#[test]
fn directories_that_will_not_do() {
    let place = Place::new("unfit");
    // A file in its place.
    let file = place.0.join("file");
    fs::write(&file, "x").unwrap();
    memory_only(&Store::open(&config(&file), NOW).unwrap(), "cannot make the cache directory");
    // A place where nothing can be made, even by root.
    memory_only(&Store::open(&config(Path::new("/proc/nowhere")), NOW).unwrap(), "cannot make the cache directory");
    // Somebody else's.
    let foreign = place.0.join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "x").unwrap();
    memory_only(&Store::open(&config(&foreign), NOW).unwrap(), "not thinkgate's");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "left as it was");
    // Used by another store, here of the same process.
    let dir = place.cache();
    let first = open(&dir);
    fill(&first, 0..10);
    memory_only(&Store::open(&config(&dir), NOW).unwrap(), "in use by process");
    assert_eq!(count(&first, 0..10), 10, "the first goes on");
}

#[test]
fn another_layout_starts_empty() {
    let place = Place::new("layout");
    let store = open(&place.cache());
    fill(&store, 0..20);
    store.close();
    drop(store);
    drop(reopen(&place.cache()));
    let other = Config { entries_max: 5000, ..config(&place.cache()) };
    let patience = Instant::now() + Duration::from_secs(5);
    let store = loop {
        let store = Store::open(&other, NOW).unwrap();
        if store.problem().is_none() || Instant::now() > patience {
            break store;
        }
    };
    assert_eq!(store.problem(), None);
    assert_eq!(count(&store, 0..20), 0);
    fill(&store, 0..20);
    assert_eq!(count(&store, 0..20), 20);
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn spoiled_files_are_never_wrong() {
    let place = Place::new("spoiled");
    let dir = place.cache();
    let mut dice = Dice(42);
    for round in 0..6 {
        let store = reopen(&dir);
        fill(&store, 0..400);
        store.close();
        drop(store);
        drop(reopen(&dir));
        std::thread::sleep(Duration::from_millis(100));
        let mut files: Vec<_> = fs::read_dir(dir.join("blocks")).unwrap().flatten().map(|file| file.path()).collect();
        files.push(dir.join("ledger"));
        files.sort();
        for path in &files {
            let mut bytes = fs::read(path).unwrap();
            match round {
                // Single bytes, pages of one block written over those of another, cut files, rubbish, nothing.
                0 | 1 => (0..200).for_each(|_| {
                    let at = dice.roll(bytes.len() as u64) as usize % (1 << 21).min(bytes.len());
                    bytes[at] ^= 1 << dice.roll(8);
                }),
                2 => (0..40).for_each(|_| {
                    let pages = (bytes.len() / 4096).min(600) as u64;
                    let (from, to) = (dice.roll(pages.max(1)) as usize * 4096, dice.roll(pages.max(1)) as usize * 4096);
                    if from + 4096 <= bytes.len() && to + 4096 <= bytes.len() {
                        bytes.copy_within(from..from + 4096, to);
                    }
                }),
                3 => bytes.truncate(dice.roll(1 << 20) as usize),
                4 => bytes.iter_mut().skip(4096).step_by(97).for_each(|byte| *byte = 0xff),
                _ => bytes.clear(),
            }
            fs::write(path, bytes).unwrap();
        }
        let store = reopen(&dir);
        // `look` ends the test on a wrong byte.
        let there = count(&store, 0..400);
        println!("round {round}: {there} of 400 are there");
        store.insert(print(1000), content(1000), NOW);
        assert_eq!(look(&store, 1000), Some(true), "it goes on");
        store.close();
        drop(store);
    }
    // A spoiled key makes a new one; spoiled marks make a foreign or an empty directory, and never a panic.
    fs::write(dir.join("cache.key"), "short").unwrap();
    let store = reopen(&dir);
    assert_eq!(fs::read(dir.join("cache.key")).unwrap(), store.install_key().0);
    drop(store);
    fs::write(dir.join("cache.epoch"), "x").unwrap();
    let store = reopen(&dir);
    assert_eq!(count(&store, 0..400), 0);
    drop(store);
    fs::write(dir.join("cache.info"), [0xff, 0xfe]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(Store::open(&config(&dir), NOW).unwrap().problem().is_some());
}

/// Not a test of its own: the body of the child processes below, which they select by name.
#[test]
fn child_writer() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let start: u64 = std::env::var("START").unwrap().parse().unwrap();
    let store = reopen(Path::new(&dir));
    let mut out = std::io::stdout();
    for number in start.. {
        store.insert(print(number), content(number), NOW);
        writeln!(out, "put {number}").unwrap();
        out.flush().unwrap();
        std::thread::sleep(Duration::from_micros(1500));
    }
}

fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD_DIR, dir).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[test]
fn killed_in_the_middle() {
    let place = Place::new("killed");
    let dir = place.cache();
    let mut start = 0;
    for round in 0..4u64 {
        let mut process = child("child_writer", &dir).env("START", start.to_string()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut put = Vec::new();
        let mut first = None;
        for line in lines.map_while(Result::ok) {
            // The test harness writes before the first line, on the same line.
            let Some(number) = line.rsplit("put ").next().and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            put.push((Instant::now(), number));
            let begun = *first.get_or_insert_with(Instant::now);
            if begun.elapsed() > Duration::from_millis(1300 + 130 * round) {
                break;
            }
        }
        let killed = Instant::now();
        process.kill().unwrap();
        process.wait().unwrap();
        start = put.last().unwrap().1 + 1;
        let store = reopen(&dir);
        let old: Vec<_> = put.iter().filter(|(at, _)| killed - *at > Duration::from_secs(1)).map(|(_, n)| *n).collect();
        let there = put.iter().filter(|(_, number)| look(&store, *number).is_some()).count();
        let old_there = old.iter().filter(|number| look(&store, **number).is_some()).count();
        println!("round {round}: {there} of {} are there, {old_there} of {} older than a second", put.len(), old.len());
        assert!(!old.is_empty());
        assert_eq!(old_there, old.len());
        store.close();
    }
}

fn disk(store: &Store) -> Disk {
    run(store.status(NOW)).disk
}

/// Stores until the disk is in this state.
fn until(store: &Store, wanted: Disk) {
    let patience = Instant::now() + Duration::from_secs(8);
    while disk(store) != wanted {
        store.insert(print(5000), content(5000), NOW);
        assert_eq!(store.get_memory(print(5000), NOW).unwrap().answer, content(5000));
        assert!(Instant::now() < patience, "{:?}", run(store.status(NOW)));
        std::thread::sleep(Duration::from_millis(1200));
    }
}

/// Run by `a_full_disk` in a file system of 100 MB.
#[test]
fn child_on_a_full_disk() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let (dir, ballast) = (Path::new(&dir).join("cache"), Path::new(&dir).join("ballast"));
    let store = open(&dir);
    fill(&store, 0..100);
    until(&store, Disk::Open);
    // Somebody else takes most of what is left: the cache sees it in time, and goes on when there is space again.
    fs::write(&ballast, vec![1; 40 << 20]).unwrap();
    until(&store, Disk::Paused);
    store.insert(print(200), content(200), NOW);
    assert_eq!(count(&store, 0..101), 100);
    fs::remove_file(&ballast).unwrap();
    until(&store, Disk::Open);
    fill(&store, 300..400);
    store.close();
    drop(store);
    let store = reopen(&dir);
    assert_eq!(count(&store, 0..400), 200, "what came while paused was in memory only");
    // All at once: the writes fail.
    let mut taken = fs::File::create(&ballast).unwrap();
    while taken.write_all(&[1; 65536]).is_ok() {}
    for number in 1000..2500 {
        store.insert(print(number), content(number), NOW);
        assert_eq!(store.get_memory(print(number), NOW).unwrap().answer, content(number));
    }
    std::thread::sleep(Duration::from_millis(2500));
    assert_ne!(disk(&store), Disk::Open);
    println!("{} of 1500 are there, {:?}", count(&store, 1000..2500), run(store.status(NOW)));
    assert_eq!(count(&store, 0..100), 100);
    drop(taken);
    fs::remove_file(&ballast).unwrap();
    // With space again, foyer's writer either lives, or its end is seen.
    let patience = Instant::now() + Duration::from_secs(8);
    for number in 2500.. {
        store.insert(print(number), content(number), NOW);
        std::thread::sleep(Duration::from_millis(2200));
        let written = disk(&store) == Disk::Open && {
            fill(&store, 5000..5300);
            run(store.get_disk(print(number), NOW)).is_some_and(|hit| hit.tier == Tier::Disk)
        };
        if disk(&store) == Disk::Failed || written {
            println!("after the failure: {:?}, written {written}", disk(&store));
            break;
        }
        assert!(Instant::now() < patience);
    }
    store.close();
    drop(store);
    let store = reopen(&dir);
    println!("{} of 1500 are there after a restart", count(&store, 1000..2500));
    fill(&store, 3001..3100);
    store.close();
    drop(store);
    let store = reopen(&dir);
    assert_eq!(count(&store, 3001..3100), 99);
    println!("full disk survived");
}

#[test]
fn a_full_disk() {
    let place = Place::new("full");
    let script = format!("mount -t tmpfs -o size=100m none '{0}' && exec \"$0\" \"$@\"", place.0.display());
    let exe = std::env::current_exe().unwrap();
    let inside = |user: &[&str]| {
        Command::new("unshare")
            .args(user)
            .args(["--mount", "sh", "-c", &script])
            .arg(&exe)
            .args(["--exact", "child_on_a_full_disk", "--nocapture"])
            .env(CHILD_DIR, &place.0)
            .output()
    };
    for user in [&[][..], &["--map-root-user"]] {
        let Ok(output) = inside(user) else { continue };
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        println!("{text}");
        if text.contains("full disk survived") {
            return;
        }
        assert!(!text.contains("running 1 test"), "{text}");
    }
    println!("no file system can be mounted here; a limit on file sizes takes its place");
    let limit = Command::new("sh")
        .args(["-c", "ulimit -f 64; exec \"$0\" --exact child_with_small_files --nocapture"])
        .arg(&exe)
        .env(CHILD_DIR, &place.0)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&limit.stdout).contains("1 passed"));
}

/// Run where no file may be longer than 64 KiB.
#[test]
fn child_with_small_files() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    // SAFETY: ignoring a signal has no handler that could do harm.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    memory_only(&Store::open(&config(&Path::new(&dir).join("small")), NOW).unwrap(), "cache directory");
}

#[test]
fn writes_that_fail() {
    let place = Place::new("failing");
    let output = child("child_with_failing_writes", &place.cache()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("failure noticed"), "{text}");
}

/// From some moment on no file can be written.
#[test]
fn child_with_failing_writes() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = open(Path::new(&dir));
    fill(&store, 0..50);
    until(&store, Disk::Open);
    let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: ignoring a signal has no handler that could do harm, and the limit outlives the call.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none), 0);
    }
    let patience = Instant::now() + Duration::from_secs(8);
    for number in 100.. {
        store.insert(print(number), content(number), NOW);
        assert_eq!(store.get_memory(print(number), NOW).unwrap().answer, content(number));
        std::thread::sleep(Duration::from_millis(1300));
        if disk(&store) == Disk::Failed {
            break;
        }
        assert!(Instant::now() < patience, "{:?}", run(store.status(NOW)));
    }
    // What had been written is still served, and nothing waits for a dead writer.
    assert_eq!(count(&store, 0..50), 50);
    assert!(run(store.clear()).is_err());
    store.close();
    println!("failure noticed");
}
