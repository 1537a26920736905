//! What options must be to each other. Single values are checked by their kind.

use super::address::{is_loopback, is_ourselves};
use super::nearest;
use super::origin::{Origin, Source};
use super::problem::Problem;
use super::settings::Settings;
use super::table::{self, ROWS};
use crate::control_plane::trust;
use crate::wire::think;

/// The check of the whole. A part is left out while one of the options it is about has a value that could not be read:
/// its finding would be about a value that nobody gave.
pub(super) struct Whole<'a> {
    pub origins: &'a mut [Origin],
    /// Rows whose value could not be read.
    pub unsound: &'a [usize],
    pub warnings: &'a mut Vec<String>,
    pub problems: &'a mut Vec<Problem>,
}

impl Whole<'_> {
    /// Checks; may drop what another program's variable said.
    pub(super) fn check(&mut self, settings: &mut Settings) {
        if self.sound(&["listen", "upstream.url"]) {
            self.upstream(settings);
        }
        if self.sound(&["upstream.shared", "upstream.api_key"]) {
            self.shared(settings);
        }
        if self.sound(&["listen", "upstream.shared", "insecure_open_relay"]) {
            self.exposed(settings);
        }
        if self.sound(&["think.models", "think.profiles"]) {
            self.profile_names(settings);
        }
        self.files(settings);
        self.cache(settings);
        if settings.think.reasoning_fields.is_empty() {
            self.problem("think.reasoning_fields", "needs reasoning_content, reasoning or both");
        }
    }

    fn sound(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| table::by_key(key).is_none_or(|row| !self.unsound.contains(&row)))
    }

    fn origin(&self, key: &str) -> Option<&Origin> {
        table::by_key(key).map(|row| &self.origins[row])
    }

    fn problem(&mut self, key: &str, message: impl Into<String>) {
        let name = match self.origin(key) {
            Some(origin) if origin.source != Source::Default => origin.name.clone(),
            _ => key.to_owned(),
        };
        self.problems.push(Problem::new(name, message));
    }

    /// A gateway that forwards to itself multiplies each request until it runs out of connections.
    fn upstream(&mut self, settings: &mut Settings) {
        if !is_ourselves(&settings.upstream.url, &settings.listen) {
            return;
        }
        match self.origin("upstream.url") {
            Some(origin) if origin.source == Source::Ecosystem => {
                self.warnings.push(format!("{} names this gateway itself; it is passed over", origin.name));
                settings.upstream.url = Settings::default().upstream.url;
                if let Some(row) = table::by_key("upstream.url") {
                    self.origins[row] = Origin::default();
                }
            }
            _ => self.problem("upstream.url", "names this gateway itself as its upstream"),
        }
    }

    fn shared(&mut self, settings: &Settings) {
        match (settings.upstream.shared, &settings.upstream.api_key) {
            (true, None) => self.problem(
                "upstream.shared",
                "needs the key that all clients share: --api-key, or upstream.api_key in the file",
            ),
            (false, Some(_)) => self
                .warnings
                .push("--api-key is used in shared mode only, which is off (--enable-shared-mode)".to_owned()),
            _ => {}
        }
    }

    /// Client tokens do not exist yet, so nothing stands between an exposed address and the shared key.
    fn exposed(&mut self, settings: &Settings) {
        let Some(address) = settings.listen.iter().find(|address| !is_loopback(address.ip())) else { return };
        if !settings.upstream.shared {
            self.warnings.push(format!("{address} is reachable from other machines, and clients need no token"));
        } else if settings.insecure_open_relay {
            self.warnings
                .push(format!("{address} is reachable from other machines: anybody there can use the shared key"));
        } else {
            self.problem(
                "upstream.shared",
                format!(
                    "would let anybody who reaches {address} use the shared key; listen on a loopback address, or give \
                     --insecure-open-relay if something else guards it"
                ),
            );
        }
    }

    fn profile_names(&mut self, settings: &Settings) {
        let own = settings.think.profiles.keys().map(String::as_str);
        let known: Vec<&str> = own.chain(think::table::definitions().into_iter().map(|(name, _)| name)).collect();
        for (at, rule) in settings.think.models.iter().enumerate() {
            if !known.contains(&rule.profile.as_str()) {
                self.problem("think.models", format!("[{at}] {}", nearest::unknown("profile", &rule.profile, &known)));
            }
        }
    }

    /// A file may hold what is not in use just now; who writes a flag means it.
    fn cache(&mut self, settings: &Settings) {
        if settings.cache.enabled {
            return;
        }
        let of_cache = |row: &&table::Row| row.key.is_some_and(|key| key.starts_with("cache."));
        for (row, origin) in ROWS.iter().zip(self.origins.iter()) {
            if of_cache(&row) && origin.source == Source::Flag && row.key != Some("cache.enabled") {
                self.warnings.push(format!("{} has no effect without --enable-cache", origin.name));
            }
        }
    }

    /// A file that is missing or has no certificate in it is found here rather than at the first request.
    fn files(&mut self, settings: &Settings) {
        let Some(path) = &settings.upstream.ca_file else { return };
        if let Err(error) = trust::client_config(Some(path)) {
            self.problem("upstream.ca_file", error);
        }
    }
}

/// Options that do not have their default and where their values came from, for the lines at start.
#[must_use]
pub fn summary(sources: &[(usize, Origin)]) -> Vec<String> {
    sources.iter().map(|(row, origin)| format!("{} from {}", ROWS[*row].name(), origin.name)).collect()
}
