//! From flags, environment and file to `Settings`: every value is checked, the strongest source wins, and all that is wrong
//! is reported at once.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::environment::Environment;
use super::kind::{Kind, Raw, Value};
use super::origin::{Origin, Source};
use super::problem::Problem;
use super::settings::Settings;
use super::table::{self, Applies, ROWS};
use super::{checks, file};

/// All that `load` reads, kept for reloads. `Debug` shows no values.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Row's index and text, as the command line gave them.
    pub flags: Vec<(usize, FlagText)>,
    pub environment: Environment,
    /// Where `thinkgate.yaml` is looked for; empty: the working directory.
    pub dir: PathBuf,
    /// Stands in for the configuration file's text, for tests; no file is then read.
    pub text: Option<String>,
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let flags: Vec<String> = self.flags.iter().map(|(row, _)| ROWS[*row].name()).collect();
        f.debug_struct("Inputs").field("flags", &flags).field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// A flag's text, which may be a secret.
pub type FlagText = crate::base::secret::Secret;

/// A configuration that may be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Options that do not have their default: the table's index, and where the value came from.
    pub sources: Vec<(usize, Origin)>,
    /// Allowed, and worth a line in the log.
    pub warnings: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    inputs: Inputs,
    /// One for each row; `None`: nothing was given and there is no default.
    values: Vec<Option<Value>>,
}

/// The result of `reload`.
#[derive(Clone, Debug)]
pub struct Reloaded {
    pub loaded: Loaded,
    /// Options that changed and apply now.
    pub changed: Vec<String>,
    /// Options that changed and keep their old value until the next start.
    pub needs_restart: Vec<String>,
}

/// Reads everything and checks everything.
///
/// # Errors
/// All findings, in the order of flags, environment, file, whole.
pub fn load(inputs: Inputs) -> Result<Loaded, Vec<Problem>> {
    let gathered = gather(&inputs);
    compose(inputs, gathered)
}

/// Reads everything again, for SIGHUP. What applies at start only keeps its value.
///
/// # Errors
/// All findings; the previous configuration then stays whole.
pub fn reload(previous: &Loaded) -> Result<Reloaded, Vec<Problem>> {
    let mut gathered = gather(&previous.inputs);
    let (mut changed, mut needs_restart) = (Vec::new(), Vec::new());
    for (at, row) in ROWS.iter().enumerate() {
        if gathered.values[at] == previous.values[at] {
            continue;
        }
        match row.applies {
            Applies::Reload => changed.push(row.name()),
            Applies::Start => {
                needs_restart.push(row.name());
                gathered.values[at].clone_from(&previous.values[at]);
            }
        }
    }
    let loaded = compose(previous.inputs.clone(), gathered)?;
    Ok(Reloaded { loaded, changed, needs_restart })
}

/// Values by row, before they meet each other.
struct Gathered {
    values: Vec<Option<Value>>,
    origins: Vec<Origin>,
    /// What is wrong with single values, and the rows that therefore do not have the value that was meant.
    problems: Vec<Problem>,
    unsound: Vec<usize>,
    warnings: Vec<String>,
    file: Option<PathBuf>,
}

/// A value that some source gave.
struct Given {
    row: usize,
    origin: Origin,
    raw: Raw,
}

fn gather(inputs: &Inputs) -> Gathered {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut given = Vec::new();
    let give = |row, source, name, raw| Given { row, origin: Origin { source, name }, raw };

    for (row, text) in &inputs.flags {
        given.push(give(*row, Source::Flag, ROWS[*row].name(), Raw::Text(text.reveal().to_owned())));
    }
    for (row, name, value) in table::given(&inputs.environment, &mut problems) {
        given.push(give(row, Source::Environment, name, Raw::Text(value.to_owned())));
    }
    let file = if inputs.text.is_some() { None } else { config_file(inputs, &given) };
    let entries = match (&inputs.text, &file) {
        (Some(text), _) => file::entries("thinkgate.yaml", text, &mut problems),
        (None, Some(path)) => file::read(path, &mut problems),
        (None, None) => Vec::new(),
    };
    for entry in entries {
        given.push(give(entry.row, Source::File, entry.origin, Raw::Tree(entry.tree)));
    }
    ecosystem(&inputs.environment, &mut given, &mut warnings);

    // A stable sort: within one source the order of the user stays.
    given.sort_by_key(|given| given.origin.source);
    let mut unsound = Vec::new();
    let checked = expand(given, &inputs.environment, &mut problems, &mut unsound);
    let (values, origins) = choose(checked, &inputs.environment, &mut problems);
    Gathered { values, origins, problems, unsound, warnings, file }
}

/// The path of `-c`, of its variable, or one of the usual places.
fn config_file(inputs: &Inputs, given: &[Given]) -> Option<PathBuf> {
    let named = given.iter().find(|given| matches!(ROWS[given.row].kind, Kind::ConfigFile));
    match named {
        Some(Given { raw: Raw::Text(path), .. }) => Some(PathBuf::from(path)),
        _ => file::discover(&inputs.dir, &inputs.environment),
    }
}

