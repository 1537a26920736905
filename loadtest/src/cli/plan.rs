//! From the words of `run` to a plan, with every mistake named.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::ArgMatches;

use super::address::{address, field, host, model, split_url};
use super::{Failure, text, usage};
use crate::client::check::{Strictness, Thinking};
use crate::run::{Plan, has_our_mock_behind};
use crate::scenario::{Bound, Scenario, parse_duration};
use crate::subject::Target;
use crate::upstream;

/// One source address a connection to one target needs a port of; this many are left to the system of about 28,000.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

fn scenario(arguments: &ArgMatches) -> Result<Scenario, Failure> {
    let mut scenario = Scenario::load(text(arguments, "scenario").unwrap_or_default()).map_err(Failure::Usage)?;
    if let Some(time) = text(arguments, "duration") {
        scenario.duration = parse_duration(time).map_err(Failure::Usage)?;
        if scenario.duration.is_zero() {
            return Err(usage("--duration must be above 0"));
        }
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
    Ok(scenario)
}

/// Takes the bounds of `--bound` into the scenario; the figures they are on.
fn bounds(arguments: &ArgMatches, scenario: &mut Scenario, targets: &[Target]) -> Result<Vec<String>, Failure> {
    let mut asked = Vec::new();
    for text in arguments.get_many::<String>("bound").into_iter().flatten() {
        let (figure, most) = text.split_once('=').ok_or_else(|| usage(format!("--bound {text}: FIGURE=MOST")))?;
        let wrong = |error| usage(format!("--bound {text}: {error}"));
        crate::figures::known(figure).map_err(wrong)?;
        let bound = Bound::parse(most).map_err(wrong)?;
        let beside = |peer: &str| targets.iter().skip(1).any(|target| target.name() == peer);
        if let Some((_, peer)) = bound.relative().filter(|(_, peer)| !beside(peer)) {
            return Err(wrong(format!("{peer} is not measured beside the target: add it to --versus")));
        }
        scenario.bounds.insert(figure.to_owned(), bound);
        asked.push(figure.to_owned());
    }
    Ok(asked)
}

fn targets(arguments: &ArgMatches, url: Option<SocketAddr>) -> Result<Vec<Target>, Failure> {
    let pid = arguments.get_one::<u32>("pid").copied();
    let mut targets = Vec::new();
    match (text(arguments, "spawn"), url) {
        (Some(_), _) if pid.is_some() => {
            return Err(usage("--pid is for a proxy that runs; the process of --spawn is known"));
        }
        (Some(command), listen) => targets.push(Target::Spawn { command: command.to_owned(), listen }),
        (None, Some(address)) => {
            if let Some(pid) = pid.filter(|pid| crate::subject::proc::name(*pid).is_none()) {
                return Err(usage(format!("--pid {pid}: no such process")));
            }
            targets.push(Target::Running { address, pid });
        }
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
fn cores(arguments: &ArgMatches, name: &str, default: usize) -> Result<Option<usize>, Failure> {
    let usable = crate::sys::usable_cores();
    let asked = arguments.get_one::<usize>(name).copied();
    if let Some(core) = asked.filter(|core| !usable.contains(core)) {
        return Err(usage(format!("--{name} {core}: this process may use the cores {usable:?}")));
    }
    let default = || (usable.len() > 1).then(|| usable[default]);
    Ok(if arguments.get_flag("no-pin") { None } else { asked.or_else(default) })
}

fn sources(arguments: &ArgMatches, targets: &[Target], connections: usize) -> Vec<IpAddr> {
    let loopback =
        targets.iter().all(|target| !matches!(target, Target::Running { address, .. } if !address.ip().is_loopback()));
    let needed = connections.div_ceil(CONNECTIONS_PER_SOURCE);
    let asked = arguments.get_one::<u64>("sources").map(|&n| usize::try_from(n).unwrap_or(usize::MAX));
    let count = asked.unwrap_or(if loopback && needed > 1 { needed } else { 0 });
    (1..=count.min(250) as u8).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect()
}

/// Refuses outages that the target would not see: then nothing is tried, and every bound is kept.
fn outage(scenario: &Scenario, targets: &[Target], upstream: Option<SocketAddr>) -> Result<(), Failure> {
    let is_seen = |target: &Target| upstream.is_none() && has_our_mock_behind(target);
    match targets.iter().find(|target| !is_seen(target)) {
        Some(target) if scenario.outage().is_some() => Err(usage(format!(
            "the scenario `{}` has outages, which only the mock server of this process makes, and that is not behind {}: \
             give --spawn with {{upstream}} in its command, and no --upstream",
            scenario.name,
            target.name()
        ))),
        _ => Ok(()),
    }
}

/// The plan.
///
/// # Errors
/// Wrong usage, in words.
pub(super) fn plan(arguments: &ArgMatches) -> Result<Plan, Failure> {
    let mut scenario = scenario(arguments)?;
    let (url_host, url, prefix) = match text(arguments, "url").map(split_url).transpose()? {
        Some((host, address, prefix)) => (Some(host), Some(address), prefix),
        None => (None, None, String::new()),
    };
    let targets = targets(arguments, url)?;
    let asked = bounds(arguments, &mut scenario, &targets)?;
    let load_core = cores(arguments, "load-core", 1)?;
    let upstream = text(arguments, "upstream").map(address).transpose()?;
    let upstream_core = cores(arguments, "upstream-core", 1)?;
    scenario.wanted(None).map_err(Failure::Usage)?;
    if arguments.get_one("requests") == Some(&0u64) {
        return Err(usage("--requests must be at least 1"));
    }
    outage(&scenario, &targets, upstream)?;
    // A proxy that runs already has its own upstream: a mock server of ours would see nothing.
    let mock = (upstream.is_none() && targets.iter().any(has_our_mock_behind)).then(|| upstream::Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        fallback: "mock-json".to_owned(),
        turn: arguments.get_one("turn").copied().unwrap_or(1),
        core: upstream_core,
        outage: scenario.outage(),
    });
    Ok(Plan {
        rounds: arguments.get_one("rounds").copied().unwrap_or(3),
        mock,
        upstream,
        asked,
        access_log: text(arguments, "access-log") == Some("on"),
        proxy_core: cores(arguments, "proxy-core", 0)?,
        load_core,
        model: text(arguments, "model").map(model).transpose()?,
        fields: arguments
            .get_many::<String>("header")
            .into_iter()
            .flatten()
            .map(|text| field(text))
            .collect::<Result<_, _>>()?,
        prefix,
        host: text(arguments, "host").map(host).transpose()?.or(url_host),
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
    use crate::cli::command::command;

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
        let line = format!("loadtest run json --url http://127.0.0.1:3000/base/v1/ --pid {}", std::process::id());
        let plan = planned(&line).unwrap();
        assert!(plan.mock.is_none());
        assert_eq!(plan.prefix, "/base");
        assert_eq!(plan.host.as_deref(), Some("127.0.0.1:3000"));
    }

    #[test]
    fn the_mock_server_of_this_process_is_for_those_it_is_behind() {
        let has_mock = |line: &str| planned(&format!("loadtest run json {line}")).unwrap().mock.is_some();
        assert!(has_mock("--spawn gate={upstream}"));
        assert!(!has_mock("--spawn gate"));
        assert!(has_mock("--spawn gate --versus direct"));
        assert!(has_mock("--url http://127.0.0.1:3000 --versus nginx"));
        assert!(!has_mock("--url http://127.0.0.1:3000 --versus nginx --upstream 127.0.0.1:9100"));
        let plan = planned("loadtest run json --url http://127.0.0.1:3000 --upstream 127.0.0.1:9100").unwrap();
        assert_eq!(plan.upstream, Some(([127, 0, 0, 1], 9100).into()));
    }

    #[test]
    fn outages_are_for_those_who_see_them() {
        let outages = |line: &str| planned(&format!("loadtest run outages {line}"));
        assert!(outages("--spawn gate={upstream} --versus nginx").is_ok());
        for line in [
            "--url http://127.0.0.1:3000",
            "--url http://127.0.0.1:3000 --versus nginx",
            "--url http://127.0.0.1:3000 --upstream 127.0.0.1:9100",
            "--spawn gate={upstream} --upstream 127.0.0.1:9100",
            "--spawn gate",
        ] {
            let error = outages(line).unwrap_err();
            assert!(error.contains("`outages` has outages") && error.contains("behind target"), "{line}: {error}");
        }
    }

    #[test]
    fn a_typed_bound_is_relative_to_what_is_measured_beside_the_target() {
        let bound = |line: &str| {
            let words = format!("loadtest run json {line} --bound");
            let words = words.split(' ').chain(["latency_p99_us=2 x nginx"]);
            let matches = command().try_get_matches_from(words).unwrap();
            plan(matches.subcommand().unwrap().1).map(|plan| plan.asked)
        };
        assert_eq!(bound("--spawn gate --versus haproxy,nginx").ok().unwrap(), ["latency_p99_us"]);
        for line in ["--spawn gate", "--spawn gate --versus haproxy", "--versus nginx"] {
            let Err(Failure::Usage(text)) = bound(line) else { panic!("{line}") };
            assert!(text.contains("nginx is not measured beside the target"), "{text}");
        }
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
            ("loadtest run json --url http://127.0.0.1:3000 --pid 4194305", "no such process"),
            ("loadtest run json --versus nginx --proxy-core 900", "may use the cores"),
            ("loadtest run json --versus nginx --duration 0s", "above 0"),
            ("loadtest run json --versus nginx --duration 5", "duration"),
            ("loadtest run json --versus nginx --bound beauty=1", "beauty"),
            ("loadtest run json --versus nginx --bound errors=lots", "lots"),
            ("loadtest run json --versus apache", "apache"),
            ("loadtest run json --versus nginx --rate 0", "--rate"),
            ("loadtest run json --versus nginx --rate NaN", "--rate"),
            ("loadtest run json --versus nginx --requests 0", "--requests"),
            ("loadtest run json --versus nginx --duration 721h", "30 days"),
            ("loadtest run json --versus nginx --bound errors=NaN", "--bound errors=NaN"),
            ("loadtest run json --versus nginx --bound errors=inf", "--bound errors=inf"),
            ("loadtest run json --versus nginx --bound errors=-1", "--bound errors=-1"),
            ("loadtest run json --versus nginx --header A", "--header"),
            ("loadtest run json --versus nginx --model a\"b", "--model"),
            ("loadtest run json --spawn gate --pid 1", "--pid"),
        ] {
            let error = planned(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
