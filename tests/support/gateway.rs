//! The gateway as a user starts it: the built binary, a process of its own, its log captured.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::message::Reply;
use super::{Client, PATIENCE, Upstream};

/// Which driver the worker threads use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    Uring,
    Epoll,
}

impl Io {
    fn flag(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}

/// How to start a gateway.
pub struct Builder {
    args: Vec<String>,
    env: Vec<(String, String)>,
    config: Option<String>,
    workers: usize,
    verb: Option<&'static str>,
    pub dir: PathBuf,
}

/// A running gateway; dropping it kills the process, and shows its log if the test is failing.
pub struct Gateway {
    pub addr: SocketAddr,
    pub dir: PathBuf,
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

static GATEWAYS: AtomicUsize = AtomicUsize::new(0);

impl Builder {
    pub fn upstream(self, url: &str) -> Self {
        self.arg("--ollama").arg(url)
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.map(str::to_owned));
        self
    }

    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Instead of `serve`.
    pub fn verb(mut self, verb: &'static str) -> Self {
        self.verb = Some(verb);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Written to a file that `--config` names.
    pub fn config(mut self, yaml: impl Into<String>) -> Self {
        self.config = Some(yaml.into());
        self
    }

    /// Starts it and waits until it says where it listens.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let mut gateway = self.spawn();
        let started = Instant::now();
        loop {
            if let Some(addr) = gateway.log.find("listening on http://").and_then(|line| address_in(&line)) {
                gateway.addr = addr;
                return gateway;
            }
            if let Some(status) = gateway.child.try_wait().unwrap() {
                panic!("the gateway ended with {status}:\n{}", gateway.log());
            }
            assert!(started.elapsed() < PATIENCE, "the gateway never listens:\n{}", gateway.log());
            gateway.log.wait(Duration::from_millis(50));
        }
    }

    /// Starts it where it is expected to refuse: its exit status and all it printed.
    #[track_caller]
    pub fn start_expecting_failure(self) -> (ExitStatus, String) {
        let mut gateway = self.spawn();
        let status = gateway.wait();
        (status, gateway.log())
    }

    fn spawn(self) -> Gateway {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thinkgate"));
        // Nothing of the caller's environment or folder may configure the gateway.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.dir).current_dir(&self.dir);
        command.env("RUST_BACKTRACE", "1");
        command.envs(self.env).args(self.verb).args([
            "--listen",
            "127.0.0.1:0",
            "--workers",
            &self.workers.to_string(),
        ]);
        if let Some(yaml) = self.config {
            let path = self.dir.join("test.yaml");
            std::fs::write(&path, yaml).unwrap();
            command.arg("--config").arg(path);
        }
        let mut child = command
            .args(self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway's binary starts");
        let log = Arc::new(Log::default());
        log.follow(child.stdout.take().unwrap());
        log.follow(child.stderr.take().unwrap());
        Gateway { addr: SocketAddr::from(([0, 0, 0, 0], 0)), dir: self.dir, child, log }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = line.split("http://").nth(1)?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

impl Log {
    fn follow(self: &Arc<Self>, source: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                log.lines.lock().unwrap().push(line);
                log.more.notify_all();
            }
        });
    }

    fn find(&self, needle: &str) -> Option<String> {
        self.lines.lock().unwrap().iter().find(|line| line.contains(needle)).cloned()
    }

    fn wait(&self, time: Duration) {
        let lines = self.lines.lock().unwrap();
        drop(self.more.wait_timeout(lines, time).unwrap());
    }
}

impl Gateway {
    /// One worker on `io`, and nothing else said.
    pub fn build(io: Io) -> Builder {
        let number = GATEWAYS.fetch_add(1, Ordering::SeqCst);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let builder = Builder { args: Vec::new(), env: Vec::new(), config: None, workers: 1, verb: None, dir };
        builder.args(["--io", io.flag()])
    }

    /// In front of `upstream`, with all defaults but one worker.
    #[track_caller]
    pub fn before(upstream: &Upstream, io: Io) -> Self {
        Self::build(io).upstream(&upstream.url()).start()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// One request on a connection of its own; `bytes` is all that is sent.
    #[track_caller]
    pub fn exchange(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let bytes = bytes.as_ref();
        let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
        let mut client = self.connect();
        client.send(bytes);
        client.reply_to(&String::from_utf8_lossy(method))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n"))
    }

    /// A POST of JSON; `fields` are further lines of the head, each with its CR LF.
    #[track_caller]
    pub fn post_with(&self, path: &str, fields: &str, body: &str) -> Reply {
        self.exchange(post(path, fields, body))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.post_with(path, "", body)
    }

    pub fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    #[track_caller]
    pub fn wait_for_log(&self, needle: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.log.find(needle) {
                return line;
            }
            assert!(Instant::now() < deadline, "{needle:?} is never logged");
            self.log.wait(Duration::from_millis(20));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, number: i32) {
        // SAFETY: sends a signal to a process that this test started and has not reaped yet.
        let done = unsafe { libc::kill(self.child.id().cast_signed(), number) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // The last lines may still be in the pipe.
                thread::sleep(Duration::from_millis(20));
                return status;
            }
            assert!(Instant::now() < deadline, "the gateway does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Bytes of memory that the process holds.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Sockets that the process holds.
    pub fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let link = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
        descriptors.filter_map(link).filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    /// The sum over all series of `name` in `/metrics` whose line contains every one of `labels`.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.get("/metrics").text();
        let of = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        text.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// Bytes of a POST.
pub fn post(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the gateway's log\n{}\n---", self.log());
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
