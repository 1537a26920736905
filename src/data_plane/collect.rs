//! Step 2: the request body, where it has to be known before an upstream is asked: the model and the number of choices
//! decide how the answer is filtered, and a request that is known whole can be sent again.

use super::{clock::Micros, downstream::Downstream, exchange::Exchange, failure::Failure};
use crate::{
    base::{bounds::COLLECTED_BODY_BYTES_MAX, error::Kind},
    wire::http::write::CONTINUE,
};

use std::io::IoSlice;

/// Collects the body of an inference request up to a bound and within one limit of time, however slowly it drips in; what is larger, and what is for no model, stays where it is
/// and is streamed by the next step.
///
/// # Errors
/// The client left, was too slow, or sent what is no body.
pub async fn body(down: &mut Downstream<'_>, exchange: &mut Exchange) -> Result<(), Failure> {
    if !exchange.endpoint.is_inference() {
        return Ok(());
    }
    let due = (down.core.clock.now() + exchange.snapshot.limits.body_us).min(exchange.total_due);
    while !exchange.decoder.is_done() {
        if exchange.decoder.announced() > COLLECTED_BODY_BYTES_MAX as u64
            || exchange.outgoing.body().len() > COLLECTED_BODY_BYTES_MAX
        {
            break;
        }
        if down.input.is_empty() {
            more(down, exchange, due).await?;
        }
        take(down, exchange)?;
    }
    Ok(())
}

/// Waits for more of the body until `due`, having said that it may come.
///
/// # Errors
/// The client left or was too slow.
async fn more(down: &mut Downstream<'_>, exchange: &mut Exchange, due: Micros) -> Result<(), Failure> {
    if std::mem::take(&mut exchange.expects_continue) {
        down.push(&mut [IoSlice::new(CONTINUE)])?;
    }
    down.timer.set(due);
    down.arrival().await.map_err(|interrupt| Failure::interrupted(interrupt, Kind::RequestTimeout))
}

/// Moves what has arrived of the body from the connection to the exchange.
fn take(down: &mut Downstream<'_>, exchange: &mut Exchange) -> Result<(), Failure> {
    let decoded = exchange.decoder.decode_in_place(down.input.bytes_mut())?;
    within_limit(exchange)?;
    exchange
        .charge
        .draw(decoded.payload)
        .map_err(|_| Failure::with(Kind::Overloaded, "too many bodies are held at this moment"))?;
    exchange.outgoing.append(&down.input.bytes()[..decoded.payload]);
    down.input.consume(decoded.consumed, &down.core.buffers);
    Ok(())
}

/// # Errors
/// The body has grown past the configured limit.
pub fn within_limit(exchange: &Exchange) -> Result<(), Failure> {
    let max = exchange.snapshot.limits.body_bytes_max;
    if exchange.decoder.payload().saturating_add(exchange.decoder.announced()) > max {
        return Err(Failure::with(Kind::BodyTooLarge, format_args!("at most {max} bytes are taken")));
    }
    Ok(())
}
