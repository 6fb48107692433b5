//! Draws from one stream of randomness.

use ottla::env::{Purpose, Rng, child_rng};
use rand_core::Rng as _;

use crate::engine::NodeId;

/// A stream of randomness with the draws that the simulator makes. Every subsystem of every node has a
/// stream of its own, so that one more draw in one place shifts nothing in another.
#[derive(Debug, Clone)]
pub struct Dice(Rng);

impl Dice {
    /// The stream of `seed` for one subsystem of one node.
    pub fn new(seed: u64, node: NodeId, what: &'static str, instance: u64) -> Self {
        Self(child_rng(seed, u64::from(node.0), Purpose { subsystem: "world", what, instance }))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing lies below zero");
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "{low}..={high} is empty");
        if high - low == u64::MAX {
            return self.bits();
        }
        low + self.below(high - low + 1)
    }

    /// An index of a slice of this length.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True `parts` times in a million.
    pub fn per_million(&mut self, parts: u32) -> bool {
        parts > 0 && self.below(1_000_000) < u64::from(parts)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True every other time.
    pub fn coin(&mut self) -> bool {
        self.bits() & 1 == 1
    }

    /// Picks an index by weight: `None` if all are zero.
    pub fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> Option<usize> {
        let total: u64 = weights.clone().map(u64::from).sum();
        if total == 0 {
            return None;
        }
        let mut left = self.below(total);
        for (index, weight) in weights.enumerate() {
            if left < u64::from(weight) {
                return Some(index);
            }
            left -= u64::from(weight);
        }
        unreachable!("the draw lies below the sum of the weights")
    }

    /// A latency: mostly between `base` and twice that, with a long tail (1 in 100 up to ten times, 1 in
    /// 1,000 up to fifty times).
    pub fn latency(&mut self, base_ns: u64) -> u64 {
        let base = base_ns.max(1);
        let stretch = match self.below(1_000) {
            0 => 50,
            1..=9 => 10,
            _ => 2,
        };
        self.between(base, base * stretch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dice() -> Dice {
        Dice::new(7, NodeId(1), "test", 0)
    }

    #[test]
    fn draws_stay_within_their_bounds_and_reach_both_ends() {
        let mut dice = dice();
        let draws: Vec<u64> = (0..1_000).map(|_| dice.between(3, 5)).collect();
        assert!(draws.iter().all(|draw| (3..=5).contains(draw)));
        assert!([3, 4, 5].iter().all(|value| draws.contains(value)));
    }

    #[test]
    fn weights_are_kept() {
        let mut dice = dice();
        let mut counts = [0; 3];
        for _ in 0..4_000 {
            counts[dice.weighted([1, 0, 3].into_iter()).expect("weights are not all zero")] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((800..1_200).contains(&counts[0]), "{counts:?}");
        assert_eq!(dice.weighted([0, 0].into_iter()), None);
    }
}
