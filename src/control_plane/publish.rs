//! From checked settings to the snapshot that the cores work with.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{
    config::settings::{self, LogLevel, OnDisconnect, Scheme, Settings, ThinkPolicy},
    resolve::Resolved,
    trust,
};
use crate::{
    base::secret::Secret,
    policy::{
        snapshot::{CacheRules, Limits, Snapshot, Think, Tls, Upstream},
        think_rules::{Rule, Rules},
    },
    wire::{
        http::AllowList,
        think::{Policy, Profile, ReasoningFields, table},
    },
};

/// # Errors
/// A sentence about the first setting that cannot be used.
pub fn snapshot(settings: &Settings, resolved: &Resolved) -> Result<Arc<Snapshot>, String> {
    let us = |ms: u64| ms.saturating_mul(1_000);
    let times = &settings.timeouts;
    let allow = AllowList::with(settings.downstream.response_headers.iter().map(String::as_str))
        .map_err(|pattern| format!("downstream.response_headers: {pattern} may not pass"))?;
    Ok(Arc::new(Snapshot {
        upstream: upstream(settings, resolved)?,
        limits: Limits {
            head_us: us(times.head_ms),
            body_us: us(times.body_ms),
            connect_us: us(times.connect_ms),
            first_byte_us: us(times.first_byte_ms),
            idle_us: us(times.idle_ms),
            total_us: us(times.total_ms),
            keep_alive_us: us(settings.downstream.idle_ms),
            body_bytes_max: settings.limits.body_bytes,
            pool_idle_max: settings.pool.idle_max,
            pool_idle_us: us(settings.pool.idle_age_ms),
        },
        think: Think {
            policy: policy(settings.think.policy),
            header: settings.think.header,
            rules: rules(settings)?,
            reasoning_fields: reasoning_fields(&settings.think.reasoning_fields),
            heartbeat_us: us(settings.think.heartbeat_ms),
        },
        cache: CacheRules {
            finishes: settings.cache.on_disconnect == OnDisconnect::Finish,
            tool_calls: settings.cache.tool_calls,
            sampled: settings.cache.sampled,
            asks_counts: settings.cache.ask_counts,
            ignores_no_store: settings.cache.ignore_no_store,
            pace_us: settings.cache.pace_ms * 1_000,
        },
        allow,
        access_log: settings.log.access.is_some(),
        warn: settings.log.level != LogLevel::Error,
        debug: settings.log.level == LogLevel::Debug,
    }))
}

fn upstream(settings: &Settings, resolved: &Resolved) -> Result<Upstream, String> {
    let from = &settings.upstream;
    let tls = match from.url.scheme {
        Scheme::Http => None,
        Scheme::Https => Some(Tls {
            config: trust::client_config(from.ca_file.as_deref())?,
            name: rustls::pki_types::ServerName::try_from(from.url.host.clone())
                .map_err(|error| format!("upstream.url: {error}"))?,
        }),
    };
    let authorization =
        from.api_key.as_ref().filter(|_| from.shared).map(|key| Secret::new(format!("Bearer {}", key.reveal())));
    let mut identity = DefaultHasher::new();
    (from.url.to_string(), &from.ca_file, &resolved.addresses).hash(&mut identity);
    Ok(Upstream {
        identity: identity.finish(),
        url: from.url.to_string().into(),
        authority: from.url.authority().into(),
        path_prefix: from.url.path_prefix.as_str().into(),
        addresses: resolved.addresses.clone().into(),
        unresolved: resolved.failure.as_deref().map(Into::into),
        authorization,
        tls,
    })
}

const fn policy(named: ThinkPolicy) -> Policy {
    match named {
        ThinkPolicy::Strip => Policy::Strip,
        ThinkPolicy::Keep => Policy::Keep,
        ThinkPolicy::Separate => Policy::Separate,
        ThinkPolicy::Wrap => Policy::Wrap,
    }
}

fn reasoning_fields(names: &[String]) -> ReasoningFields {
    let has = |name: &str| names.iter().any(|own| own == name);
    match (has("reasoning_content"), has("reasoning")) {
        (true, true) => ReasoningFields::Both,
        (false, true) => ReasoningFields::Reasoning,
        _ => ReasoningFields::ReasoningContent,
    }
}

/// The user's rows with their profiles compiled.
fn rules(settings: &Settings) -> Result<Rules, String> {
    let mut own = BTreeMap::new();
    for (name, def) in &settings.think.profiles {
        let profile = Profile::new(def).map_err(|error| format!("think.profiles.{name}: {error}"))?;
        own.insert(name.as_str(), Arc::new(profile));
    }
    let rule = |from: &settings::ModelRule| {
        let profile = own.get(from.profile.as_str()).cloned().or_else(|| table::builtin(&from.profile));
        Ok(Rule {
            glob: from.glob.as_str().into(),
            profile: profile.ok_or_else(|| format!("think.models: there is no profile {}", from.profile))?,
            policy: from.policy.map(policy),
        })
    };
    settings.think.models.iter().map(rule).collect::<Result<Vec<_>, String>>().map(Rules::new)
}
