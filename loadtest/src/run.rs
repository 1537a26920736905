//! A run: rounds of a scenario against the target and its peers, in turn.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::client::check::{Strictness, Thinking};
use crate::client::load::Load;
use crate::client::request::{Common, Kind};
use crate::measure::{Round, Setting, measure};
use crate::progress::Progress;
use crate::report::provenance::Provenance;
use crate::report::{Report, SubjectReport, bounds};
use crate::scenario::Scenario;
use crate::subject::{Settings, Subject, Target};
use crate::upstream::Mock;
use crate::upstream::counters::Counters;

/// Everything that was asked on the command line.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario, changed as asked.
    pub scenario: Scenario,
    /// The proxy under test, then its peers.
    pub targets: Vec<Target>,
    /// How often each is measured.
    pub rounds: u32,
    /// The mock server to start, if any.
    pub mock: Option<crate::upstream::Settings>,
    /// Where the mock server is that stands behind everything, if it is not ours.
    pub upstream: Option<SocketAddr>,
    /// Figures whose bound was asked for on the command line.
    pub asked: Vec<String>,
    /// Whether peers write an access log.
    pub access_log: bool,
    /// The proxy's core.
    pub proxy_core: Option<usize>,
    /// The client's core.
    pub load_core: Option<usize>,
    /// Another model's name for all requests.
    pub model: Option<String>,
    /// Fields added to all requests.
    pub fields: Vec<String>,
    /// The path before the dialect's own.
    pub prefix: String,
    /// The `Host` field, if not the address.
    pub host: Option<String>,
    /// How much is compared.
    pub strictness: Strictness,
    /// What the target does to thinking. Peers keep it.
    pub thinking: Thinking,
    /// Addresses to connect from.
    pub sources: Vec<std::net::IpAddr>,
    /// Stop each round after so many requests.
    pub requests_max: Option<u64>,
}

/// Runs the plan.
///
/// # Errors
/// When a proxy cannot be started or the generator fails.
pub fn run(plan: &Plan) -> io::Result<Report> {
    let all_cores = crate::sys::usable_cores();
    let provenance = Provenance::gather(pinning(plan), rounds(plan));
    let own_cores = plan.load_core.map_or(all_cores, |core| vec![core]);
    crate::sys::pin_to(&own_cores)?;
    crate::sys::exact_timers();
    let mock = plan.mock.as_ref().map(Mock::start).transpose()?;
    let counters = Behind {
        own: mock.as_ref().map(|mock| Counters::Own(mock.stats.clone())),
        remote: plan.upstream.map(Counters::remote),
    };
    // Without a mock server nothing is started that would ask for its address.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        upstream: mock.as_ref().map(|mock| mock.address).or(plan.upstream).unwrap_or(nowhere),
        access_log: plan.access_log,
        files: crate::sys::raise_open_files(),
        core: plan.proxy_core,
        own_cores,
    };
    let mut results: Vec<Part> = plan.targets.iter().map(|_| Part::default()).collect();
    let mut progress = Progress::new(plan.rounds as usize * plan.targets.len());
    for round in 0..plan.rounds as usize {
        for turn in 0..plan.targets.len() {
            // Each round begins with another one, so that nobody always runs on a warm or a cold machine.
            let at = (turn + round) % plan.targets.len();
            let target = &plan.targets[at];
            progress.begin(format!(
                "{} · round {} of {} · {}",
                plan.scenario.name,
                round + 1,
                plan.rounds,
                target.name()
            ));
            results[at].measure(plan, target, &settings, counters.of(target), &progress)?;
            progress.end();
            if crate::sys::interrupted() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
            }
        }
    }
    drop(progress);
    let subjects: Vec<_> = plan.targets.iter().zip(results).map(|(target, part)| part.report(target)).collect();
    let bounds = bounds::judge(&plan.scenario.bounds, &plan.asked, &subjects);
    let about = plan.scenario.about.clone();
    Ok(Report { scenario: plan.scenario.name.clone(), about, provenance, subjects, bounds })
}

/// Whether the mock server of this process, if there is one, is what this target forwards to.
#[must_use]
pub fn has_our_mock_behind(target: &Target) -> bool {
    match target {
        Target::Running { .. } => false,
        Target::Spawn { command, .. } => command.contains("{upstream}"),
        Target::Nginx | Target::Haproxy | Target::Direct => true,
    }
}

