//! How long to wait before trying again: exponential, with jitter, as Kafka's clients do (KIP-144, KIP-580).

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::Rng as _;

/// A growing pause: `initial * 2^attempts`, at most `max`, each drawn from within 20 % either side.
///
/// The jitter stays at the cap too: without it, clients that lost the same broker would come back in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub initial: Duration,
    /// The longest pause, before jitter.
    pub max: Duration,
}

impl Backoff {
    /// The pause after `failures` failures in a row (the first one counts as 0).
    pub fn pause(&self, failures: u32, rng: &mut ChaCha8Rng) -> Duration {
        let doubled = self.initial.saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX));
        let nanos = u64::try_from(doubled.min(self.max).as_nanos()).unwrap_or(u64::MAX / 2);
        let percent = 80 + rng.next_u64() % 41;
        Duration::from_nanos(nanos / 100 * percent)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn grows_to_the_cap_and_stays_within_a_fifth_of_it() {
        let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_millis(1000) };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (failures, nominal) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1000), (40, 1000)] {
            for _ in 0..100 {
                let pause = backoff.pause(failures, &mut rng).as_millis();
                assert!((nominal * 8 / 10..=nominal * 12 / 10).contains(&pause), "{failures}: {pause}");
            }
        }
    }
}
