use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::*;
use crate::client::check::{Strictness, Thinking};
use crate::client::load::Sameness;
use crate::client::request::Kind;
use crate::client::schedule::Spacing;
use crate::script::answer::Answer;
use crate::script::{Dialect, Script};
use crate::upstream::Mock;

fn load(target: SocketAddr, model: &str, outcome: Outcome) -> Load {
    Load {
        target,
        sources: Vec::new(),
        kinds: vec![Kind::of_model(model, outcome, Strictness::Text, Thinking::Kept)],
        connections: 2,
        mode: Mode::Closed,
        ramp: Duration::ZERO,
        fresh: false,
        slow: None,
        abandon: None,
        timeout: Duration::from_secs(20),
        sameness: Sameness::Unique,
        requests_max: None,
    }
}

fn mock() -> Mock {
    let settings = crate::upstream::Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        fallback: "mock-json".into(),
        turn: 1,
        core: None,
        outage: None,
    };
    Mock::start(&settings).unwrap()
}

/// What a server does with a request: the bytes it sends, and whether it then waits for the next one (or closes).
type Behaviour = fn(request: usize, answer: &[u8]) -> (Vec<u8>, bool);

/// A server that knows the answers of `model`; `behaviour` counts the requests of each connection from 0.
fn server(model: &'static str, behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || serve(stream, model, behaviour));
        }
    });
    address
}

fn serve(mut stream: TcpStream, model: &str, behaviour: Behaviour) {
    let answer = Answer::new(&Script::parse(model).unwrap(), Dialect::OpenAi);
    let (mut input, mut bytes) = (vec![0; 4096], Vec::new());
    for request in 0.. {
        let Ok(count @ 1..) = stream.read(&mut input) else { return };
        let at = memchr::memmem::find(&input[..count], b"nonce=").unwrap() + 6;
        answer.fill(input[at..at + 8].try_into().unwrap(), &mut bytes);
        let (sent, stays) = behaviour(request, &bytes);
        if stream.write_all(&sent).is_err() || !stays {
            return;
        }
    }
}

fn run(engine: &mut Engine, millis: u64) -> Tally {
    engine.run(Duration::from_millis(millis), Engine::is_exhausted).unwrap();
    engine.take_tally()
}

#[test]
fn nonces_differ_from_engine_to_engine() {
    let target = "127.0.0.1:9".parse().unwrap();
    let engine = || Engine::new(load(target, "mock-json", Outcome::Whole)).unwrap().first_nonce as u32;
    let all: std::collections::BTreeSet<u32> = (0..4).map(|_| engine()).collect();
    assert_eq!(all.len(), 4);
}

#[test]
fn what_is_on_its_way_at_the_end_may_come() {
    let address = server("mock-json", |_, answer| {
        std::thread::sleep(Duration::from_millis(30));
        (answer.to_vec(), true)
    });
    for mode in [Mode::Closed, Mode::Open { rate: 150.0, spacing: Spacing::Even }] {
        let mut engine = Engine::new(Load { mode, ..load(address, "mock-json", Outcome::Whole) }).unwrap();
        let window = run(&mut engine, 200);
        let begun = Instant::now();
        let drain = engine.drain().unwrap();
        assert!(begun.elapsed() < Duration::from_millis(950), "no longer than it takes");
        assert_eq!((window.errors(), drain.errors()), (0, 0), "{:?}", drain.samples);
        // Two connections do 66 a second, so half of the open loop's 30 arrivals come in the drain.
        let all = window.latency.count() + drain.latency.count();
        let (least, most) = if mode == Mode::Closed { (3, 20) } else { (30, 45) };
        assert!((least..=most).contains(&all), "{mode:?}: {all}");
        let mut sum = window.clone();
        sum.merge_drain(&drain);
        assert_eq!((sum.requests, sum.latency.count()), (window.requests, all), "rates are those of the window");
    }
}

#[test]
fn a_server_that_freezes_has_lost_its_requests() {
    let address = server("mock-json", |request, answer| (if request < 3 { answer.to_vec() } else { Vec::new() }, true));
    let mut engine = Engine::new(load(address, "mock-json", Outcome::Whole)).unwrap();
    let window = run(&mut engine, 200);
    assert_eq!((window.requests, window.errors()), (6, 0));
    let drain = engine.drain().unwrap();
    assert_eq!(drain.faults[&Fault::Timeout], 2);
    assert!(drain.latency.max_micros() > 1e6, "its age is a latency");
    // An open loop has also what found no connection.
    let mode = Mode::Open { rate: 100.0, spacing: Spacing::Even };
    let mut engine = Engine::new(Load { mode, ..load(address, "mock-json", Outcome::Whole) }).unwrap();
    let window = run(&mut engine, 200);
    let drain = engine.drain().unwrap();
    let lost = drain.faults[&Fault::Timeout];
    assert!((19..=30).contains(&(window.requests + lost)), "{} answered, {lost} lost", window.requests);
}