/// The counters that there are.
struct Behind {
    own: Option<Counters>,
    remote: Option<Counters>,
}

impl Behind {
    /// The counters of the mock server behind a target; what another one has seen says nothing about it.
    fn of(&self, target: &Target) -> Option<Counters> {
        let own = || self.own.clone().filter(|_| has_our_mock_behind(target));
        self.remote.clone().or_else(own)
    }
}

#[derive(Default)]
struct Part {
    command: String,
    configuration: String,
    rounds: Vec<Round>,
}

impl Part {
    fn measure(
        &mut self,
        plan: &Plan,
        target: &Target,
        settings: &Settings,
        upstream: Option<Counters>,
        progress: &Progress,
    ) -> io::Result<()> {
        let subject = Subject::start(target, settings)?;
        let load = load(plan, target, subject.address)?;
        let mut show = |part: f64| progress.update(part);
        let ticks = crate::sys::ticks_per_second();
        let mut setting = Setting { scenario: &plan.scenario, upstream, ticks, progress: &mut show };
        let round = measure(&load, &subject, &mut setting)?;
        self.rounds.push(round);
        self.command.clone_from(&subject.command);
        self.configuration.clone_from(&subject.configuration);
        drop(subject);
        // The mock server sees the proxy's connections close before the next one comes.
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    }

    fn report(self, target: &Target) -> SubjectReport {
        SubjectReport::new(target.name(), self.command, self.configuration, &self.rounds)
    }
}

fn load(plan: &Plan, target: &Target, address: SocketAddr) -> io::Result<Load> {
    let scenario = &plan.scenario;
    let ours = matches!(target, Target::Running { .. } | Target::Spawn { .. });
    let common = Common {
        host: plan.host.clone().unwrap_or_else(|| address.to_string()),
        fields: plan.fields.clone(),
        prefix: if ours { plan.prefix.clone() } else { String::new() },
        strictness: plan.strictness,
        thinking: if ours { plan.thinking } else { Thinking::Kept },
        close: scenario.fresh_connections,
    };
    let wanted = scenario.wanted(plan.model.as_deref()).map_err(io::Error::other)?;
    Ok(Load {
        target: address,
        sources: plan.sources.clone(),
        kinds: wanted.iter().map(|wanted| Kind::new(wanted, &common)).collect(),
        connections: scenario.connections,
        mode: scenario.mode(),
        ramp: scenario.ramp,
        fresh: scenario.fresh_connections,
        slow: scenario.slow_reader(),
        abandon: scenario.abandon_after,
        timeout: scenario.timeout,
        sameness: scenario.sameness(),
        requests_max: plan.requests_max,
    })
}

/// Where everything runs; of what we did not start, what the system says.
fn pinning(plan: &Plan) -> String {
    let core = |core: Option<usize>| core.map_or("any core".to_owned(), |core| format!("core {core}"));
    let mut parts = Vec::new();
    let mut running = false;
    for target in &plan.targets {
        if let Target::Running { pid, .. } = target {
            running = true;
            let cores = pid.and_then(allowed_cores);
            parts.push(
                cores.map_or("proxy where it runs".to_owned(), |list| format!("proxy on cores {list} (its own)")),
            );
        }
    }
    let is_started = |target: &Target| !matches!(target, Target::Running { .. } | Target::Direct);
    if plan.targets.iter().any(is_started) {
        parts.push(format!("{} on {}", if running { "peers" } else { "proxy" }, core(plan.proxy_core)));
    }
    parts.push(format!("client on {}", core(plan.load_core)));
    match (&plan.mock, plan.upstream) {
        (Some(mock), _) => parts.push(format!("mock server on {}", core(mock.core))),
        (None, Some(address)) => parts.push(format!("mock server {address} where it runs")),
        (None, None) => {}
    }
    parts.join(", ")
}

/// The cores that a process may use, as `/proc` writes them: `0-3,8`.
fn allowed_cores(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

fn rounds(plan: &Plan) -> String {
    format!("{} rounds of {:?}, medians", plan.rounds, plan.scenario.duration)
}
