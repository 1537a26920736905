//! How large an answer may be: the mock server makes each one beforehand and whole, so its size is its memory.

use crate::script::{Cut, Script};

/// Bytes of one answer at most, and of all that are remembered together.
pub const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Bytes on the wire for each byte of an answer in which every byte is a chunk.
const BYTEWISE: u64 = 6;

/// Refuses scripts whose answer would not fit. `model` is the script's name.
///
/// # Errors
/// A sentence with the sizes.
pub fn check(script: &Script, model: &str) -> Result<(), String> {
    // Both limits are from outside of this sum, so it is made where it cannot overflow.
    let events = u64::from(script.upstream_events());
    let each = script.bytes as u64 * if script.cut == Cut::Bytes { BYTEWISE } else { 1 };
    let bytes = events.saturating_mul(each);
    if bytes > ANSWER_BYTES_MAX {
        let mib = bytes.div_ceil(1 << 20);
        return Err(format!(
            "`{model}`: {events} events of {each} bytes are {mib} MiB, an answer has {} at most",
            ANSWER_BYTES_MAX >> 20
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_events_times_bytes_on_the_wire() {
        let check = |model: &str| check(&Script::parse(model).unwrap(), model);
        assert_eq!(check("mock-stream-e4096-b65536"), Ok(()));
        let error = check("mock-stream-e4097-b65536").unwrap_err();
        assert!(error.contains("mock-stream-e4097-b65536") && error.contains("257 MiB"), "{error}");
        assert!(check("mock-stream-e4000-b65536-think1000").is_err(), "thinking counts");
        assert!(check("mock-stream-e4000-b65536-bytewise").is_err(), "so does what carries each byte");
        assert_eq!(check("mock-stream-e100000-b200"), Ok(()));
    }
}
