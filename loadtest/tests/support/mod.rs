//! What the black-box tests share: the binary, a mock server as a process, files that end with the test.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
// Each test binary has this file whole and uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const BINARY: &str = env!("CARGO_BIN_EXE_loadtest");

pub fn loadtest(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

/// Runs one round of a scenario.
pub fn one_round(arguments: &[&str]) -> Output {
    loadtest(&[&["run"], arguments, &["--rounds", "1", "--no-pin", "--json", "-"]].concat())
}

/// Runs one round of a scenario and returns the exit status and the JSON report.
pub fn run(arguments: &[&str]) -> (i32, serde_json::Value) {
    let output = one_round(arguments);
    (output.status.code().unwrap(), report(&output))
}

/// The report on standard output.
pub fn report(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let [said, complaint] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        panic!("{error}: {said} {complaint}")
    })
}

/// A figure of the target.
pub fn figure(report: &serde_json::Value, name: &str) -> f64 {
    report["subjects"][0]["median"][name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"))
}

/// A process that ends with the test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `loadtest upstream`.
pub struct Upstream {
    process: Process,
    pub address: SocketAddr,
}

impl Upstream {
    pub fn start() -> Self {
        let mut child =
            Command::new(BINARY).args(["upstream", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().parse().unwrap();
        Self { process: Process(child), address }
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that comes for a request, which has to say that it is the last.
    pub fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

/// A name in a folder for temporary files that nobody else has.
pub fn temporary(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("loadtest-test-{}-{number}-{name}", std::process::id()))
}

/// A scenario in a file that ends with the test.
pub struct Scenario(PathBuf);

impl Scenario {
    pub fn of(text: &str) -> Self {
        let file = temporary("scenario.yaml");
        std::fs::write(&file, text).unwrap();
        Self(file)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
