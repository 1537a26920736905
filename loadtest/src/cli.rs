//! The command line.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::client::check::{Strictness, Thinking};
use crate::report::{Report, compare, svg, table};
use crate::run::{self, Plan};
use crate::scenario::{Bound, EMBEDDED, Scenario, parse_duration};
use crate::subject::Target;
use crate::upstream::{self, Mock};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Done, all bounds kept.
    Done,
    /// A bound was missed, or the run failed.
    Failed,
    /// Wrong usage.
    Usage,
}

/// One source address a connection to one target needs a port of; this many are left to the system of about 28,000.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

/// The whole command.
#[must_use]
pub fn command() -> Command {
    Command::new("loadtest")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Measures a gateway to language models from the outside: processor time, memory, latency, and whether every byte is right")
        .subcommand_required(true)
        .subcommand(run_command())
        .subcommand(Command::new("list").about("The scenarios and their bounds"))
        .subcommand(upstream_command())
        .subcommand(
            Command::new("compare")
                .about("Two reports side by side; exit status 1 when a figure became worse")
                .arg(Arg::new("before").required(true).value_name("A.json"))
                .arg(Arg::new("after").required(true).value_name("B.json"))
                .arg(number("tolerance", "PERCENT", "How much worse is still the same").default_value("10")),
        )
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(value_parser!(f64))
}

fn whole(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(value_parser!(u64))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn run_command() -> Command {
    Command::new("run")
        .about("Runs a scenario; exit status 1 when its bound is missed")
        .arg(Arg::new("scenario").required(true).value_name("SCENARIO").help("A name from `loadtest list`, or a file"))
        .args([
            option("url", "URL", "The proxy, http://host:port[/prefix]; with --spawn, where the command listens"),
            option("pid", "PID", "The proxy's process on this machine, for its CPU, memory and descriptors")
                .value_parser(value_parser!(u32)),
            option("spawn", "COMMAND", "Start the proxy: {listen}, {port} and {upstream} stand for addresses"),
            option("versus", "LIST", "Measure peers beside it, in turn: nginx, haproxy, direct (no proxy)")
                .value_delimiter(',')
                .value_parser(["nginx", "haproxy", "direct"]),
            option(
                "upstream",
                "HOST:PORT",
                "A mock server that runs already (`loadtest upstream`); default: one in this process",
            ),
            option("rounds", "N", "Measurements of each")
                .default_value("3")
                .value_parser(value_parser!(u32).range(1..=100)),
            option("duration", "TIME", "Another duration than the scenario's: 500ms, 10s, 1h"),
            option("warmup", "TIME", "Another warm-up than the scenario's"),
            whole("connections", "N", "Another number of connections"),
            number("rate", "PER_SECOND", "An open loop with this rate"),
            whole("requests", "N", "Stop each round after so many requests; no warm-up"),
            option("bound", "FIGURE=MOST", "Another bound (also `2 x nginx`)").action(ArgAction::Append),
            switch("no-bounds", "Report only"),
        ])
        .args([
            option("check", "LEVEL", "What is compared: framing (real models), text, bytes (pass-through)")
                .default_value("text")
                .value_parser(["framing", "text", "bytes"]),
            option("thinking", "WHAT", "What the proxy does to thinking")
                .default_value("stripped")
                .value_parser(["stripped", "kept"]),
            option(
                "model",
                "NAME",
                "Ask for this model instead of the scenario's (start the mock server with --script to match)",
            ),
            option("header", "FIELD", "Add to each request, `Name: value`").action(ArgAction::Append),
            option("host", "NAME", "The Host field"),
            option("access-log", "ON|OFF", "Whether peers write one").default_value("off").value_parser(["on", "off"]),
            option("proxy-core", "N", "The core of what we start").value_parser(value_parser!(usize)),
            option("load-core", "N", "The core of the client").value_parser(value_parser!(usize)),
            option("upstream-core", "N", "The core of the mock server").value_parser(value_parser!(usize)),
            switch("no-pin", "Bind nothing to a core"),
            option("turn", "N", "Writes that a mock stream may do before the next one's turn")
                .default_value("1000000")
                .value_parser(value_parser!(u32).range(1..)),
            whole("sources", "N", "Connect from N loopback addresses, 127.0.0.1 to 127.0.0.N (at most 250)"),
            option("out", "FOLDER", "Write report.json, report.txt, latency.svg and cpu.svg there"),
            option("json", "FILE", "Write the report as JSON (- for standard output instead of the table)"),
        ])
}

fn upstream_command() -> Command {
    Command::new("upstream")
        .about("A mock model server: both dialects, scripted by the model's name; counters at /loadtest/stats")
        .args([
            option("listen", "ADDR", "Where it listens").default_value("127.0.0.1:9100"),
            option("script", "NAME", "What models that are no script answer").default_value("mock-stream-e50-b200-p20"),
            option("turn", "N", "Writes that a stream may do before the next one's turn")
                .default_value("1000000")
                .value_parser(value_parser!(u32).range(1..)),
            option("core", "N", "Bind its thread to this core").value_parser(value_parser!(usize)),
        ])
}

/// Reads the command line and does what it says.
pub fn main() -> End {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { End::Usage } else { End::Done };
        }
    };
    let result = match matches.subcommand() {
        Some(("run", arguments)) => run_scenario(arguments),
        Some(("list", _)) => list(),
        Some(("upstream", arguments)) => serve(arguments),
        Some(("compare", arguments)) => compare_files(arguments),
        _ => Err(Failure::Usage("no such command".into())),
    };
    match result {
        Ok(end) => end,
        Err(failure) => {
            let (text, end) = match failure {
                Failure::Usage(text) => (text, End::Usage),
                Failure::Run(text) => (text, End::Failed),
            };
            let _ = writeln!(io::stderr(), "loadtest: {text}");
            end
        }
    }
}

