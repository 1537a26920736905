//! What a reply says about the cache: `Cache-Status` (RFC 9211), `Age` (RFC 9111), and the bridge's own header.

/// Where a hit came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Memory,
    Disk,
    /// It joined an identical request that was running.
    Flight,
}

/// What the cache did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Hit {
        tier: Tier,
        /// Seconds since the entry was stored.
        age: u64,
        /// Seconds it has left.
        ttl: u64,
    },
    /// Nothing there. `stored` if the answer will be kept; a stream's head leaves before that is known, so it is a
    /// statement of intent.
    Miss { stored: bool },
    /// The client sent `Cache-Control: no-cache` or `no-store`.
    Request,
    /// This kind of request is never cached.
    Bypass,
}

/// Appends the header lines, each with its CR LF.
pub fn write_headers(outcome: Outcome, out: &mut Vec<u8>) {
    let line = match outcome {
        Outcome::Hit { tier: Tier::Flight, .. } => "Cache-Status: thinkgate; fwd=miss; collapsed\r\n".to_owned(),
        Outcome::Hit { tier, age, ttl } => {
            let detail = if tier == Tier::Memory { "memory" } else { "disk" };
            format!(
                "Cache-Status: thinkgate; hit; ttl={ttl}; detail={detail}\r\nAge: {age}\r\nbridge-cache-hit: true\r\n"
            )
        }
        Outcome::Miss { stored: true } => "Cache-Status: thinkgate; fwd=miss; stored\r\n".to_owned(),
        Outcome::Miss { stored: false } => "Cache-Status: thinkgate; fwd=miss\r\n".to_owned(),
        Outcome::Request => "Cache-Status: thinkgate; fwd=request\r\n".to_owned(),
        Outcome::Bypass => "Cache-Status: thinkgate; fwd=bypass\r\n".to_owned(),
    };
    out.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |outcome, wanted: &str| {
            let mut out = Vec::new();
            write_headers(outcome, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), wanted);
        };
        check(
            Outcome::Hit { tier: Tier::Disk, age: 3, ttl: 27 },
            "Cache-Status: thinkgate; hit; ttl=27; detail=disk\r\nAge: 3\r\nbridge-cache-hit: true\r\n",
        );
        check(Outcome::Hit { tier: Tier::Flight, age: 0, ttl: 0 }, "Cache-Status: thinkgate; fwd=miss; collapsed\r\n");
        check(Outcome::Miss { stored: true }, "Cache-Status: thinkgate; fwd=miss; stored\r\n");
        check(Outcome::Miss { stored: false }, "Cache-Status: thinkgate; fwd=miss\r\n");
        check(Outcome::Request, "Cache-Status: thinkgate; fwd=request\r\n");
        check(Outcome::Bypass, "Cache-Status: thinkgate; fwd=bypass\r\n");
    }
}
