//! A rolling hash of everything that happens in a run.

use std::fmt;

/// 128 bits over a sequence of words: two runs with equal digests did the same things in the same order.
/// Two multiplicative lanes that mix differently; fast, and not meant against an adversary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    low: u64,
    high: u64,
}

impl Digest {
    /// The digest of nothing.
    pub fn new() -> Self {
        Self { low: 0x6a09_e667_f3bc_c908, high: 0xbb67_ae85_84ca_a73b }
    }

    /// Takes in one word.
    pub fn word(&mut self, word: u64) {
        self.low = (self.low.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.high = (self.high ^ word.rotate_left(32)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
        self.high = self.high.wrapping_add(self.low);
    }

    /// Takes in bytes and how many there are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().expect("the chunk has eight bytes")));
        }
        let mut last = [0; 8];
        last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    /// The lower 64 bits, as a summary to take into another digest.
    pub fn low(&self) -> u64 {
        self.low ^ self.high
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

/// Takes in what is written as text.
impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// The summary of one piece of bytes.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.bytes(bytes);
    digest.low()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_length_and_content_count() {
        assert_ne!(fingerprint(b"ab"), fingerprint(b"ba"));
        assert_ne!(fingerprint(b"a"), fingerprint(b"a\0"));
        assert_ne!(fingerprint(b"12345678"), fingerprint(b"1234567812345678"));
        assert_eq!(fingerprint(b"same"), fingerprint(b"same"));
    }
}