enum Failure {
    Usage(String),
    Run(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Run(error.to_string())
    }
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::Usage(text.into())
}

fn text<'a>(arguments: &'a ArgMatches, name: &str) -> Option<&'a str> {
    arguments.get_one::<String>(name).map(String::as_str)
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let mut found = text.to_socket_addrs().map_err(|error| usage(format!("`{text}`: {error}")))?;
    found.next().ok_or_else(|| usage(format!("`{text}` has no address")))
}

/// Host with port, address and path prefix of a URL.
fn split_url(url: &str) -> Result<(String, SocketAddr, String), Failure> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| usage(format!("`{url}`: only http:// is measured; put TLS before it if you need it")))?;
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let with_port = if authority.rsplit(']').next().is_some_and(|tail| tail.contains(':')) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let path = path.trim_end_matches('/');
    let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
    Ok((authority.to_owned(), address(&with_port)?, prefix.trim_end_matches("/v1").to_owned()))
}

fn list() -> Result<End, Failure> {
    let mut rows = Vec::new();
    for (name, text) in EMBEDDED {
        let scenario = Scenario::parse(text).map_err(Failure::Run)?;
        let bounds: Vec<String> = scenario
            .bounds
            .iter()
            .map(|(figure, bound)| match bound {
                Bound::Number(most) => format!("{figure} ≤ {most}"),
                Bound::Times(text) => format!("{figure} ≤ {text}"),
            })
            .collect();
        rows.push(format!("{name}\n    {}\n    bounds: {}\n", scenario.about.trim(), bounds.join(", ")));
    }
    io::stdout().write_all(rows.join("\n").as_bytes())?;
    Ok(End::Done)
}

