//! One measurement: a scenario against one proxy, once.

mod samples;

use std::io;
use std::time::{Duration, Instant};

use crate::client::engine::Engine;
use crate::client::fault::Fault;
use crate::client::load::{Load, Mode};
use crate::client::request::Outcome;
use crate::client::tally::{Tally, Times};
use crate::figures::Figures;
use crate::scenario::Scenario;
use crate::subject::Subject;
use crate::subject::cpu;
use crate::subject::proc::{self, Holdings, Memory};
use crate::upstream::counters::{Counters, Counts};
use samples::Samples;

/// How long the proxy may take to let go of what clients have left.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// The load runs in slices of this, so that progress and samples are seen.
const SLICE: Duration = Duration::from_millis(250);
/// Holds nothing back between two memory readings.
const SETTLE: Duration = Duration::from_millis(300);
/// A warm-up with so many errors and no answer.
const HOPELESS_ERRORS: u64 = 100;

/// What came of it.
#[derive(Debug, Default)]
pub struct Round {
    /// The figures.
    pub figures: Figures,
    /// Counts and histograms.
    pub tally: Tally,
}

/// What every measurement of a run shares.
pub struct Setting<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The counters of the mock server behind this proxy, when it is known which one that is.
    pub upstream: Option<Counters>,
    /// Clock ticks a second.
    pub ticks: u64,
    /// Told how much of the measurement is done, 0 to 1.
    pub progress: &'a mut dyn FnMut(f64),
}

/// Measures.
///
/// # Errors
/// When the generator itself fails; wrong replies are figures.
pub fn measure(load: &Load, subject: &Subject, setting: &mut Setting<'_>) -> io::Result<Round> {
    let mut round = if load.mode == Mode::Hold { hold(load, subject, setting)? } else { flow(load, subject, setting)? };
    let tally = &round.tally;
    let figures = &mut round.figures;
    let counts = [
        ("requests", tally.requests),
        ("connects", tally.connects),
        ("resent", tally.resent),
        ("abandoned", tally.abandoned),
        ("dropped", tally.dropped),
        ("errors", tally.errors()),
    ];
    for (name, count) in counts {
        figures.insert(name.into(), count as f64);
    }
    let share = tally.error_replies as f64 / tally.requests.max(1) as f64;
    figures.insert("error_replies_percent".into(), share * 100.0);
    time_figures(figures, "latency", &tally.latency);
    time_figures(figures, "first_event", &tally.first_event);
    time_figures(figures, "lateness", &tally.lateness);
    figures.retain(|name, _| crate::figures::find(name).is_some());
    Ok(round)
}

fn time_figures(figures: &mut Figures, name: &str, times: &Times) {
    if times.count() == 0 {
        return;
    }
    for (part, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
        figures.insert(format!("{name}_{part}_us"), times.micros_at(quantile));
    }
    figures.insert(format!("{name}_max_us"), times.max_micros());
}

