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

/// What a reply says about the cache, as header fields.
#[derive(Clone, Debug)]
pub struct Fields {
    status: String,
    /// Seconds, for hits.
    age: Option<String>,
}

impl Fields {
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        let mut age = None;
        let status = match outcome {
            Outcome::Hit { tier: Tier::Flight, .. } => "thinkgate; fwd=miss; collapsed".to_owned(),
            Outcome::Hit { tier, age: seconds, ttl } => {
                age = Some(seconds.to_string());
                let detail = if tier == Tier::Memory { "memory" } else { "disk" };
                format!("thinkgate; hit; ttl={ttl}; detail={detail}")
            }
            Outcome::Miss { stored: true } => "thinkgate; fwd=miss; stored".to_owned(),
            Outcome::Miss { stored: false } => "thinkgate; fwd=miss".to_owned(),
            Outcome::Request => "thinkgate; fwd=request".to_owned(),
            Outcome::Bypass => "thinkgate; fwd=bypass".to_owned(),
        };
        Self { status, age }
    }

    /// Name and value; the bridge's own `bridge-cache-hit` is sent with hits only, as the bridge does.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let hit = self.age.as_deref().map(|age| [("Age", age.as_bytes()), ("bridge-cache-hit", b"true".as_slice())]);
        std::iter::once(("Cache-Status", self.status.as_bytes())).chain(hit.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |outcome, wanted: &str| {
            let mut out = String::new();
            for (name, value) in Fields::of(outcome).iter() {
                out += &format!("{name}: {}\n", String::from_utf8_lossy(value));
            }
            assert_eq!(out, wanted);
        };
        check(
            Outcome::Hit { tier: Tier::Disk, age: 3, ttl: 27 },
            "Cache-Status: thinkgate; hit; ttl=27; detail=disk\nAge: 3\nbridge-cache-hit: true\n",
        );
        check(Outcome::Hit { tier: Tier::Flight, age: 0, ttl: 0 }, "Cache-Status: thinkgate; fwd=miss; collapsed\n");
        check(Outcome::Miss { stored: true }, "Cache-Status: thinkgate; fwd=miss; stored\n");
        check(Outcome::Miss { stored: false }, "Cache-Status: thinkgate; fwd=miss\n");
        check(Outcome::Request, "Cache-Status: thinkgate; fwd=request\n");
        check(Outcome::Bypass, "Cache-Status: thinkgate; fwd=bypass\n");
    }
}
