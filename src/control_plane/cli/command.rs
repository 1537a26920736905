//! The clap command: every flag is a row of the table; values stay text here and are checked in one place for all sources.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::control_plane::config::table::{ROWS, Row};
use crate::control_plane::config::{FlagText, Kind};

/// Verbs whose subject does not exist yet; they are known, so that they can say so.
pub(super) const UNBUILT_VERBS: &[&str] = &["status", "models", "config", "token", "key", "channel"];

/// The options that say where the cache is.
const CACHE_FLAGS: &[&str] = &["config", "cache-dir"];

/// The whole command line.
#[must_use]
pub fn command() -> Command {
    let root = Command::new("thinkgate")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A gateway in front of language-model servers that removes thinking from streams")
        .after_help(
            "Without a verb thinkgate serves. Every option is also an environment variable, THINKGATE_ and its name, and a \
             key of the configuration file; --help shows both. Times: 250ms, 30s, 5m, 1h, or milliseconds. Sizes: 64MiB, \
             10GiB, or bytes. Exit status: 0 done, 1 failed while running, 2 wrong usage or configuration.",
        )
        .after_long_help(format!(
            "Without a verb thinkgate serves. Every option is also an environment variable, THINKGATE_ and its name, and a key \
             of the configuration file. Times: 250ms, 30s, 5m, 1h, or milliseconds. Sizes: 64MiB, 10GiB, or bytes. Exit \
             status: 0 done, 1 failed while running, 2 wrong usage or configuration.\n\nWithout a flag, in the file or the \
             environment only:\n{}",
            file_only()
        ))
        .args(args())
        .subcommand(Command::new("serve").about("Run the gateway; the same as no verb").args(args()))
        .subcommand(
            Command::new("demo")
                .about("Run the gateway in front of a small built-in model server, and show what it does")
                .args(args()),
        )
        .subcommand(
            Command::new("check")
                .about("Check a configuration file, the environment included; exit status 0 or 2")
                .arg(Arg::new("file").value_name("FILE").help("File to check; without it the one that serve would read"))
                .arg(Arg::new("config").long("config").value_name("FILE").conflicts_with("file").help("The same, as serve has it")),
        )
        .subcommand(
            Command::new("completions").about("Print completions for a shell").arg(
                Arg::new("shell").value_name("SHELL").required(true).value_parser(clap::value_parser!(clap_complete::Shell)),
            ),
        )
        .subcommand(
            Command::new("cache")
                .about("Look into the answer cache's directory, or empty it")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    Command::new("status")
                        .about("Say what lies in the cache's directory; a gateway may be running on it")
                        .args(args_of(CACHE_FLAGS)),
                )
                .subcommand(
                    Command::new("clear")
                        .about("Remove all answers from the cache's directory; refused while a gateway uses it")
                        .args(args_of(CACHE_FLAGS)),
                ),
        )
        .subcommand(Command::new("man").about("Print the manual page"))
        .subcommand(
            Command::new("options")
                .about("Print the option table for the README, or the schema of the configuration file")
                .hide(true)
                .arg(Arg::new("form").value_name("FORM").required(true).value_parser(["markdown", "schema"])),
        );
    UNBUILT_VERBS.iter().fold(root, |root, verb| {
        let anything = Arg::new("rest").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
        root.subcommand(Command::new(*verb).hide(true).arg(anything))
    })
}

/// What the command line says, by row: the verb's own flags after those before the verb.
pub(super) fn flags(matches: &ArgMatches) -> Vec<(usize, FlagText)> {
    let mut flags = Vec::new();
    let mut next = Some(matches);
    while let Some(matches) = next {
        next = matches.subcommand().map(|(_, verb)| verb);
        for (at, row) in ROWS.iter().enumerate() {
            let Some(flag) = row.flag else { continue };
            // A verb without options of its own does not know the id; a switch that was not given still has a value.
            if !matches.try_contains_id(flag).unwrap_or(false)
                || matches.value_source(flag) != Some(ValueSource::CommandLine)
            {
                continue;
            }
            let text = match matches.try_get_many::<String>(flag) {
                Ok(texts) => texts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(","),
                Err(_) => "true".to_owned(),
            };
            flags.push((at, FlagText::new(text)));
        }
    }
    flags
}

/// The options that have no flag.
fn file_only() -> String {
    let rows = ROWS.iter().filter(|row| row.built && row.flag.is_none() && row.key.is_some());
    let line = |row: &Row| {
        let key = row.key.unwrap_or_default();
        format!("  {key}\n          {}\n          Environment: {}\n", short_help(row), row.env())
    };
    rows.map(line).collect()
}

fn args() -> Vec<Arg> {
    ROWS.iter().filter_map(arg).collect()
}

fn args_of(flags: &[&str]) -> Vec<Arg> {
    ROWS.iter().filter(|row| row.flag.is_some_and(|flag| flags.contains(&flag))).filter_map(arg).collect()
}

fn arg(row: &Row) -> Option<Arg> {
    let flag = row.flag?;
    let mut arg = Arg::new(flag).long(flag).help(short_help(row)).long_help(long_help(row)).hide(!row.built);
    arg = arg.help_heading(row.section);
    if let Some(short) = row.short {
        arg = arg.short(short);
    }
    if row.is_switch() {
        return Some(arg.action(ArgAction::SetTrue));
    }
    let arg = arg.value_name(row.value_name).allow_hyphen_values(true);
    let repeats = matches!(row.kind, Kind::Listen { .. } | Kind::Names { .. });
    Some(arg.action(if repeats { ArgAction::Append } else { ArgAction::Set }))
}

fn short_help(row: &Row) -> String {
    let mut help = row.help.to_owned();
    if let Some(default) = row.default.filter(|_| !row.is_switch()) {
        help.push_str(&format!(" [default: {default}]"));
    }
    match (row.kind.range(), row.kind) {
        (Some(names), Kind::Choice { .. }) => help.push_str(&format!(" [one of: {names}]")),
        (Some(range), _) => help.push_str(&format!(" [range: {range}]")),
        (None, _) => {}
    }
    help
}

fn long_help(row: &Row) -> String {
    let key = match row.kind {
        Kind::Shorthand { key, value } => format!("{key}: {value}"),
        _ => row.key.unwrap_or("none").to_owned(),
    };
    let mut help = format!("{}\nEnvironment: {}", short_help(row), row.env());
    for variable in row.ecosystem {
        help.push_str(&format!(", {}", variable.name));
    }
    format!("{help}; file: {key}")
}