/// Adds what variables of other programs say about options that our own sources above them leave open.
fn ecosystem(environment: &Environment, given: &mut Vec<Given>, warnings: &mut Vec<String>) {
    for (row, definition) in ROWS.iter().enumerate().filter(|(_, row)| row.built) {
        let ours = |given: &Given| given.row == row && given.origin.source < Source::Ecosystem;
        if given.iter().any(ours) {
            continue;
        }
        for variable in definition.ecosystem {
            let Some(text) = environment.get(variable.name) else { continue };
            if !variable.only_with.is_none_or(|key| is_on(key, given, environment)) {
                continue;
            }
            let Some(text) = (variable.read)(text) else {
                warnings
                    .push(format!("{} has a value that says nothing to thinkgate; it is passed over", variable.name));
                continue;
            };
            let text = match text.strip_prefix(':') {
                Some(port) if matches!(definition.kind, Kind::Listen { .. }) => {
                    with_port(row, port, given, environment)
                }
                _ => Some(text),
            };
            let Some(text) = text else {
                warnings.push(format!("{} is passed over: the file does not have exactly one address", variable.name));
                continue;
            };
            if !variable.note.is_empty() {
                warnings.push(format!("{} {}", variable.name, variable.note));
            }
            let origin = Origin { source: Source::Ecosystem, name: variable.name.to_owned() };
            given.push(Given { row, origin, raw: Raw::Text(text) });
            break;
        }
    }
}

/// Is a switch on, as far as our own sources say?
fn is_on(key: &str, given: &[Given], environment: &Environment) -> bool {
    let strongest = given.iter().find(|given| ROWS[given.row].key == Some(key));
    strongest.is_some_and(|given| ROWS[given.row].kind.parse(&given.raw, environment) == Ok(Value::Bool(true)))
}

/// `PORT` moves the one address that the file or the default has to another port; `None` where the file has several.
fn with_port(row: usize, port: &str, given: &[Given], environment: &Environment) -> Option<String> {
    let default = Raw::Text(ROWS[row].default.unwrap_or_default().to_owned());
    let below = given.iter().find(|given| given.row == row && given.origin.source == Source::File);
    match ROWS[row].kind.parse(below.map_or(&default, |given| &given.raw), environment) {
        Ok(Value::Listen(addresses)) => match addresses.as_slice() {
            [SocketAddr::V4(one)] => Some(format!("{}:{port}", one.ip())),
            [SocketAddr::V6(one)] => Some(format!("[{}]:{port}", one.ip())),
            _ => None,
        },
        // The file's value is wrong, and reported as such.
        _ => None,
    }
}

/// A given value that was checked.
struct Checked {
    row: usize,
    origin: Origin,
    value: Value,
}

/// Checks every given value, also those that a stronger source hides; shorthands become values of the row they stand for.
fn expand(
    given: Vec<Given>,
    environment: &Environment,
    problems: &mut Vec<Problem>,
    unsound: &mut Vec<usize>,
) -> Vec<Checked> {
    let mut checked = Vec::new();
    for Given { mut row, origin, raw } in given {
        if !ROWS[row].built {
            let name = ROWS[row].name();
            let what = if origin.name.ends_with(&name) { String::new() } else { format!("{name} ") };
            problems.push(Problem::new(origin.name, format!("{what}is not in this build")));
            continue;
        }
        let mut value = ROWS[row].kind.parse(&raw, environment);
        if let (Kind::Shorthand { key, value: stands_for }, Ok(on)) = (ROWS[row].kind, &value) {
            let Some(target) = table::by_key(key).filter(|_| *on == Value::Bool(true)) else { continue };
            row = target;
            value = ROWS[target].kind.parse(&Raw::Text(stands_for.to_owned()), environment);
        }
        match value {
            Ok(value) => checked.push(Checked { row, origin, value }),
            Err(message) => {
                problems.push(Problem::new(origin.name, message));
                unsound.push(row);
            }
        }
    }
    checked
}

/// One value a row. The strongest source wins; two of one source have to agree.
fn choose(
    checked: Vec<Checked>,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> (Vec<Option<Value>>, Vec<Origin>) {
    let mut values: Vec<Option<Value>> = Vec::with_capacity(ROWS.len());
    let mut origins = Vec::with_capacity(ROWS.len());
    for row in ROWS {
        let text = row.default.filter(|_| row.built).map(|text| Raw::Text(text.to_owned()));
        values.push(text.and_then(|raw| row.kind.parse(&raw, environment).ok()));
        origins.push(Origin::default());
    }
    for Checked { row, origin, value } in checked {
        let before: &Origin = &origins[row];
        if before.source == Source::Default {
            values[row] = Some(value);
            origins[row] = origin;
        } else if before.source == origin.source && values[row].as_ref() != Some(&value) {
            problems.push(Problem::new(origin.name, format!("contradicts {}", before.name)));
        }
    }
    (values, origins)
}

fn compose(inputs: Inputs, gathered: Gathered) -> Result<Loaded, Vec<Problem>> {
    let Gathered { values, mut origins, mut problems, unsound, mut warnings, file } = gathered;
    let mut settings = Settings::blank();
    for (row, value) in ROWS.iter().zip(&values) {
        if let Some(value) = value {
            row.kind.apply(value.clone(), &mut settings);
        }
    }
    checks::Whole { origins: &mut origins, unsound: &unsound, warnings: &mut warnings, problems: &mut problems }
        .check(&mut settings);
    if !problems.is_empty() {
        return Err(problems);
    }
    let sources = origins.into_iter().enumerate().filter(|(_, origin)| origin.source != Source::Default).collect();
    Ok(Loaded { settings, sources, warnings, file, inputs, values })
}
