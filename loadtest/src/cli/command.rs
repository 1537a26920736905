//! The verbs and their options.

use clap::{Arg, ArgAction, Command, value_parser};

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
                .about("Two reports of a scenario side by side; exit status 1 when the target became worse")
                .arg(Arg::new("before").required(true).value_name("A.json"))
                .arg(Arg::new("after").required(true).value_name("B.json"))
                .arg(number("tolerance", "PERCENT", "How much worse is still the same, 0 to 1000").default_value("10")),
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
        .about("Runs a scenario; exit status 1 when a bound is missed, or one of --bound not measured")
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
                "A mock server that runs already (`loadtest upstream`): what we start forwards to it, and with --url it is what stands behind the proxy; default: one in this process for what we start",
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
                .default_value("1")
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
                .default_value("1")
                .value_parser(value_parser!(u32).range(1..)),
            option("core", "N", "Bind its thread to this core").value_parser(value_parser!(usize)),
        ])
}
