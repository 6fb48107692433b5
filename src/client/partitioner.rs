//! Which partition a record goes to: the one named, else by the hash of its key, else a sticky choice.
//!
//! The hash is Kafka's (murmur2 with its own seed), so that every client puts the same key into the same
//! partition. Records without a key stick to one partition until its batch is closed (KIP-480): that makes
//! bigger batches than taking turns record by record.

use rand_chacha::ChaCha8Rng;
use rand_core::Rng as _;

/// The partition of a key among `count` partitions.
///
/// `count` must be positive.
pub fn partition_of_key(key: &[u8], count: i32) -> i32 {
    assert!(count > 0, "a topic has at least one partition, not {count}");
    (murmur2(key) & i32::MAX) % count
}

/// The sticky choice of one topic.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    current: Option<i32>,
}

impl Sticky {
    /// The partition to use now: the current one while it still has a leader, else another of `available`
    /// (partitions with a leader; where none has one, any of `count`).
    pub(crate) fn choose(&mut self, available: &[i32], count: i32, rng: &mut ChaCha8Rng) -> i32 {
        assert!(count > 0, "a topic has at least one partition, not {count}");
        if let Some(current) = self.current
            && (available.contains(&current) || available.is_empty() && current < count)
        {
            return current;
        }
        let draw = rng.next_u64();
        let chosen = if available.is_empty() {
            (draw % u64::from(count.unsigned_abs())) as i32
        } else {
            available[(draw % available.len() as u64) as usize]
        };
        self.current = Some(chosen);
        chosen
    }

    /// The batch of `partition` was closed: the next record may go elsewhere.
    pub(crate) fn batch_closed(&mut self, partition: i32) {
        if self.current == Some(partition) {
            self.current = None;
        }
    }
}

/// Kafka's murmur2 of a key.
fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(MULTIPLIER);
        word = (word ^ (word >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ word;
    }
    let rest = chunks.remainder();
    for (index, &byte) in rest.iter().enumerate() {
        hash ^= u32::from(byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    (hash ^ (hash >> 15)) as i32
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn the_hash_is_kafkas() {
        // Known answers of Kafka's own hash.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn a_keyless_record_sticks_until_the_batch_closes() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut sticky = Sticky::default();
        let first = sticky.choose(&[0, 1, 2], 3, &mut rng);
        for _ in 0..10 {
            assert_eq!(sticky.choose(&[0, 1, 2], 3, &mut rng), first);
        }
        let mut seen = [false; 3];
        for _ in 0..50 {
            let chosen = sticky.choose(&[0, 1, 2], 3, &mut rng);
            seen[chosen as usize] = true;
            sticky.batch_closed(chosen);
        }
        assert_eq!(seen, [true; 3]);
    }

    #[test]
    fn a_partition_without_a_leader_is_left() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut sticky = Sticky { current: Some(0) };
        assert_eq!(sticky.choose(&[2], 3, &mut rng), 2);
    }
}
