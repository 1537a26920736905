//! What options must be to each other. Single values are checked by their kind.

use super::address::{is_loopback, is_ourselves};
use super::load::{Origin, Source};
use super::problem::Problem;
use super::profiles;
use super::settings::Settings;
use super::table::{self, ROWS};

/// Checks the whole; may drop what another program's variable said.
pub(super) fn whole(
    settings: &mut Settings,
    origins: &[Origin],
    warnings: &mut Vec<String>,
) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    upstream(settings, origins, warnings, &mut problems);
    shared(settings, origins, warnings, &mut problems);
    exposed(settings, warnings, &mut problems);
    profile_names(settings, &mut problems);
    if settings.think.reasoning_fields.is_empty() {
        problems.push(Problem::new("think.reasoning_fields", "needs reasoning_content, reasoning or both"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A gateway that forwards to itself multiplies each request until it runs out of connections.
fn upstream(settings: &mut Settings, origins: &[Origin], warnings: &mut Vec<String>, problems: &mut Vec<Problem>) {
    if !is_ourselves(&settings.upstream.url, &settings.listen) {
        return;
    }
    match table::by_key("upstream.url").map(|row| &origins[row]) {
        Some(origin) if origin.source == Source::Ecosystem => {
            warnings.push(format!("{} names this gateway itself; it is passed over", origin.name));
            settings.upstream.url = Settings::default().upstream.url;
        }
        origin => {
            let name = origin.map_or("upstream.url", |origin| origin.name.as_str());
            problems.push(Problem::new(name, "names this gateway itself as its upstream"));
        }
    }
}

fn shared(settings: &mut Settings, origins: &[Origin], warnings: &mut Vec<String>, problems: &mut Vec<Problem>) {
    let from_ecosystem = table::by_key("upstream.api_key").is_some_and(|row| origins[row].source == Source::Ecosystem);
    match (settings.upstream.shared, &settings.upstream.api_key) {
        (true, None) => problems.push(Problem::new(
            "--enable-shared-mode",
            "needs the key that all clients share: --api-key, or upstream.api_key in the file",
        )),
        (false, Some(_)) if from_ecosystem => settings.upstream.api_key = None,
        (false, Some(_)) => {
            warnings.push("--api-key is used in shared mode only, which is off (--enable-shared-mode)".to_owned());
        }
        _ => {}
    }
}

/// Client tokens do not exist yet, so nothing stands between an exposed address and the shared key.
fn exposed(settings: &Settings, warnings: &mut Vec<String>, problems: &mut Vec<Problem>) {
    let Some(address) = settings.listen.iter().find(|address| !is_loopback(address.ip())) else { return };
    if !settings.upstream.shared {
        warnings.push(format!("{address} is reachable from other machines, and clients need no token"));
    } else if settings.insecure_open_relay {
        warnings.push(format!("{address} is reachable from other machines: anybody there can use the shared key"));
    } else {
        problems.push(Problem::new(
            "--enable-shared-mode",
            format!(
                "would let anybody who reaches {address} use the shared key; listen on a loopback address, or give \
                 --insecure-open-relay if something else guards it"
            ),
        ));
    }
}

fn profile_names(settings: &Settings, problems: &mut Vec<Problem>) {
    let own = &settings.think.profiles;
    let known: Vec<&str> = own.keys().map(String::as_str).chain(profiles::BUILT_IN.iter().copied()).collect();
    for (at, rule) in settings.think.models.iter().enumerate() {
        if !known.contains(&rule.profile.as_str()) {
            let message = super::nearest::unknown("profile", &rule.profile, &known);
            problems.push(Problem::new(format!("think.models[{at}]"), message));
        }
    }
}

/// Names of options whose values have another source than their default, for the lines at start.
#[must_use]
pub fn summary(sources: &[(usize, Origin)]) -> Vec<String> {
    sources.iter().map(|(row, origin)| format!("{} from {}", ROWS[*row].name(), origin.name)).collect()
}
