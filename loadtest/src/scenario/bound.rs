//! The most a figure may be: a number, or so many times what a peer has.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// What a bound may be relative to.
pub const PEERS: [&str; 3] = ["nginx", "haproxy", "direct"];

/// The most a figure may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// A number.
    Number(f64),
    /// So many times a peer's figure, written `2 x nginx`.
    Times(String),
}

impl Bound {
    /// Reads a number or `2 x nginx`.
    ///
    /// # Errors
    /// What is wrong with it: a bound that no figure could miss is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bound = text.parse().map_or_else(|_| Bound::Times(text.to_owned()), Bound::Number);
        bound.check()?;
        Ok(bound)
    }

    /// The factor and the peer of a relative bound.
    #[must_use]
    pub fn relative(&self) -> Option<(f64, &str)> {
        let Bound::Times(text) = self else { return None };
        let (factor, peer) = text.split_once(" x ")?;
        Some((factor.trim().parse().ok()?, peer.trim()))
    }

    fn check(&self) -> Result<(), String> {
        match (self, self.relative()) {
            (Bound::Number(most), _) if most.is_finite() && *most >= 0.0 => Ok(()),
            (Bound::Number(most), _) => Err(format!("`{most}` is no bound: a number from 0")),
            (Bound::Times(text), None) => Err(format!("`{text}` is neither a number nor `2 x nginx`")),
            (Bound::Times(text), Some((factor, _))) if !factor.is_finite() || factor <= 0.0 => {
                Err(format!("`{text}`: the factor is a number above 0"))
            }
            (Bound::Times(text), Some((_, peer))) if !PEERS.contains(&peer) => {
                Err(format!("`{text}`: `{peer}` is no peer; there are {}", PEERS.join(", ")))
            }
            (Bound::Times(_), Some(_)) => Ok(()),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Number(most) => write!(to, "{most}"),
            Bound::Times(text) => to.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Bound;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a number or `2 x nginx`")
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Bound, E> {
                let bound = Bound::Number(number);
                bound.check().map_err(E::custom)?;
                Ok(bound)
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Bound, E> {
                self.visit_f64(number as f64)
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Bound, E> {
                self.visit_f64(number as f64)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Bound, E> {
                Bound::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_numbers_or_relative() {
        assert_eq!(Bound::parse("20"), Ok(Bound::Number(20.0)));
        assert_eq!(Bound::parse("1.5 x nginx").unwrap().relative(), Some((1.5, "nginx")));
        assert_eq!(Bound::parse("0"), Ok(Bound::Number(0.0)));
    }

    #[test]
    fn what_no_figure_could_miss_is_no_bound() {
        for (text, word) in [
            ("NaN", "NaN"),
            ("inf", "inf"),
            ("-1", "-1"),
            ("lots", "lots"),
            ("nginx", "neither"),
            ("inf x nginx", "factor"),
            ("nan x nginx", "factor"),
            ("0 x nginx", "factor"),
            ("-2 x nginx", "factor"),
            ("2 x apache", "apache"),
            ("2 x target", "target"),
        ] {
            let error = Bound::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
            if text != "lots" {
                assert!(serde_norway::from_str::<Bound>(&format!("\"{text}\"")).is_err(), "{text}");
            }
        }
        for text in [".nan", ".inf", "-.inf", "-1", "-0.5", "[1]", "true"] {
            assert!(serde_norway::from_str::<Bound>(text).is_err(), "{text}");
        }
    }
}