/// Requests flow: processor time for each.
fn flow(load: &Load, subject: &Subject, setting: &mut Setting<'_>) -> io::Result<Round> {
    let pids = subject.processes();
    let before_any = proc::holdings(&pids);
    let (warmup, duration) = (setting.scenario.warmup, setting.scenario.duration);
    let total = warmup + duration;
    let mut engine = Engine::new(load.clone())?;
    let exhausted = |engine: &Engine| engine.is_exhausted();
    let mut warm = Tally::default();
    if load.requests_max.is_none() {
        run_sliced(&mut engine, warmup, SLICE, exhausted, |done| {
            (setting.progress)(done.as_secs_f64() / total.as_secs_f64())
        })?;
        warm = engine.begin_window();
        if warm.requests == 0 && warm.errors() >= HOPELESS_ERRORS {
            // Nothing is there that could be measured; the report says what came instead.
            return Ok(Round { figures: Figures::new(), tally: warm });
        }
    }
    let pids = subject.processes();
    let upstream_requests = |setting: &Setting<'_>| Some(setting.upstream.as_ref()?.read()?.requests);
    let (asked_before, issued_before) = (upstream_requests(setting), engine.issued());
    let growth = ["memory_growth_percent", "descriptors_growth"];
    let bounded = growth.iter().any(|name| setting.scenario.bounds.contains_key(*name));
    // Reading what a process with thousands of descriptors holds takes ten milliseconds, in which this thread answers nobody:
    // it is done only where growth or a peak is what the scenario is about.
    let sampled = bounded || load.slow.is_some();
    let mut samples = Samples::new(duration);
    let (begun, clock) = (Instant::now(), cpu::read(&pids));
    run_sliced(&mut engine, duration, SLICE.min(samples.interval()), exhausted, |done| {
        (setting.progress)((warmup + done).as_secs_f64() / total.as_secs_f64());
        if sampled && !pids.is_empty() {
            samples.take(done, || proc::holdings(&subject.processes()));
        }
    })?;
    let measured = begun.elapsed();
    let seconds = measured.as_secs_f64().max(1e-9);
    // Processes come and go: the tree is read again.
    let pids = subject.processes();
    let used = cpu::between(&clock, &cpu::read(&pids), setting.ticks);
    let mut tally = engine.take_tally();
    let complete = engine.is_exhausted();
    subject.check_alive()?;
    subject.check_used(&used, tally.requests + tally.events)?;
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| {
        figures.insert(name.into(), value);
    };
    put("requests_per_second", tally.requests as f64 / seconds);
    if let (Some(before), Some(after)) = (asked_before, upstream_requests(setting))
        && let Some(reached) = after.checked_sub(before)
    {
        let sent = engine.issued() - issued_before;
        put("upstream_requests_percent", reached as f64 * 100.0 / sent.max(1) as f64);
    }
    if tally.events > 0 {
        put("events_per_second", tally.upstream_events / seconds);
    }
    if !pids.is_empty() {
        let micros = used.total_ns as f64 / 1000.0;
        if tally.requests > 0 {
            put("cpu_us_per_request", micros / tally.requests as f64);
        }
        if tally.events > 0 {
            put("cpu_us_per_event", micros / tally.upstream_events);
        }
        put("cpu_user_percent", used.user_share * 100.0);
        put("cpu_busy_percent", micros / seconds / 10_000.0);
        put("cpu_waiting_percent", used.waiting_ns as f64 / seconds / 1e7);
        let after = proc::holdings(&pids);
        holding_figures(&mut put, &after);
        if load.slow.is_some() {
            // What the proxy stores for slow readers is given back when a stream ends: the most of it counts.
            let peak = samples
                .peak_memory()
                .zip(after.memory)
                .map(|(peak, end)| Memory { pss_kb: peak.pss_kb.max(end.pss_kb), rss_kb: peak.rss_kb.max(end.rss_kb) });
            per_stream(&mut put, before_any.memory, peak, load.connections);
        }
        if let Some(growth) = samples.memory_growth(measured) {
            put("memory_growth_percent", growth);
        }
        if let Some(growth) = samples.descriptor_growth(measured) {
            put("descriptors_growth", growth);
        }
    }
    end(&mut engine, &warm, load.requests_max.filter(|_| !complete), &mut tally)?;
    drop(engine);
    let leaves = load.kinds.iter().any(|kind| kind.outcome == Outcome::Stalled);
    if leaves || load.abandon.is_some() {
        left_behind(&pids, &before_any, setting, &mut put);
    }
    Ok(Round { figures, tally })
}

/// After the time that is measured: what is on its way may come, what does not has failed, and so have requests that were `missed`.
fn end(engine: &mut Engine, warm: &Tally, missed: Option<u64>, tally: &mut Tally) -> io::Result<()> {
    let in_time = tally.requests + tally.abandoned;
    let nothing = in_time + tally.events == 0;
    tally.merge_drain(&engine.drain()?);
    if nothing && tally.errors() == 0 {
        tally.fault(Fault::Timeout, || "nothing came in the time that was measured".to_owned());
    }
    if let Some(wanted) = missed.filter(|_| !crate::sys::interrupted()) {
        // Said first: of many faults only some are kept in words.
        let mut said = Tally::default();
        said.fault(Fault::Timeout, || {
            format!("{in_time} of the {wanted} requests that were asked for were answered in the time: allow more")
        });
        said.merge(tally);
        *tally = said;
    }
    tally.merge_faults(warm);
    Ok(())
}

