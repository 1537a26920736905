//! How fast the demo's model speaks.

use std::{thread, time::Duration};

/// How fast the model speaks.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From the request to the first token.
    pub first_token: Duration,
    /// Between two tokens.
    pub token: Duration,
}

impl Pace {
    /// A mid-size model on one graphics card: about 30 tokens a second.
    #[must_use]
    pub const fn lifelike() -> Self {
        Self { first_token: Duration::from_millis(350), token: Duration::from_millis(33) }
    }

    /// As fast as the machine, for tests.
    #[must_use]
    pub const fn immediate() -> Self {
        Self { first_token: Duration::ZERO, token: Duration::ZERO }
    }

    pub(super) fn wait_first(self) {
        pause(self.first_token);
    }

    pub(super) fn wait_token(self) {
        pause(self.token);
    }

    /// As long as a stream of so many tokens would take.
    pub(super) fn wait_for(self, tokens: usize) {
        pause(self.first_token + self.token * u32::try_from(tokens).unwrap_or(u32::MAX));
    }
}

fn pause(time: Duration) {
    if !time.is_zero() {
        thread::sleep(time);
    }
}
