//! What is measured: a running proxy, one that we start, or a peer.

pub mod cpu;
pub mod peers;
pub mod proc;

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a started proxy may take to listen.
const START_MAX: Duration = Duration::from_secs(15);
/// How long it may take to end after `SIGTERM`.
const END_MAX: Duration = Duration::from_secs(5);
/// How long its children may take to vanish after `SIGKILL`.
const GONE_MAX: Duration = Duration::from_millis(500);

/// Something to measure.
#[derive(Clone, Debug)]
pub enum Target {
    /// Runs already.
    Running { address: SocketAddr, pid: Option<u32> },
    /// Started by a command in which `{listen}`, `{port}` and `{upstream}` stand for addresses.
    Spawn { command: String, listen: Option<SocketAddr> },
    /// nginx.
    Nginx,
    /// haproxy.
    Haproxy,
    /// No proxy: the mock server itself, for what the client and the server cost and take.
    Direct,
}

impl Target {
    /// The name in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Target::Running { .. } | Target::Spawn { .. } => "target",
            Target::Nginx => "nginx",
            Target::Haproxy => "haproxy",
            Target::Direct => "direct",
        }
    }
}

/// How proxies are started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The mock server they forward to.
    pub upstream: SocketAddr,
    /// Whether peers write an access log.
    pub access_log: bool,
    /// Descriptors that a process may have.
    pub files: u64,
    /// The core they are bound to.
    pub core: Option<usize>,
    /// The cores this thread goes back to afterwards.
    pub own_cores: Vec<usize>,
}

/// A proxy that runs. What we started ends when this is dropped.
pub struct Subject {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it was started.
    pub command: String,
    /// Its configuration file.
    pub configuration: String,
    pid: Option<u32>,
    child: Option<Child>,
    folder: Option<PathBuf>,
}

impl Subject {
    /// Starts it if need be and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started or does not listen; with its last words.
    pub fn start(target: &Target, settings: &Settings) -> io::Result<Self> {
        let (listen, folder) = match target {
            Target::Running { address, pid } => return Ok(Self::unowned(*address, *pid)),
            Target::Direct => return Ok(Self::unowned(settings.upstream, None)),
            Target::Spawn { listen: Some(address), .. } => (*address, new_folder()?),
            _ => (free_address()?, new_folder()?),
        };
        let path = folder.to_string_lossy().into_owned();
        let file = format!("{path}/configuration");
        let (command, configuration) = match target {
            Target::Nginx => (
                format!("nginx -p {path} -e {path}/error.log -c {file}"),
                peers::nginx(listen, settings.upstream, &path, settings.access_log, settings.files),
            ),
            Target::Haproxy => (
                format!("haproxy -db -f {file}"),
                peers::haproxy(listen, settings.upstream, settings.access_log, settings.files),
            ),
            Target::Spawn { command, .. } => (fill(command, listen, settings.upstream), String::new()),
            Target::Running { .. } | Target::Direct => (String::new(), String::new()),
        };
        // From here on its end clears the folder.
        let mut subject =
            Self { address: listen, command, configuration, pid: None, child: None, folder: Some(folder.clone()) };
        fs::write(&file, &subject.configuration)?;
        // Otherwise that one would be measured, and the command, which cannot listen there, blamed or praised for it.
        if is_listening(listen) {
            return Err(io::Error::other(format!(
                "something listens on {listen} already: end it, or measure it with --url"
            )));
        }
        let child = spawn(&subject.command, &folder, settings)?;
        subject.pid = Some(child.id());
        subject.child = Some(child);
        subject.wait_until_listening()?;
        Ok(subject)
    }

    fn unowned(address: SocketAddr, pid: Option<u32>) -> Self {
        let command = pid.map_or(String::new(), |pid| {
            format!("process {pid} ({}), which ran already", proc::name(pid).unwrap_or_default())
        });
        Self { address, command, configuration: String::new(), pid, child: None, folder: None }
    }