fn serve(arguments: &ArgMatches) -> Result<End, Failure> {
    let _ = crate::sys::raise_open_files();
    let settings = upstream::Settings {
        listen: address(text(arguments, "listen").unwrap_or("127.0.0.1:9100"))?,
        fallback: text(arguments, "script").unwrap_or_default().to_owned(),
        turn: arguments.get_one("turn").copied().unwrap_or(1),
        core: arguments.get_one("core").copied(),
    };
    let mock = Mock::start(&settings).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => usage(error.to_string()),
        _ => Failure::Run(format!("{}: {error}", settings.listen)),
    })?;
    writeln!(io::stdout(), "mock model server on http://{}", mock.address)?;
    mock.join()?;
    Ok(End::Done)
}

fn run_scenario(arguments: &ArgMatches) -> Result<End, Failure> {
    let plan = plan(arguments)?;
    let files = crate::sys::raise_open_files();
    // The mock server in this process has a descriptor for each of the proxy's.
    let needed = plan.scenario.connections as u64 * if plan.mock.is_some() { 2 } else { 1 } + 64;
    if needed > files {
        return Err(usage(format!("{needed} descriptors are needed, {files} allowed: ulimit -n {needed}")));
    }
    crate::sys::catch_interrupts();
    let report = run::run(&plan)?;
    write_report(&report, arguments)?;
    let missed = report.bounds.iter().any(crate::report::bounds::Verdict::is_missed);
    Ok(if missed { End::Failed } else { End::Done })
}

fn write_report(report: &Report, arguments: &ArgMatches) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(report).map_err(|error| Failure::Run(error.to_string()))?;
    let table = table::render(report);
    let json_file = text(arguments, "json");
    let shown = if json_file == Some("-") { &json } else { &table };
    writeln!(io::stdout(), "{shown}")?;
    if let Some(file) = json_file.filter(|file| *file != "-") {
        std::fs::write(file, &json).map_err(|error| Failure::Run(format!("{file}: {error}")))?;
    }
    if let Some(folder) = text(arguments, "out") {
        let folder = Path::new(folder);
        std::fs::create_dir_all(folder)?;
        let mut full = table;
        for subject in &report.subjects {
            if !subject.command.is_empty() {
                full += &format!("\n== {}\n$ {}\n{}", subject.name, subject.command, subject.configuration);
            }
        }
        std::fs::write(folder.join("report.json"), json)?;
        std::fs::write(folder.join("report.txt"), full)?;
        for (name, picture) in [("latency.svg", svg::latency(report)), ("cpu.svg", svg::cpu(report))] {
            if !picture.is_empty() {
                std::fs::write(folder.join(name), picture)?;
            }
        }
    }
    Ok(())
}

fn compare_files(arguments: &ArgMatches) -> Result<End, Failure> {
    let load = |name: &str| -> Result<Report, Failure> {
        let file = text(arguments, name).unwrap_or_default();
        let bytes = std::fs::read(file).map_err(|error| usage(format!("{file}: {error}")))?;
        serde_json::from_slice(&bytes).map_err(|error| usage(format!("{file}: {error}")))
    };
    let tolerance = arguments.get_one::<f64>("tolerance").copied().unwrap_or(10.0) / 100.0;
    let (shown, worse) = compare::compare(&load("before")?, &load("after")?, tolerance);
    write!(io::stdout(), "{shown}")?;
    Ok(if worse.is_empty() { End::Done } else { End::Failed })
}

