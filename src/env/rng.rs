//! Randomness: one seed, many independent child streams.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

/// A stream of randomness.
pub type Rng = ChaCha8Rng;

/// What a stream of randomness is for. Two purposes never share a stream, so that one more draw for the
/// one shifts nothing of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purpose {
    /// Who draws: `"controller"`, `"client.producer"` ...
    pub subsystem: &'static str,
    /// What for: `"topic-id"`, `"backoff"` ...
    pub what: &'static str,
    /// Which one of several alike, else zero.
    pub instance: u64,
}

/// The child stream of `seed` for one node and one purpose.
///
/// The key is the seed; the stream's id is a hash (FNV-1a, 64 bit) of node and purpose.
pub fn child_rng(seed: u64, node: u64, purpose: Purpose) -> Rng {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut mix = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    mix(&node.to_le_bytes());
    mix(purpose.subsystem.as_bytes());
    mix(&[0]);
    mix(purpose.what.as_bytes());
    mix(&[0]);
    mix(&purpose.instance.to_le_bytes());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng as _;

    #[test]
    fn purposes_nodes_and_instances_have_streams_of_their_own() {
        let purpose = Purpose { subsystem: "net", what: "latency", instance: 0 };
        let first = child_rng(1, 1, purpose).next_u64();
        assert_eq!(first, child_rng(1, 1, purpose).next_u64());
        assert_ne!(first, child_rng(2, 1, purpose).next_u64());
        assert_ne!(first, child_rng(1, 2, purpose).next_u64());
        assert_ne!(first, child_rng(1, 1, Purpose { instance: 1, ..purpose }).next_u64());
        assert_ne!(first, child_rng(1, 1, Purpose { what: "order", ..purpose }).next_u64());
    }
}