#[test]
fn requests_that_may_stall_are_not_waited_for() {
    let address = server("mock-json", |_, _| (Vec::new(), true));
    let mut engine = Engine::new(load(address, "mock-json-hang", Outcome::Stalled)).unwrap();
    run(&mut engine, 100);
    let begun = Instant::now();
    assert_eq!(engine.drain().unwrap().errors(), 0);
    assert!(begun.elapsed() < Duration::from_millis(500));
}

#[test]
fn an_answer_held_back_is_late_and_a_long_one_is_no_fault() {
    // The body of a stream of 100 events, 10 ms apart, at once after its time.
    let held_back = server("mock-stream-e100-p10", |_, answer| {
        std::thread::sleep(Duration::from_millis(1000));
        (answer.to_vec(), true)
    });
    let mut engine = Engine::new(load(held_back, "mock-stream-e100-p10", Outcome::Whole)).unwrap();
    let window = run(&mut engine, 1100);
    assert_eq!(window.errors(), 0);
    assert!((900_000.0..1_100_000.0).contains(&window.lateness.max_micros()), "{}", window.lateness.max_micros());
    let mock = mock();
    let mut engine = Engine::new(load(mock.address, "mock-stream-e1000-p10", Outcome::Whole)).unwrap();
    let mut tally = run(&mut engine, 200);
    tally.merge_drain(&engine.drain().unwrap());
    assert_eq!((tally.errors(), tally.requests), (0, 0), "{:?}", tally.samples);
    assert!(tally.lateness.count() > 100 && tally.lateness.micros_at(0.5) < 20_000.0);
}

#[test]
fn a_kept_connection_that_was_just_busy_is_not_closed_instead_of_an_answer() {
    let closing = |request: usize, answer: &[u8]| {
        if request == 0 { (answer.to_vec(), true) } else { (Vec::new(), false) }
    };
    let address = server("mock-json", closing);
    let mut load = Load { requests_max: Some(4), connections: 1, ..load(address, "mock-json", Outcome::Whole) };
    let tally = run(&mut Engine::new(load.clone()).unwrap(), 2000);
    assert_eq!((tally.requests, tally.resent), (2, 0));
    assert_eq!(tally.faults[&Fault::Truncated], 2);
    assert!(tally.samples[0].contains("closed a kept connection without an answer"), "{:?}", tally.samples);
    // After a while of nothing it may be the server's idle timeout, and the request is sent again.
    load.mode = Mode::Open { rate: 10.0, spacing: Spacing::Even };
    let tally = run(&mut Engine::new(load).unwrap(), 2000);
    assert_eq!((tally.requests, tally.resent, tally.errors()), (4, 3, 0), "{:?}", tally.samples);
}

#[test]
fn a_connection_with_surplus_bytes_is_not_lost_to_the_load() {
    let surplus = |_: usize, answer: &[u8]| ([answer, b"0\r\n\r\nx"].concat(), true);
    let address = server("mock-stream-e3-cut2", surplus);
    let mut engine = Engine::new(load(address, "mock-stream-e3-cut2", Outcome::Broken)).unwrap();
    // Each connection rests for 10 ms after a failure and is then used again.
    let tally = run(&mut engine, 300);
    assert!(tally.faults[&Fault::Framing] > 10, "{:?}", tally.faults);
}

#[test]
fn a_held_stream_that_ends_is_no_longer_held() {
    let address = server("mock-stream-e2", |_, answer| {
        let (first, _) = answer.split_at(answer.len() - 30);
        (first.to_vec(), true)
    });
    let hold = Load { mode: Mode::Hold, ..load(address, "mock-stream-e2", Outcome::Whole) };
    let mut engine = Engine::new(hold.clone()).unwrap();
    run(&mut engine, 200);
    assert_eq!(engine.held(), 2);
    let mock = mock();
    let mut kinds = hold.kinds.clone();
    kinds[0] = load(mock.address, "mock-stream-e3-p30", Outcome::Whole).kinds.remove(0);
    for fresh in [false, true] {
        let mut engine =
            Engine::new(Load { target: mock.address, kinds: kinds.clone(), fresh, ..hold.clone() }).unwrap();
        let tally = run(&mut engine, 300);
        assert_eq!((engine.held(), engine.in_flight(), tally.requests), (0, 0, 2), "fresh: {fresh}");
    }
}

#[test]
fn a_ramp_spreads_the_beginnings() {
    let address = server("mock-json", |_, answer| (answer.to_vec(), true));
    let ramp = Duration::from_millis(600);
    let load = Load { ramp, connections: 12, ..load(address, "mock-json", Outcome::Whole) };
    let mut engine = Engine::new(load).unwrap();
    let mut opened = Vec::new();
    for _ in 0..3 {
        engine.run(Duration::from_millis(200), |_| false).unwrap();
        opened.push(engine.tally().connects);
    }
    engine.run(Duration::from_millis(100), |_| false).unwrap();
    assert!((3..=5).contains(&opened[0]) && (7..=9).contains(&opened[1]), "{opened:?}");
    assert_eq!((engine.tally().connects, engine.tally().errors()), (12, 0));
}