fn scenario(arguments: &ArgMatches) -> Result<Scenario, Failure> {
    let mut scenario = Scenario::load(text(arguments, "scenario").unwrap_or_default()).map_err(Failure::Usage)?;
    if let Some(time) = text(arguments, "duration") {
        scenario.duration = parse_duration(time).map_err(Failure::Usage)?;
    }
    if let Some(time) = text(arguments, "warmup") {
        scenario.warmup = parse_duration(time).map_err(Failure::Usage)?;
    }
    if let Some(&connections) = arguments.get_one::<u64>("connections") {
        let most = crate::scenario::CONNECTIONS_MAX;
        scenario.connections = usize::try_from(connections).unwrap_or(usize::MAX);
        if !(1..=most).contains(&scenario.connections) {
            return Err(usage(format!("--connections must be 1 to {most}")));
        }
    }
    if let Some(&rate) = arguments.get_one::<f64>("rate") {
        if !(0.01..=1e7).contains(&rate) {
            return Err(usage("--rate must be 0.01 to 10000000"));
        }
        scenario.set_rate(rate);
    }
    if arguments.get_flag("no-bounds") {
        scenario.bounds.clear();
    }
    for bound in arguments.get_many::<String>("bound").into_iter().flatten() {
        let (figure, most) = bound.split_once('=').ok_or_else(|| usage(format!("`{bound}`: FIGURE=MOST")))?;
        if crate::figures::find(figure).is_none() {
            let known: Vec<_> = crate::figures::ALL.iter().map(|row| row.name).collect();
            return Err(usage(format!("no figure `{figure}`; there are {}", known.join(", "))));
        }
        let value = most.parse().map_or_else(|_| Bound::Times(most.to_owned()), Bound::Number);
        if matches!(value, Bound::Times(_)) && value.relative().is_none() {
            return Err(usage(format!("`{most}` is neither a number nor `2 x nginx`")));
        }
        scenario.bounds.insert(figure.to_owned(), value);
    }
    Ok(scenario)
}

fn targets(arguments: &ArgMatches, url: Option<SocketAddr>) -> Result<Vec<Target>, Failure> {
    let pid = arguments.get_one::<u32>("pid").copied();
    let mut targets = Vec::new();
    match (text(arguments, "spawn"), url) {
        (Some(command), listen) => targets.push(Target::Spawn { command: command.to_owned(), listen }),
        (None, Some(address)) => targets.push(Target::Running { address, pid }),
        (None, None) if pid.is_some() => return Err(usage("--pid needs --url")),
        (None, None) => {}
    }
    for peer in arguments.get_many::<String>("versus").into_iter().flatten() {
        targets.push(match peer.as_str() {
            "nginx" => Target::Nginx,
            "haproxy" => Target::Haproxy,
            _ => Target::Direct,
        });
    }
    if targets.is_empty() { Err(usage("nothing to measure: give --url, --spawn or --versus")) } else { Ok(targets) }
}

/// Proxy on the first core, client and mock server on the second, unless asked otherwise.
fn cores(arguments: &ArgMatches, name: &str, default: usize) -> Option<usize> {
    let usable = crate::sys::usable_cores();
    let asked = arguments.get_one::<usize>(name).copied();
    if arguments.get_flag("no-pin") { None } else { asked.or_else(|| (usable.len() > 1).then(|| usable[default])) }
}

fn sources(arguments: &ArgMatches, targets: &[Target], connections: usize) -> Vec<IpAddr> {
    let loopback =
        targets.iter().all(|target| !matches!(target, Target::Running { address, .. } if !address.ip().is_loopback()));
    let needed = connections.div_ceil(CONNECTIONS_PER_SOURCE);
    let asked = arguments.get_one::<u64>("sources").map(|&n| usize::try_from(n).unwrap_or(usize::MAX));
    let count = asked.unwrap_or(if loopback && needed > 1 { needed } else { 0 });
    (1..=count.min(250) as u8).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect()
}