    /// The process and its children now; empty when it is not known.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.pid.map(proc::tree).unwrap_or_default()
    }

    /// Fails when a process that was to be measured is gone: what it cost cannot be told.
    ///
    /// # Errors
    /// See there.
    pub fn check_alive(&self) -> io::Result<()> {
        match self.pid {
            Some(pid) if proc::name(pid).is_none() => Err(io::Error::other(format!("process {pid} has ended"))),
            _ => Ok(()),
        }
    }

    /// Fails when the process has answered and used no time for it: then it is another one.
    ///
    /// # Errors
    /// See there.
    pub fn check_used(&self, used: &cpu::CpuTime, answered: u64) -> io::Result<()> {
        match self.pid {
            Some(pid) if used.total_ns == 0 && answered > 0 => Err(io::Error::other(format!(
                "process {pid} ({}) used no processor time while {answered} answers came: is it the proxy's process?",
                proc::name(pid).unwrap_or_default()
            ))),
            _ => Ok(()),
        }
    }

    fn wait_until_listening(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            // Asked first: when something answers and the command has ended, it was not the command that answered.
            let listens = is_listening(self.address);
            let ended = match &mut self.child {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if let Some(status) = ended {
                return Err(io::Error::other(format!("`{}` ended ({status}): {}", self.command, self.last_words())));
            }
            if listens {
                return Ok(());
            }
            if begun.elapsed() > START_MAX || crate::sys::interrupted() {
                let words = self.last_words();
                return Err(io::Error::other(format!(
                    "`{}` does not listen on {}: {words}",
                    self.command, self.address
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The end of what it wrote.
    fn last_words(&self) -> String {
        let Some(folder) = &self.folder else { return String::new() };
        let text = fs::read(folder.join("output")).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(1000)..]).trim().to_owned()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Ends a command and all it has started: a wrapper's proxy would otherwise go on listening.
fn end(child: &mut Child) {
    let group = child.id();
    crate::sys::end_group(group, false);
    let begun = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < END_MAX {
        std::thread::sleep(Duration::from_millis(10));
    }
    crate::sys::end_group(group, true);
    let _ = child.wait();
    // The port is free when the last of them is gone.
    let begun = Instant::now();
    while crate::sys::group_exists(group) && begun.elapsed() < GONE_MAX {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_listening(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// Starts a command on the proxy's core: a child inherits the cores of the thread that starts it.
fn spawn(command: &str, folder: &std::path::Path, settings: &Settings) -> io::Result<Child> {
    let output = File::create(folder.join("output"))?;
    if let Some(core) = settings.core {
        crate::sys::pin_to(&[core])?;
    }
    let mut command_line = Command::new("/bin/sh");
    crate::sys::end_with_us(&mut command_line);
    let child = command_line
        .arg("-c")
        .arg(format!("PATH=\"$PATH:/usr/sbin:/sbin\"; exec {command}"))
        // A group of its own, so that all it starts can be ended with it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn();
    if settings.core.is_some() {
        crate::sys::pin_to(&settings.own_cores)?;
    }
    child
}

fn fill(command: &str, listen: SocketAddr, upstream: SocketAddr) -> String {
    command
        .replace("{listen}", &listen.to_string())
        .replace("{port}", &listen.port().to_string())
        .replace("{upstream}", &upstream.to_string())
}

/// A loopback address with a port that was free a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

fn new_folder() -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("loadtest-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let upstream = "127.0.0.1:9".parse().unwrap();
        Settings { upstream, access_log: false, files: 1024, core: None, own_cores: Vec::new() }
    }

    #[test]
    fn a_command_gets_its_addresses() {
        let (listen, upstream) = ("127.0.0.1:3000".parse().unwrap(), "127.0.0.1:9100".parse().unwrap());
        let got = fill("gate --listen {listen} --port {port} --to http://{upstream}", listen, upstream);
        assert_eq!(got, "gate --listen 127.0.0.1:3000 --port 3000 --to http://127.0.0.1:9100");
    }

    #[test]
    fn a_command_that_ends_is_quoted_with_its_last_words() {
        let target = Target::Spawn { command: "sh -c 'echo no such option; exit 2'".into(), listen: None };
        let error = Subject::start(&target, &settings()).err().unwrap().to_string();
        assert!(error.contains("no such option") && error.contains("exit status: 2"), "{error}");
    }

    #[test]
    fn an_address_that_is_taken_is_refused() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = other.local_addr().unwrap();
        let target = Target::Spawn { command: "sleep 30".into(), listen: Some(listen) };
        let error = Subject::start(&target, &settings()).err().unwrap().to_string();
        assert!(error.contains("listens on") && error.contains("already"), "{error}");
    }

    #[test]
    fn all_that_a_command_has_started_is_ended_with_it() {
        let folder = new_folder().unwrap();
        let settings = settings();
        // The command ends when it is asked to; what it has started does not mind.
        let mut child = spawn("sh -c \"(trap '' TERM; sleep 600; true) & wait\"", &folder, &settings).unwrap();
        let begun = Instant::now();
        while proc::tree(child.id()).len() < 3 && begun.elapsed() < END_MAX {
            std::thread::sleep(Duration::from_millis(10));
        }
        let all = proc::tree(child.id());
        assert_eq!(all.len(), 3, "the shell, its child and that one's sleep");
        end(&mut child);
        assert!(all.iter().all(|pid| proc::name(*pid).is_none()));
        fs::remove_dir_all(folder).unwrap();
    }
}
