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
    /// Nothing there. Whether the answer will be kept is not known before its end, so it is not said.
    Miss,
    /// The client sent `Cache-Control: no-cache`.
    Refresh,
    /// The client sent `Cache-Control: no-store`.
    NoStore,
    /// This kind of request is never cached.
    Bypass,
}

impl Outcome {
    /// For logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hit { tier: Tier::Memory, .. } => "memory",
            Self::Hit { tier: Tier::Disk, .. } => "disk",
            Self::Hit { tier: Tier::Flight, .. } => "joined",
            Self::Miss => "miss",
            Self::Refresh => "no_cache",
            Self::NoStore => "no_store",
            Self::Bypass => "bypass",
        }
    }
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
            Outcome::Miss => "thinkgate; fwd=miss".to_owned(),
            Outcome::Refresh => "thinkgate; fwd=request".to_owned(),
            Outcome::NoStore => "thinkgate; fwd=request; detail=no-store".to_owned(),
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
        check(Outcome::Miss, "Cache-Status: thinkgate; fwd=miss\n");
        check(Outcome::Refresh, "Cache-Status: thinkgate; fwd=request\n");
        check(Outcome::NoStore, "Cache-Status: thinkgate; fwd=request; detail=no-store\n");
        check(Outcome::Bypass, "Cache-Status: thinkgate; fwd=bypass\n");
    }
}