fn plan(arguments: &ArgMatches) -> Result<Plan, Failure> {
    let scenario = scenario(arguments)?;
    let (host, url, prefix) = match text(arguments, "url").map(split_url).transpose()? {
        Some((host, address, prefix)) => (Some(host), Some(address), prefix),
        None => (None, None, String::new()),
    };
    let targets = targets(arguments, url)?;
    let load_core = cores(arguments, "load-core", 1);
    let upstream = text(arguments, "upstream").map(address).transpose()?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    // A proxy that runs already has its own upstream: a mock server of ours would see nothing.
    let only_running = targets.iter().all(|target| matches!(target, Target::Running { .. }));
    let mock = (upstream.is_none() && !only_running).then(|| upstream::Settings {
        listen: any,
        fallback: "mock-json".to_owned(),
        turn: arguments.get_one("turn").copied().unwrap_or(1),
        core: cores(arguments, "upstream-core", 1),
    });
    Ok(Plan {
        rounds: arguments.get_one("rounds").copied().unwrap_or(3),
        mock,
        upstream: upstream.unwrap_or(any),
        access_log: text(arguments, "access-log") == Some("on"),
        proxy_core: cores(arguments, "proxy-core", 0),
        load_core,
        model: text(arguments, "model").map(str::to_owned),
        fields: arguments.get_many::<String>("header").into_iter().flatten().cloned().collect(),
        prefix,
        host: text(arguments, "host").map(str::to_owned).or(host),
        strictness: match text(arguments, "check") {
            Some("framing") => Strictness::Framing,
            Some("bytes") => Strictness::Bytes,
            _ => Strictness::Text,
        },
        thinking: if text(arguments, "thinking") == Some("kept") { Thinking::Kept } else { Thinking::Stripped },
        sources: sources(arguments, &targets, scenario.connections),
        requests_max: arguments.get_one("requests").copied(),
        scenario,
        targets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(line: &str) -> Result<Plan, String> {
        let matches = command().try_get_matches_from(line.split(' ')).map_err(|error| error.to_string())?;
        let Some(("run", arguments)) = matches.subcommand() else { return Err("no run".into()) };
        plan(arguments).map_err(|failure| match failure {
            Failure::Usage(text) | Failure::Run(text) => text,
        })
    }

    #[test]
    fn the_command_is_well_made() {
        command().debug_assert();
    }

    #[test]
    fn a_line_becomes_a_plan() {
        let plan = planned(
            "loadtest run json --spawn gate --versus nginx,haproxy --rounds 2 --duration 1s --connections 7 --check bytes \
             --bound errors=3 --bound latency_p99_us=5 --thinking kept --header A:b",
        )
        .unwrap();
        let names: Vec<_> = plan.targets.iter().map(Target::name).collect();
        assert_eq!(names, ["target", "nginx", "haproxy"]);
        assert_eq!((plan.rounds, plan.scenario.connections, plan.strictness), (2, 7, Strictness::Bytes));
        assert_eq!(plan.scenario.bounds["errors"], Bound::Number(3.0));
        assert_eq!(plan.thinking, Thinking::Kept);
        assert!(plan.mock.is_some());
    }

    #[test]
    fn a_running_proxy_has_its_own_upstream() {
        let plan = planned("loadtest run json --url http://127.0.0.1:3000/base/v1/ --pid 1").unwrap();
        assert!(plan.mock.is_none());
        assert_eq!(plan.prefix, "/base");
        assert_eq!(plan.host.as_deref(), Some("127.0.0.1:3000"));
    }

    #[test]
    fn many_connections_come_from_several_addresses() {
        let plan = planned("loadtest run json --versus nginx --connections 50000").unwrap();
        assert_eq!(plan.sources.len(), 3);
        assert!(planned("loadtest run json --versus nginx").unwrap().sources.is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        for (line, word) in [
            ("loadtest run json", "nothing to measure"),
            ("loadtest run no-such --versus nginx", "no-such"),
            ("loadtest run json --url https://x", "only http://"),
            ("loadtest run json --pid 7", "--url"),
            ("loadtest run json --versus nginx --duration 5", "duration"),
            ("loadtest run json --versus nginx --bound beauty=1", "beauty"),
            ("loadtest run json --versus nginx --bound errors=lots", "lots"),
            ("loadtest run json --versus apache", "apache"),
            ("loadtest run json --versus nginx --rate 0", "--rate"),
        ] {
            let error = planned(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
