//! `/metrics`: the cells of all cores added up and written as Prometheus text (format 0.0.4). Only this file knows names.

use std::{fmt::Write, sync::atomic::Ordering::Relaxed};

use super::{
    core::{Core, Shared},
    driver::Driver,
    meter::{BUCKETS_US, Meter, Outcome, STATUS_CELLS, Timing, status_label},
};
use crate::{
    base::{
        error::{Kind, Side},
        metric::{Metric, Type},
    },
    wire::{answer::Unstorable, dialect::Endpoint},
};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole text.
#[must_use]
pub fn text(core: &Core) -> String {
    let mut out = String::with_capacity(16 * 1024);
    let shared = &core.shared;
    metrics(&mut out, shared);
    requests(&mut out, shared);
    errors(&mut out, shared);
    timings(&mut out, shared);
    cache(&mut out, shared);
    process(&mut out, core);
    out
}

fn meters(shared: &Shared) -> impl Iterator<Item = &Meter> {
    shared.cores.iter().map(|seat| &*seat.meter)
}

fn family(out: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn metrics(out: &mut String, shared: &Shared) {
    let mut last = "";
    for metric in Metric::ALL {
        let name = metric.text().split('{').next().unwrap_or_default();
        if name != last {
            family(out, name, metric.help(), if metric.kind() == Type::Gauge { "gauge" } else { "counter" });
            last = name;
        }
        let cells = meters(shared).map(|meter| meter.get(*metric));
        let value: u64 = match metric {
            Metric::ThinkHeldMax => cells.max().unwrap_or(0),
            _ => cells.fold(0, u64::wrapping_add),
        };
        let _ = writeln!(out, "{} {value}", metric.text());
    }
}

fn requests(out: &mut String, shared: &Shared) {
    const NAME: &str = "thinkgate_requests_total";
    family(out, NAME, "Requests by endpoint, dialect, status and how they ended.", "counter");
    for (e, endpoint) in Endpoint::ALL.iter().enumerate() {
        for status in 0..STATUS_CELLS {
            for (o, outcome) in Outcome::ALL.iter().enumerate() {
                let count: u64 = meters(shared).map(|meter| meter.requests(e, status, o)).sum();
                if count > 0 {
                    let _ = writeln!(
                        out,
                        "{NAME}{{endpoint=\"{}\",dialect=\"{}\",status=\"{}\",outcome=\"{}\"}} {count}",
                        endpoint.label(),
                        endpoint.dialect().label(),
                        status_label(status),
                        outcome.label(),
                    );
                }
            }
        }
    }
}

fn errors(out: &mut String, shared: &Shared) {
    const NAME: &str = "thinkgate_errors_total";
    family(out, NAME, "Requests that did not get the upstream's whole answer, by cause.", "counter");
    for kind in Kind::ALL {
        let side = match kind.side() {
            Side::Downstream => "downstream",
            Side::Upstream => "upstream",
            Side::Gateway => "gateway",
        };
        let count: u64 = meters(shared).map(|meter| meter.errors(*kind)).sum();
        let _ = writeln!(out, "{NAME}{{kind=\"{}\",side=\"{side}\"}} {count}", kind.label());
    }
}

fn timings(out: &mut String, shared: &Shared) {
    for timing in Timing::ALL {
        let (name, help) = timing.text();
        family(out, name, help, "histogram");
        let mut count = 0;
        for bucket in 0..=BUCKETS_US.len() {
            count += meters(shared).map(|meter| meter.timing(timing).buckets[bucket].load(Relaxed)).sum::<u64>();
            match BUCKETS_US.get(bucket) {
                Some(bound) => {
                    let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {count}", *bound as f64 / 1e6);
                }
                None => {
                    let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
                }
            }
        }
        let sum: u64 = meters(shared).map(|meter| meter.timing(timing).sum_us.load(Relaxed)).sum();
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {count}", sum as f64 / 1e6);
    }
}

/// The cache's sizes, as of the last few seconds. Nothing of it without a cache.
fn cache(out: &mut String, shared: &Shared) {
    if shared.answers.is_none() {
        return;
    }
    let gauges = &shared.cache;
    let tiers = [
        (
            "entries",
            "gauge",
            "Live answers in the cache by tier, as of the last five seconds.",
            &gauges.memory_entries,
            &gauges.disk_entries,
        ),
        (
            "bytes",
            "gauge",
            "Bytes of live answers in the cache by tier, as of the last five seconds.",
            &gauges.memory_bytes,
            &gauges.disk_bytes,
        ),
        (
            "evictions_total",
            "counter",
            "Answers that left a tier for want of room; the disk frees whole blocks as well.",
            &gauges.memory_evicted,
            &gauges.disk_evicted,
        ),
    ];
    for (what, kind, help, memory, disk) in tiers {
        family(out, &format!("thinkgate_cache_{what}"), help, kind);
        for (tier, cell) in [("memory", memory), ("disk", disk)] {
            let _ = writeln!(out, "thinkgate_cache_{what}{{tier=\"{tier}\"}} {}", cell.load(Relaxed));
        }
    }
    let counters = [
        ("thinkgate_cache_stored_total", "Answers kept.", &gauges.stored),
        (
            "thinkgate_cache_disk_skipped_total",
            "Answers kept in memory only: the disk was too slow, too full, or failed.",
            &gauges.disk_skipped,
        ),
    ];
    for (name, help, cell) in counters {
        family(out, name, help, "counter");
        let _ = writeln!(out, "{name} {}", cell.load(Relaxed));
    }
    family(
        out,
        "thinkgate_cache_not_stored_total",
        "Answers to requests with a key that were not kept, by reason.",
        "counter",
    );
    for (why, cell) in Unstorable::ALL.iter().zip(&gauges.not_stored) {
        let _ = writeln!(out, "thinkgate_cache_not_stored_total{{reason=\"{}\"}} {}", why.label(), cell.load(Relaxed));
    }
    let flights = shared.flights.len() as f64;
    let gauges = [
        ("thinkgate_cache_flights", "Upstream calls now that identical requests would join.", flights),
        (
            "thinkgate_cache_disk_open",
            "1 while new answers go to the disk, 0 while they stay in memory.",
            gauges.disk_open.load(Relaxed) as f64,
        ),
        (
            "thinkgate_cache_recovered_entries",
            "Live answers found on the disk at the start.",
            gauges.recovered.load(Relaxed) as f64,
        ),
        (
            "thinkgate_cache_recovery_seconds",
            "How long opening the cache took at the start.",
            gauges.recovery_ms.load(Relaxed) as f64 / 1e3,
        ),
    ];
    for (name, help, value) in gauges {
        family(out, name, help, "gauge");
        let _ = writeln!(out, "{name} {value}");
    }
}

fn process(out: &mut String, core: &Core) {
    let shared = &core.shared;
    family(out, "thinkgate_build_info", "The version that runs.", "gauge");
    let _ = writeln!(out, "thinkgate_build_info{{version=\"{}\"}} 1", shared.version);
    family(out, "thinkgate_workers", "Worker threads by the interface to the kernel that they got.", "gauge");
    for driver in Driver::ALL {
        let count = shared.cores.iter().filter(|seat| seat.driver() == driver).count();
        let _ = writeln!(out, "thinkgate_workers{{io=\"{}\"}} {count}", driver.label());
    }
    let counters = [
        ("thinkgate_worker_restarts_total", "Workers replaced after they died of a bug.", &shared.worker_restarts),
        ("thinkgate_config_reloads_total", "Configurations read again and taken.", &shared.reloads),
        ("thinkgate_config_reload_failures_total", "Configurations read again and refused.", &shared.reload_failures),
    ];
    for (name, help, cell) in counters {
        family(out, name, help, "counter");
        let _ = writeln!(out, "{name} {}", cell.load(Relaxed));
    }
    let usage = usage(shared);
    family(out, "thinkgate_process_cpu_seconds_total", "User and system time of all threads.", "counter");
    let _ = writeln!(out, "thinkgate_process_cpu_seconds_total {}", usage.cpu_s);
    let gauges = [
        ("thinkgate_process_resident_memory_bytes", "Resident memory.", usage.resident_bytes),
        ("thinkgate_process_open_fds", "Open descriptors.", usage.open_fds),
        ("thinkgate_process_max_fds", "Most descriptors that may be open.", usage.max_fds),
        ("thinkgate_uptime_seconds", "Time since start.", core.clock.now() / 1_000_000),
    ];
    for (name, help, value) in gauges {
        family(out, name, help, "gauge");
        let _ = writeln!(out, "{name} {value}");
    }
}

struct Usage {
    cpu_s: f64,
    resident_bytes: u64,
    open_fds: u64,
    max_fds: u64,
}

fn usage(shared: &Shared) -> Usage {
    let mut rusage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a writable `rusage`; all-zero is a valid one, should the call fail.
    let rusage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, rusage.as_mut_ptr());
        rusage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a writable `rlimit`.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    Usage {
        cpu_s: seconds(rusage.ru_utime) + seconds(rusage.ru_stime),
        resident_bytes: shared.resident_bytes.load(Relaxed),
        open_fds: shared.open_fds.load(Relaxed),
        max_fds: limit.rlim_cur,
    }
}
