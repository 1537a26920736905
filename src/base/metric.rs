//! The table of metrics: one row a metric. A core holds cells indexed by these enums; only the scraper knows text.

/// How a metric is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Counter,
    Gauge,
}

macro_rules! metrics {
    ($( $(#[$doc:meta])* $name:ident, $type:ident, $text:literal, $help:literal; )*) => {
        /// Metrics without labels beyond their own name: one cell a core each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $( $(#[$doc])* $name, )* }

        impl Metric {
            pub const ALL: &'static [Metric] = &[$(Metric::$name,)*];
            /// Full name, unit and `_total` included, with fixed labels where one family has several cells.
            #[must_use] pub const fn text(self) -> &'static str { match self { $(Metric::$name => $text,)* } }
            #[must_use] pub const fn help(self) -> &'static str { match self { $(Metric::$name => $help,)* } }
            #[must_use] pub const fn kind(self) -> Type { match self { $(Metric::$name => Type::$type,)* } }
        }
    };
}

// Rows of one family (the same name before the brace) stand together: the text format wants them so.
metrics! {
    ConnectionsOpen, Gauge, "thinkgate_downstream_connections_open", "Client connections open now.";
    ConnectionsAccepted, Counter, "thinkgate_downstream_connections_total", "Client connections accepted.";
    ConnectionsHanded, Counter, "thinkgate_downstream_connections_handed_over_total", "Accepted connections handed to a core with fewer.";
    ConnectionsRefused, Counter, "thinkgate_downstream_connections_refused_total", "Connections closed at once because the limit was reached.";
    ConnectionPanics, Counter, "thinkgate_connection_panics_total", "Connections lost to a panic; each is a bug.";
    RequestsActive, Gauge, "thinkgate_requests_active", "Requests being handled now.";
    StreamsActive, Gauge, "thinkgate_streams_active", "Streamed answers being forwarded now.";
    BytesIn, Counter, "thinkgate_downstream_received_bytes_total", "Request bytes read from clients.";
    BytesOut, Counter, "thinkgate_downstream_sent_bytes_total", "Answer bytes written to clients.";
    UpstreamAttempts, Counter, "thinkgate_upstream_attempts_total", "Requests sent to an upstream, repeats included.";
    UpstreamConnects, Counter, "thinkgate_upstream_connects_total", "New connections to an upstream.";
    UpstreamReused, Counter, "thinkgate_upstream_reused_total", "Requests sent on a kept upstream connection.";
    UpstreamStale, Counter, "thinkgate_upstream_stale_total", "Kept connections that turned out closed after a request was sent.";
    UpstreamRetries, Counter, "thinkgate_upstream_retries_total", "Requests sent once more on a fresh connection.";
    UpstreamIdle, Gauge, "thinkgate_upstream_connections_idle", "Kept upstream connections waiting for use.";
    UpstreamOpen, Gauge, "thinkgate_upstream_connections_open", "Upstream connections open now, idle ones included.";
    ThinkFiltered, Counter, "thinkgate_think_answers_total", "Answers that went through the think filter.";
    ThinkRemovedBytes, Counter, "thinkgate_think_removed_bytes_total", "Bytes of thinking taken out of answers.";
    ThinkEdited, Counter, "thinkgate_think_events_total{action=\"edited\"}", "Events that the think filter changed or dropped.";
    ThinkDropped, Counter, "thinkgate_think_events_total{action=\"dropped\"}", "Events that the think filter changed or dropped.";
    ThinkUnclosed, Counter, "thinkgate_think_unclosed_total", "Answers that ended while still thinking.";
    ThinkDangling, Counter, "thinkgate_think_dangling_close_total", "Closing tags met in an answer whose profile starts outside: the model needs a profile that starts inside.";
    ThinkOverCap, Counter, "thinkgate_think_over_cap_total", "Events or texts passed untouched because a bound of the filter was reached.";
    ThinkSkipped, Counter, "thinkgate_think_unfiltered_total", "Answers passed unfiltered because they were compressed or too large to collect.";
    ThinkHeldMax, Gauge, "thinkgate_think_held_max_bytes", "Longest text the think filter has held back.";
    ThinkHeartbeats, Counter, "thinkgate_think_heartbeats_total", "Heartbeats written while thinking was suppressed.";
    CacheMemoryHits, Counter, "thinkgate_cache_lookups_total{result=\"memory\"}", "Requests for answers of a kind that is kept: found in memory or on disk, joined to a running call, missed, asked anew or uncached by the client (no_cache, no_store), or without a key (bypass).";
    CacheDiskHits, Counter, "thinkgate_cache_lookups_total{result=\"disk\"}", "Requests for answers of a kind that is kept: found in memory or on disk, joined to a running call, missed, asked anew or uncached by the client (no_cache, no_store), or without a key (bypass).";
    CacheJoined, Counter, "thinkgate_cache_lookups_total{result=\"joined\"}", "Requests for answers of a kind that is kept: found in memory or on disk, joined to a running call, missed, asked anew or uncached by the client (no_cache, no_store), or without a key (bypass).";
    CacheMissed, Counter, "thinkgate_cache_lookups_total{result=\"miss\"}", "Requests for answers of a kind that is kept: found in memory or on disk, joined to a running call, missed, asked anew or uncached by the client (no_cache, no_store), or without a key (bypass).";
    CacheBypassed, Counter, "thinkgate_cache_lookups_total{result=\"bypass\"}", "Requests for answers of a kind that is kept: found in memory or on disk, joined to a running call, missed, asked anew or uncached by the client (no_cache, no_store), or without a key (bypass).";
    CacheRefreshed, Counter, "thinkgate_cache_lookups_total{result=\"no_cache\"}", "Requests for answers of a kind that is kept: found in memory or on disk, joined to a running call, missed, asked anew or uncached by the client (no_cache, no_store), or without a key (bypass).";
    CacheRefused, Counter, "thinkgate_cache_lookups_total{result=\"no_store\"}", "Requests for answers of a kind that is kept: found in memory or on disk, joined to a running call, missed, asked anew or uncached by the client (no_cache, no_store), or without a key (bypass).";
    CacheFollowers, Gauge, "thinkgate_cache_followers", "Clients that follow an upstream call which others may join.";
    LogDropped, Counter, "thinkgate_log_lines_dropped_total", "Log lines dropped because the writer was behind.";
    SnapshotsTaken, Counter, "thinkgate_config_taken_total", "Configurations taken over by cores.";
}

#[cfg(test)]
mod tests {
    use super::{Metric, Type};

    #[test]
    fn names_follow_the_conventions() {
        for metric in Metric::ALL {
            let name = metric.text().split('{').next().unwrap();
            assert!(name.starts_with("thinkgate_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind() == Type::Counter, "{name}");
            assert!(metric.help().ends_with('.'), "{name}");
        }
    }

    #[test]
    fn families_stand_together() {
        let names: Vec<_> = Metric::ALL.iter().map(|metric| metric.text().split('{').next().unwrap()).collect();
        let mut seen: Vec<&str> = Vec::new();
        for name in names {
            assert!(seen.last() == Some(&name) || !seen.contains(&name), "{name} is split");
            seen.push(name);
        }
    }
}