fn run_sliced(
    engine: &mut Engine,
    time: Duration,
    slice: Duration,
    enough: impl Fn(&Engine) -> bool,
    mut progress: impl FnMut(Duration),
) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let done = begun.elapsed();
        progress(done.min(time));
        if done >= time || enough(engine) || crate::sys::interrupted() {
            return Ok(());
        }
        engine.run(slice.min(time - done), &enough)?;
    }
}

fn per_stream(put: &mut impl FnMut(&str, f64), before: Option<Memory>, after: Option<Memory>, streams: usize) {
    let (Some(before), Some(after)) = (before, after) else { return };
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / streams.max(1) as f64;
    put("kb_per_stream", each(after.pss_kb, before.pss_kb));
    put("rss_kb_per_stream", each(after.rss_kb, before.rss_kb));
}

/// What could not be read is not there: it is not zero.
fn holding_figures(put: &mut impl FnMut(&str, f64), after: &Holdings) {
    let rows = [
        ("pss_mb", after.memory.map(|memory| memory.pss_kb as f64 / 1024.0)),
        ("descriptors", after.descriptors.map(|count| count as f64)),
        ("threads", after.threads.map(|count| count as f64)),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            put(name, value);
        }
    }
}

/// After all clients are gone: what the proxy still holds.
fn left_behind(pids: &[u32], before: &Holdings, setting: &Setting<'_>, put: &mut impl FnMut(&str, f64)) {
    let running = |counts: Counts| counts.requests.saturating_sub(counts.completed + counts.aborted);
    let begun = Instant::now();
    let mut left = None;
    while begun.elapsed() < DRAIN_MAX {
        left = setting.upstream.as_ref().and_then(Counters::read).map(running);
        if left.unwrap_or(0) == 0 && begun.elapsed() > Duration::from_secs(1) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    if let Some(left) = left {
        put("upstream_streams_left", left as f64);
    }
    if !pids.is_empty()
        && let (Some(before), Some(left)) = (before.descriptors, proc::holdings(pids).descriptors)
    {
        put("descriptors_left", left.saturating_sub(before) as f64);
    }
}

/// Streams are opened and kept: memory for each.
fn hold(load: &Load, subject: &Subject, setting: &mut Setting<'_>) -> io::Result<Round> {
    let scenario = setting.scenario;
    let clock = cpu::read(&subject.processes());
    // What a proxy allocates once, for its first streams, is not what a stream costs.
    let mut warm = Engine::new(Load { connections: load.connections.min(32), ..load.clone() })?;
    warm.run(scenario.warmup, |_| false)?;
    let warm = warm.take_tally();
    std::thread::sleep(SETTLE);
    let pids = subject.processes();
    let before = proc::holdings(&pids);
    let mut engine = Engine::new(load.clone())?;
    let all = load.connections;
    run_sliced(
        &mut engine,
        load.timeout,
        SLICE,
        |engine| engine.held() + engine.tally().errors() as usize >= all,
        |done| (setting.progress)((done.as_secs_f64() / load.timeout.as_secs_f64()).min(0.5)),
    )?;
    // Held streams must stay: what breaks now is an error too.
    run_sliced(
        &mut engine,
        scenario.duration,
        SLICE,
        |_| false,
        |done| {
            (setting.progress)(0.5 + 0.5 * done.as_secs_f64() / scenario.duration.as_secs_f64());
        },
    )?;
    let pids = subject.processes();
    let after = proc::holdings(&pids);
    let held = engine.held();
    subject.check_alive()?;
    subject.check_used(&cpu::between(&clock, &cpu::read(&pids), setting.ticks), held as u64)?;
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| {
        figures.insert(name.into(), value);
    };
    put("streams_held", held as f64);
    if !pids.is_empty() {
        holding_figures(&mut put, &after);
        per_stream(&mut put, before.memory, after.memory, held);
    }
    let mut tally = engine.take_tally();
    if held < all && tally.errors() == 0 {
        let missing = all - held;
        tally.fault(Fault::Timeout, || format!("{missing} streams did not begin"));
    }
    tally.merge_faults(&warm);
    Ok(Round { figures, tally })
}
