//! The conversation itself: asked twice at the same moment, straight and through the gateway, shown side by side.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::screen::{Screen, frame};
use super::visitor;

const QUESTION: &str = "Why is the sky blue?";
const TITLES: [&str; 2] = ["what the model sends", "what thinkgate passes on"];

/// Shows one conversation on standard output, raw from `server` beside filtered through `gateway`, then lines to try.
/// Returns when the conversation is over; staying up until a signal is the caller's part.
///
/// # Errors
/// When standard output can't be written, or one of the two did not answer.
pub fn run(gateway: SocketAddr, server: SocketAddr) -> io::Result<()> {
    let screen = Screen::detect();
    let mut out = io::stdout().lock();
    converse(&mut out, screen, [server, gateway])?;
    write!(out, "{}", to_try(gateway))?;
    out.flush()
}

/// What one of the two connections reports.
enum News {
    Text(String),
    End(io::Result<()>),
}

/// One column: its text, and when its first character came.
#[derive(Default)]
struct Side {
    text: String,
    first: Option<Duration>,
}

pub(super) fn converse(out: &mut impl Write, screen: Screen, from: [SocketAddr; 2]) -> io::Result<()> {
    writeln!(out, "you: {QUESTION}\n")?;
    let started = Instant::now();
    let news = listen(from)?;
    let mut sides = [Side::default(), Side::default()];
    let mut painted = 0;
    let mut open = from.len();
    while open > 0 {
        let Ok((side, event)) = news.recv() else { break };
        match event {
            News::Text(text) => {
                if !text.is_empty() {
                    sides[side].first.get_or_insert_with(|| started.elapsed());
                }
                sides[side].text.push_str(&text);
            }
            News::End(result) => {
                open -= 1;
                result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", from[side])))?;
            }
        }
        if screen.live {
            painted = paint(out, screen, &sides, painted)?;
        }
    }
    if !screen.live {
        for (title, side) in TITLES.iter().zip(&sides) {
            writeln!(out, "{title}:\n{}\n", side.text)?;
        }
    }
    summary(out, &sides)
}

/// Starts both conversations; pieces come with the number of their column.
fn listen(from: [SocketAddr; 2]) -> io::Result<Receiver<(usize, News)>> {
    // Bounded, so that a stuck terminal slows the streams down instead of filling memory.
    let (sender, receiver) = mpsc::sync_channel(64);
    for (side, addr) in from.into_iter().enumerate() {
        let sender = sender.clone();
        thread::Builder::new().name("demo-visitor".into()).spawn(move || {
            // A send fails only when nobody looks any more.
            let result = visitor::ask(addr, QUESTION, |text| drop(sender.send((side, News::Text(text.to_owned())))));
            drop(sender.send((side, News::End(result))));
        })?;
    }
    Ok(receiver)
}

fn paint(out: &mut impl Write, screen: Screen, sides: &[Side; 2], painted: usize) -> io::Result<usize> {
    let (text, lines) = frame(screen, TITLES, [&sides[0].text, &sides[1].text]);
    if painted > 0 {
        write!(out, "\x1b[{painted}A")?;
    }
    write!(out, "{text}")?;
    out.flush()?;
    Ok(lines)
}

fn summary(out: &mut impl Write, sides: &[Side; 2]) -> io::Result<()> {
    let [raw, passed] = sides;
    let removed = raw.text.len().saturating_sub(passed.text.len());
    let first = passed.first.unwrap_or_default().as_millis();
    writeln!(out, "\n{removed} of {} bytes were thinking; the answer itself began after {first} ms.", raw.text.len())
}

/// Lines to paste; they use the gateway's real address.
fn to_try(gateway: SocketAddr) -> String {
    format!(
        r#"
Both keep running. Try:

  curl -N http://{gateway}/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{{"model":"demo","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}'
  curl -N http://{gateway}/v1/chat/completions -H 'Content-Type: application/json' -H 'X-Think: keep' \
    -d '{{"model":"demo","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}'
  curl -N http://{gateway}/api/chat -d '{{"model":"demo","messages":[{{"role":"user","content":"hello"}}]}}'
  curl http://{gateway}/metrics

Ctrl-C ends it.
"#
    )
}
